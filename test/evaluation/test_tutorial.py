"""The commands of docs/evaluation.md, run in their order, on a shorter world; and its example of a question file."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from stc_ros.evaluation.questions import read_questions

PAGE = (Path(__file__).parents[2] / 'docs' / 'evaluation.md').read_text()
SHORTER = {'--seconds 30': '--seconds 3'}
SETTINGS = {'a.yaml': 'prune_ratio: 0.5\n', 'b.yaml': 'cacher: none\npruner: none\n'}
OF_ITS_OWN_TEST = ('--realtime', 'dev tune ', 'stc_ros questions ')  # commands that other tests run


def commands() -> list[str]:
    found = re.findall(r'^\./dev .*', PAGE, re.MULTILINE)
    return [line for line in found if not any(part in line for part in OF_ITS_OWN_TEST) and ' bench ' not in line]


def run(line: str, folder: Path) -> subprocess.CompletedProcess:
    for long, short in SHORTER.items():
        line = line.replace(long, short)
    words = shlex.split(line)[1:]
    words = words[1:] if words[0] == 'run' else ['python', '-m', 'stc_ros', *words]
    return subprocess.run([sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True)


def test_every_command_does_what_the_page_says(tmp_path):
    for name, text in SETTINGS.items():
        (tmp_path / name).write_text(text)
    with av.open(str(tmp_path / 'my_clip.mp4'), 'w') as file:
        video = file.add_stream('mpeg4', rate=5)
        video.width = video.height = 64
        for shade in range(0, 250, 50):
            picture = np.full((64, 64, 3), shade, np.uint8)
            file.mux(video.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
        file.mux(video.encode())
    lines = commands()
    assert len(lines) >= 6 and 'from-synthetic' in lines[0]
    for line in lines:
        done = run(line, tmp_path)
        # evaluate and compare say by their exit code how it went: 0 or 1, not 2, which is wrong input
        assert done.returncode in ((0, 1) if 'compare' in line else (0,)), f'{line}: {done.stderr[-2000:]}'
    assert {'clip', 'world', 'world.yaml', 'result'} <= {path.name for path in tmp_path.iterdir()}
    for name in ('a', 'b', 'default'):
        for file in re.findall(r'^\| `([\w.]+)/?` \|', PAGE.split('## What is in')[1].split('##')[0], re.MULTILINE):
            assert (tmp_path / 'result' / name / file).exists(), f'{name}/{file}'
    assert (tmp_path / 'result' / 'report.html').is_file()


@pytest.mark.parametrize('text', re.findall(r'^```yaml\n(questions:.*?)^```', PAGE, re.MULTILINE | re.DOTALL))
def test_its_question_files_can_be_read(text, tmp_path):
    (tmp_path / 'questions.yaml').write_text(text)
    assert read_questions(tmp_path / 'questions.yaml')
