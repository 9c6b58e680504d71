"""./dev demo: its figures, its command line, and the whole of it with a model of random weights."""

import io
import json
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as Picture
from processes import children_of, gone, wait_for

from demo import options as command_line
from demo.figures import Figures
from demo.ground_truth import GroundTruth
from demo.screen import Screen
from stc_ros.synthetic import World, record
from stc_ros.synthetic.questions import answer_to

DEMO = 'demo'


def stats(n, patches=196, recomputed=49, visual=49, kept=16):
    return SimpleNamespace(
        patches=patches,
        patches_recomputed=recomputed,
        reused_similarity=0.99,
        visual_tokens=visual,
        visual_tokens_kept=kept,
        preprocess_ms=0.1,
        vision_ms=4.0,
        prune_ms=0.2,
        prefill_ms=5.0,
        total_ms=float(n),
        frames_received=n + 1,
        frames_processed=n,
        frames_dropped=1,
        processing_rate=8.0,
        input_rate=8.0,
        memory_tokens=16 * n,
    )


def test_figures_are_shares_of_all_frames_and_spreads_of_their_times():
    figures = Figures()
    figures.saw(stats(1, recomputed=196))
    for n in range(2, 101):
        figures.saw(stats(n, recomputed=0))
    figures.narrated('a red circle', 12.5)
    assert 'truth' not in figures.summary()
    truth = 'a large red circle at the left stays , a small blue star at the top moves up . the green cross left .'
    figures.narrated('a large red circle at the left stays, a small blue star at the top stays.', 14.5, truth)
    figures.happened('is it ?', 'true', 13.5, 0.97, 0.2)
    figures.answered('what?', 'a circle', 0, 0.1)
    figures.answered('what is it ?', 'circle', 0, 0.1, 'circle')
    figures.answered('what else ?', 'star', 0, 0.1, 'cross')
    figures.answered('what else ?', '', 5, 0.1, 'cross')
    said = json.loads(json.dumps(figures.as_json()))
    assert set(said) == {
        'frames_received',
        'frames_processed',
        'frames_dropped',
        'narrations',
        'score',
        'answers',
        'events',
        'recomputed_share',
        'reused_similarity',
        'kept_share',
        'ms',
    }
    assert (said['frames_received'], said['frames_processed'], said['frames_dropped']) == (101, 100, 1)
    assert said['recomputed_share'] == pytest.approx(0.01)
    assert said['reused_similarity'] == pytest.approx(0.99) and '0.9900' in figures.summary()
    assert said['kept_share'] == pytest.approx(16 / 49)
    assert said['ms']['total'] == {'median': 50.5, 'p99': pytest.approx(99.01)}
    assert said['narrations'][0] == {'text': 'a red circle', 'stamp': 12.5, 'truth': ''}
    assert said['narrations'][1]['truth'] == truth
    assert said['events'] == [
        {'condition': 'is it ?', 'kind': 'true', 'stamp': 13.5, 'probability': 0.97, 'latency_s': 0.2}
    ]
    assert '1 of watches' in figures.summary()
    score = said['score']
    assert [score[f'clauses_{what}'] for what in ('right', 'said', 'true')] == [1, 2, 3]
    assert [score[f'objects_{what}'] for what in ('right', 'said', 'true')] == [2, 2, 2]
    assert '1 of 2 clauses are right, 3 were due' in figures.summary()
    assert said['answers'][0] == {
        'question': 'what?',
        'answer': 'a circle',
        'truth': '',
        'error_code': 0,
        'time_to_first_token_s': 0.1,
    }
    assert '1 of 2 answers with a known truth are right' in figures.summary()
    assert '100 processed' in figures.summary() and 'recomputed  1.0%' in figures.summary()


def test_the_truth_of_a_span_is_joined_once():
    ground_truth = GroundTruth()
    for stamp, event in ((1, 'left'), (2, 'entered'), (3, 'left')):
        ground_truth.saw(stamp, f'a small red star at the top stays . the blue cross {event} .')
    assert ground_truth.until(9) == ''  # no such picture is known
    assert ground_truth.until(2) == 'a small red star at the top stays . the blue cross left , the blue cross entered .'
    assert ground_truth.until(3) == 'a small red star at the top stays . the blue cross left .'
    assert ground_truth.until(3) == ''


def test_before_the_first_picture_seen_nothing_is_due():
    ground_truth = GroundTruth()
    for stamp, colour in ((1, 'red'), (2, 'green'), (3, 'white')):
        ground_truth.saw(stamp, f'a small red star at the top stays . the blue cross turned {colour} .')
    ground_truth.begin(2)
    assert ground_truth.until(3).split(' . ')[1] == 'the blue cross turned green , the blue cross turned white .'


@pytest.mark.parametrize('begins', [0, 90])
def test_the_world_asks_what_can_be_known_since_then_and_knows_what_is_right(begins):
    clip = record('busy', 5, frames=150 - begins, skip=begins)
    ground_truth, asked = GroundTruth(World('busy', 5)), 0
    for number in range(begins, 150):
        ground_truth.saw(1000 + number, 'nothing', number + 1)
        if number == begins:
            ground_truth.begin(1000 + number)
        if number % 10 == 5:
            text = ground_truth.question()
            truth = ground_truth.answer(text, 1000 + number)
            assert truth and truth == answer_to(clip, number - begins, text)
            before = ground_truth.answer(text, 999 + number)  # an answer that rests on an earlier picture
            assert before == (answer_to(clip, number - begins - 1, text) or '')
            asked += 1
    assert asked >= 6 and ground_truth.answer(text, 5) == '' == ground_truth.answer('what is love ?', 1149)
    assert GroundTruth().question() == '' == GroundTruth().answer(text, 1149)


def test_figures_of_nothing_are_figures():
    said = Figures().as_json()
    assert said['frames_processed'] == 0 and said['recomputed_share'] == 0 and said['ms'] == {}


def test_the_status_line_tells_about_the_frames_since_the_last_one():
    figures = Figures()
    figures.saw(stats(100))
    assert 'total 100.0' in figures.status()
    figures.saw(stats(2))
    figures.saw(stats(4))
    line = figures.status()
    assert 'total 3.0' in line and 'recomputed 25%' in line and 'kept 33%' in line
    assert 'total 4.0' in figures.status()  # nothing new: the newest frame


def test_plain_status_lines_are_few(capsys):
    screen = Screen(plain=True)
    for n in range(100):
        screen.status(f'status {n}')
    screen.line('a line')
    assert capsys.readouterr().out == 'status 0\na line\n'


@pytest.fixture
def demo(launch_process, toy, tmp_path):
    """`demo(...)` starts the demo with the toy model, one thread, and files in `tmp_path`."""
    pytest.importorskip('rclpy', reason='rclpy is not installed: run ./dev test, or source a ROS 2')
    pytest.importorskip('stc_ros.msg', reason='the interfaces are not built: run ./dev build')

    def start(*arguments, model=toy, **environment):
        return launch_process(
            DEMO,
            '--headless',
            '--json',
            str(tmp_path / 'figures.json'),
            '--overlay',
            str(tmp_path / 'overlay.jpg'),
            '--model',
            str(model),
            *arguments,
            OMP_NUM_THREADS='1',
            **environment,
        )

    return start


def test_the_whole_demo(demo, tmp_path):
    watching = ('--watch', 'what is moving ? = red', '--watch.threshold', '0.000001', '--watch', 'is it red ?')
    process = demo('--seconds', '6', '--narration.period', '1', '--rate', '5', '--truth', *watching)
    assert process.wait(120) == 0, process.log.read_text()
    said = process.log.read_text()
    figures = json.loads((tmp_path / 'figures.json').read_text())
    assert figures['frames_processed'] >= 10
    assert figures['frames_received'] - figures['frames_processed'] - figures['frames_dropped'] in (0, 1)
    assert [a['question'] for a in figures['answers']] == list(command_line.QUESTIONS)
    assert all(a['error_code'] == 0 and a['answer'] and a['time_to_first_token_s'] > 0 for a in figures['answers'])
    assert all(a['answer'].strip() in said for a in figures['answers'])
    (event,) = figures['events']  # whatever the toy model sees, it gives every word some probability
    assert event['kind'] == 'true' and 0 < event['probability'] < 1 and 'what is moving ? = red now true' in said
    assert 'watching for "what is moving ? = red"' in said and 'not watched: this model has no tokens' in said
    assert figures['narrations'] and all(n['text'] in said for n in figures['narrations'])
    assert all(n['truth'].endswith('.') for n in figures['narrations']) and figures['score']['clauses_true'] > 0
    assert all(f'truth {n["truth"]}' in said for n in figures['narrations'])
    assert abs(figures['narrations'][0]['stamp'] - time.time()) < 120
    assert 0 < figures['recomputed_share'] < 1
    assert 0 < figures['kept_share'] < 0.6  # about a third, and all of a scene's first frame
    assert {'preprocess', 'vision', 'prune', 'prefill', 'total'} == set(figures['ms'])
    with Picture.open(io.BytesIO((tmp_path / 'overlay.jpg').read_bytes())) as overlay:
        assert min(overlay.size) >= 300 and np.asarray(overlay).std() > 10
    assert 'Traceback' not in said


def test_a_quiz_asks_about_the_world_and_knows_what_is_right(demo, tmp_path):
    process = demo('--seconds', '5', '--rate', '5', '--quiz', '--truth')
    assert process.wait(120) == 0, process.log.read_text()
    said = process.log.read_text()
    answers = json.loads((tmp_path / 'figures.json').read_text())['answers']
    assert len(answers) >= 3 and not {a['question'] for a in answers} & set(command_line.QUESTIONS)
    known = [a['truth'] for a in answers if a['truth']]
    assert known and all(f'    truth {truth}' in said for truth in known)
    assert f'of {len(known)} answers with a known truth are right' in said


@pytest.mark.parametrize(
    'number, moment',
    [(signal.SIGINT, 'loading the model'), (signal.SIGTERM, 'loading the model'), (signal.SIGINT, 'frames/s')],
)
def test_a_signal_ends_it_at_any_moment(demo, tmp_path, number, moment):
    process = demo()
    wait_for(process, moment)
    children = children_of(process.pid)
    assert len(children) == 2
    process.send_signal(number)
    assert process.wait(5) == 0
    assert gone(children)
    said = process.log.read_text()
    assert 'Traceback' not in said
    seen = json.loads((tmp_path / 'figures.json').read_text())['frames_processed']
    assert f'{seen} processed' in said if moment == 'frames/s' else 'Ended before a frame was processed' in said


def test_its_processes_do_not_outlive_a_killed_demo(demo):
    process = demo()
    wait_for(process, 'loading the model')
    children = children_of(process.pid)
    process.kill()
    process.wait()
    end = time.monotonic() + 5
    while not gone(children) and time.monotonic() < end:
        time.sleep(0.05)
    assert gone(children)


@pytest.mark.parametrize('what', ['model', 'video'])
def test_what_cannot_be_loaded_is_named(demo, tmp_path, what):
    process = demo(model=tmp_path / 'nothing') if what == 'model' else demo('--source', __file__)
    assert process.wait(90) == 1
    said = process.log.read_text()
    expected = [str(tmp_path / 'nothing'), 'demo: '] if what == 'model' else ['test_demo.py', 'path of a video file']
    assert all(text in said for text in expected) and 'Traceback' not in said


def test_it_uses_the_domain_of_the_user(demo):
    process = demo('--seconds', '1')
    wait_for(process, f'ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]}')
