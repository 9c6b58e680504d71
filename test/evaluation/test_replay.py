"""What a replay shows when, what it asks when, and that nothing in it depends on a clock."""

import itertools
import time

import pytest
from evaluation.fake_bag import SECOND, START, FakeBag, FakeModel, open_seen

from stc_ros.engine.questions import Error
from stc_ros.evaluation.expectations import Exact
from stc_ros.evaluation.questions import Question, Time
from stc_ros.evaluation.replay import Planned, ReplaySink, replay
from stc_ros.io.bags import BagError
from stc_ros.settings import Settings

ONE = [('/a', t / 2, 10 + t) for t in range(8)]  # 2 Hz, levels 10..17


class Notes(ReplaySink):
    """Everything that was reported, in order."""

    def __init__(self):
        self.all, self.answers, self.controls = [], {}, []

    def frame(self, camera, event):
        self.all.append(('frame', camera, (event.frame.stamp - START) / SECOND))

    def invalid(self, camera, stamp, kind, text):
        self.all.append(('invalid', camera, (stamp - START) / SECOND, kind, text))

    def asked(self, asked):
        self.all.append(('asked', asked.planned.camera, (asked.planned.stamp - START) / SECOND))
        self.answers[asked.planned.question.id] = asked.reply.answer
        self.controls.append(asked.controls)
        self.last = asked

    def narrated(self, camera, span, text):
        times = tuple((stamp - START) / SECOND for stamp in (span.first_stamp, span.last_stamp))
        self.all.append(('narrated', camera, *times, span.frames))

    def event(self, camera, stamp, name, text):
        self.all.append((name, camera, text))

    def of(self, *kinds):
        return [entry for entry in self.all if entry[0] in kinds]


def planned(seconds, camera='/a', text='q'):
    id = f'{text}{seconds:g}'
    question = Question(id, 1, Time(round(seconds * SECOND)), camera, id, Exact(('x',)))
    return Planned(question, camera, START + round(seconds * SECOND))


def run(frames=ONE, questions=(), settings=None, topics=('/a',), prepare=lambda stream: None, bag=None, **options):
    notes, model = Notes(), FakeModel(opened=[])

    def opened(model, settings):
        stream = open_seen(model, settings)
        prepare(stream)
        return stream

    options = {'controls': False, 'narrate': False, **options}
    bag = bag or FakeBag(frames)
    replay(model, bag, topics, questions, Settings(settings or {}), notes, open_stream=opened, **options)
    return notes


def test_a_question_knows_every_frame_up_to_its_time_and_none_behind():
    times = 0, 0.499999999, 0.5, 0.5, 1.7, 3.5
    notes = run(questions=[planned(t, text=f'{i}-') for i, t in enumerate(times)])
    said = [answer.split(' ', 1)[1] for answer in notes.answers.values()]
    assert said == ['10', '10', '10 11', '10 11', '10 11 12 13', '10 11 12 13 14 15 16 17']


def test_frames_behind_a_question_are_not_even_read_from_the_bag_beyond_the_next_one():
    """The bag itself is asked: whoever looked ahead would have to take frames from it."""
    bag, seen = FakeBag(ONE), []

    class Watch(Notes):
        def asked(self, asked):
            seen.append(bag.read)

    model = FakeModel(opened=[])
    replay(model, bag, ('/a',), [planned(1.2)], Settings(), Watch(), False, False, open_seen)
    assert seen == [4]  # those at 0, 0.5, 1 s, and the one at 1.5 s that says how late it is


def test_what_comes_later_changes_no_answer():
    other = [('/a', t, level if t <= 1.7 else 99) for _, t, level in ONE]
    questions = [planned(t) for t in (0, 1, 1.7)]
    settings = {'narration.period': 0.7}
    first = run(ONE, questions, settings, controls=True, narrate=True)
    second = run(other, questions, settings, controls=True, narrate=True)
    assert first.answers == second.answers and first.controls == second.controls


def test_cameras_have_their_own_memory_and_frames_of_one_time_are_all_seen():
    frames = [('/a', 0, 1), ('/b', 0, 101), ('/a', 1, 2), ('/b', 1, 102), ('/b', 2, 103)]
    notes = run(frames, [planned(1, '/a'), planned(1, '/b', 'p')], topics=('/a', '/b'))
    assert notes.answers == {'q1': 'q1 1 2', 'p1': 'p1 101 102'}
    assert [entry[1:] for entry in notes.of('frame')] == [('/a', 0), ('/b', 0), ('/a', 1), ('/b', 1), ('/b', 2)]


def test_the_controls_know_nothing_the_newest_frame_and_the_last_four():
    notes = run(questions=[planned(0), planned(3)], controls=True)
    assert notes.controls[0] == {'blank': 'q0 128', 'newest': 'q0 10', 'last4': 'q0 10'}
    assert notes.controls[1] == {'blank': 'q3 128', 'newest': 'q3 16', 'last4': 'q3 13 14 15 16'}


def test_the_control_of_four_frames_is_whole_and_the_others_are_as_set():
    model = FakeModel(opened=[])
    settings = Settings({'prune_ratio': 0.5, 'memory.max_tokens': 16}) | {}
    model.visual_tokens = 100
    replay(model, FakeBag(ONE), ('/a',), [], settings, Notes(), True, False, open_seen)
    _, same, whole = (stream.settings for stream in model.opened)
    assert same == settings
    assert whole == settings | {'cacher': 'none', 'pruner': 'none', 'memory.max_tokens': 400}


def test_a_question_before_the_first_frame_of_its_camera_has_no_answer():
    frames = [('/a', 0, 1), ('/b', 1, 2), ('/a', 2, 3)]
    notes = run(frames, [planned(0.5, '/b')], topics=('/a', '/b'), controls=True)
    assert notes.last.reply.error is Error.NO_FRAMES and notes.last.newest is None
    assert notes.controls == [{'blank': 'q0.5 128', 'newest': '', 'last4': ''}]


def test_a_frame_that_cannot_be_read_is_said_and_the_others_count():
    notes = run([('/a', 0, 1), ('/a', 1, 'wrong encoding'), ('/a', 2, 3)], [planned(2)])
    assert notes.of('invalid') == [('invalid', '/a', 1.0, 'kind', 'wrong encoding')]
    assert notes.answers == {'q2': 'q2 1 3'} and len(notes.of('frame')) == 2


def test_a_frame_without_a_stamp_does_not_turn_back_the_time():
    notes = run([('/a', 0, 1), ('/a', 1, 2), ('/a', 2, 3)])
    bag = FakeBag([('/a', 0, 1), ('/a', 1, 2), ('/a', 2, 3)])
    broken = bag._frames[1].__class__('/a', 0, '', None, 'its stamp is zero', 'no stamp')
    bag._frames[1] = broken
    found = run(bag=bag, questions=[planned(1)])
    assert found.answers == {'q1': 'q1 1'} and len(found.of('frame')) == len(notes.of('frame')) - 1


def test_narration_is_due_by_the_streams_time_and_about_the_frames_since():
    notes = run(settings={'narration.period': 1.0}, narrate=True)
    assert [entry[2:] for entry in notes.of('narrated')] == [(0, 1, 3), (1.5, 2, 2), (2.5, 3, 2)]
    assert run(settings={'narration.period': 1.0}).of('narrated') == []


def test_max_rate_counts_the_streams_time():
    fast = [('/a', t / 10, t) for t in range(11)]
    seen = [entry[2] for entry in run(fast, settings={'input.max_rate': 2.5}).of('frame')]
    assert seen == [0, 0.4, 0.8] and len(run(fast).of('frame')) == 11


@pytest.mark.parametrize('slow', [False, True])
def test_what_waits_is_prefilled_by_the_streams_time_whatever_the_clock_says(slow, monkeypatch):
    if slow:  # every look at the clock finds it a minute later
        ticks = itertools.count(0, 60)
        monkeypatch.setattr(time, 'monotonic', lambda: float(next(ticks)))

    def prepare(stream):
        stream.tokens_waiting = 5

    found = []
    frames = [('/a', 0, 1), ('/a', 0.4, 2), ('/a', 0.8, 3), ('/a', 2.8, 4)]
    run(frames, prepare=lambda stream: (prepare(stream), found.append(stream)))
    names = [name for name in found[0].names() if name in ('see', 'prefill')]
    assert names == ['see', 'see', 'see', 'prefill', 'see']


def test_a_bag_that_breaks_off_is_asked_what_was_due_until_then():
    bag = FakeBag(ONE[:4], ends='cut off', length=10)
    notes = Notes()
    with pytest.raises(BagError, match='cut off'):
        questions = [planned(1), planned(1.5), planned(1.6), planned(9)]
        replay(FakeModel(opened=[]), bag, ('/a',), questions, Settings(), notes, False, False, open_seen)
    assert list(notes.answers) == ['q1', 'q1.5'] and notes.answers['q1.5'] == 'q1.5 10 11 12 13'


def test_a_failure_of_the_model_is_said_and_the_replay_goes_on():
    def prepare(stream):
        stream.faults['see'] = [RuntimeError('broken')]

    notes = run(questions=[planned(1)], prepare=prepare)
    assert [entry[0] for entry in notes.of('failure', 'reset')] == ['failure', 'reset']
    assert notes.answers == {'q1': 'q1 11 12'}


def test_a_sink_that_cannot_write_ends_the_replay():
    class Full(Notes):
        def frame(self, camera, event):
            raise OSError('no space left on device')

    with pytest.raises(OSError, match='no space'):
        replay(FakeModel(opened=[]), FakeBag(ONE), ('/a',), [], Settings(), Full(), False, False, open_seen)
