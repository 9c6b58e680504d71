"""`stc_ros evaluate` with the real model on a real bag: it knows its world, and goes on after Ctrl-C and a kill."""

import json
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from stc_ros.__main__ import main
from stc_ros.evaluation import cli_evaluate, results
from stc_ros.evaluation.checkpoint import CHECKPOINT


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bag')
    made = ['bag', 'from-synthetic', '--profile', 'patrol', '--seconds', '8', '--count', '16']
    assert main([*made, '--out', str(folder / 'world'), '--questions', str(folder / 'q.yaml')]) == 0
    return folder


OFTEN = """\
import sys
from dataclasses import replace
from stc_ros.__main__ import main
from stc_ros.evaluation import make_jobs as module
make_jobs = module.make_jobs
def often(*given):
    jobs, wrong = make_jobs(*given)
    return [replace(job, checkpoint_s=0) for job in jobs], wrong
module.make_jobs = often
sys.exit(main())
"""  # a checkpoint as often as a hundredth of the time allows


def evaluation(bag, out, *options):
    return [sys.executable, '-c', OFTEN, 'evaluate', str(bag / 'world'), '--questions', str(bag / 'q.yaml'),
            '--out', str(out), *options]  # fmt: skip


def end_at_a_checkpoint(command, folder, by):
    """Run until there is one in the folder, and a few lines more, then send `by` -> exit code, what it said."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end, part = time.monotonic() + 120, folder / f'{results.RESULT}.part'
    while not (folder / CHECKPOINT).exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    size = part.stat().st_size if process.poll() is None else 0
    while part.exists() and part.stat().st_size == size and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(by)
    return process.wait(), process.stderr.read()


def test_the_embedded_model_knows_its_world_and_a_killed_evaluation_goes_on(bag, tmp_path):
    (tmp_path / 'A.yaml').write_text('prune_ratio: 0.5\n')
    (tmp_path / 'B.yaml').write_text('cacher: threshold\n')
    options = [word for name in 'AB' for word in ('--settings', str(tmp_path / f'{name}.yaml'))]
    whole = subprocess.run(evaluation(bag, tmp_path / 'whole', *options), cwd=ROOT, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    assert (tmp_path / 'whole' / 'report.html').stat().st_size > 1000
    summary = results.read_summary(tmp_path / 'whole' / 'A')
    assert summary['n'] >= 12 and summary['accuracy'] >= 0.85
    assert summary['accuracy'] >= summary['controls']['newest'] + 0.2 and summary['controls']['blank'] <= 0.5

    killed, command = tmp_path / 'killed', evaluation(bag, tmp_path / 'killed', *options)
    code, said = end_at_a_checkpoint(command, killed / 'A', signal.SIGINT)
    assert code == cli_evaluate.INTERRUPTED and 'the same command goes on where it was' in said
    code, _ = end_at_a_checkpoint([*command, '--jobs', '2'], killed / 'B', signal.SIGKILL)
    assert code == -signal.SIGKILL and not (killed / 'B' / results.RESULT).exists()
    before = (killed / 'B' / f'{results.TIMING}.part').read_text().splitlines()[0]
    ended = subprocess.run([*command, '--jobs', '2'], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0 and 'anew' not in ended.stderr
    assert (killed / 'B' / results.TIMING).read_text().splitlines()[0] == before  # of the clock: not done again
    for name in 'AB':
        assert not (killed / name / CHECKPOINT).exists()
        both = [(tmp_path / where / name / results.RESULT).read_bytes() for where in ('whole', 'killed')]
        assert both[0] == both[1] and json.loads(both[0].splitlines()[0])['name'] == name
