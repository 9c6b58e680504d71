"""A robot should not wait for what it does not use."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
import numpy as np
from stc_ros.models import load_model
from stc_ros.self_test import self_test
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
settings = Settings({'model.device': 'cpu'})
model = load_model(settings)
self_test(model)
stream = open_stream(model, settings)
stream.warm_up()
stream.see(np.zeros((64, 64, 3), np.uint8), 1)
assert ''.join(stream.ask('what is moving ?'))
print(*(name for name in ('transformers', 'torch._dynamo', 'sympy', 'scipy', 'pandas') if name in sys.modules))
"""


def test_the_embedded_model_answers_without_the_imports_that_take_seconds():
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, 'PYTHONPATH': path},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
