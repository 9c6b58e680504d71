"""An engine without a thread: two cameras on one model, fair turns, deadlines."""

import pytest
from fake_stream import FakeStream
from worker_bench import Notebook, decode

from stc_ros.engine.events import Frame
from stc_ros.engine.questions import Error, Question
from stc_ros.engine.scheduler import Engine
from stc_ros.io.picture import Picture
from stc_ros.settings import Settings
from stc_ros.synthetic import record

SECOND = 1_000_000_000
CAMERAS = ('front', 'rear')


class Rig:
    """Two cameras on fake streams; what they are called, in order, stands in `log`."""

    def __init__(self, **stream):
        self.notes, self.opened = Notebook(), []
        self.engine = Engine(lambda settings: 'the model', self.open, decode, self.notes)
        self.engine.load(Settings())
        for camera in CAMERAS:
            self.engine.open(camera, Settings())
        self.log = []
        for camera, stream_ in zip(CAMERAS, self.opened):
            stream_.log = Log(camera, self.log)
            for name, value in stream.items():
                setattr(stream_, name, value)

    def open(self, model, settings):
        assert model == 'the model'
        self.opened.append(FakeStream())
        return self.opened[-1]

    def ask(self, text='what?', **options):
        got = []
        self.engine.submit(Question(text, 1000, got.append, **options))
        return got

    def run(self, most=1000):
        for _ in range(most):
            if not self.engine.step():
                return
        raise AssertionError('it never ends')


class Log:
    """A fake stream's log that says which camera's it is."""

    def __init__(self, camera, log):
        self.camera, self.log = camera, log

    def append(self, entry):
        self.log.append((self.camera, *entry))


def test_each_camera_has_a_stream_of_its_own_and_none_starves():
    rig = Rig()
    for stamp in range(1, 21):
        rig.engine.put('front', stamp * SECOND)  # the faster one comes twice
        rig.engine.put('front', stamp * SECOND + 1)
        rig.engine.put('rear', stamp * SECOND)
        rig.engine.step(), rig.engine.step()
    seen = [camera for camera, what, *_ in rig.log if what == 'see']
    assert seen.count('front') == seen.count('rear') == 20
    assert [session.slot.counts().dropped for session in rig.engine.sessions.values()] == [20, 0]


def test_frames_of_both_cameras_go_on_while_an_answer_is_in_work():
    rig = Rig(words=30, token_s=0.002, see_s=0.004)
    for camera in CAMERAS:
        rig.engine.put(camera, SECOND)
    rig.run()
    rig.log.clear()
    got, stamp = rig.ask(camera='rear'), 2
    while not got:
        for camera in CAMERAS:
            rig.engine.put(camera, stamp * SECOND)
        rig.engine.step()
        stamp += 1
    assert got[0].error is Error.NONE and got[0].answer.count('word') == 30
    seen = [camera for camera, what, *_ in rig.log if what == 'see']
    assert min(seen.count(camera) for camera in CAMERAS) >= 3 and abs(seen.count('front') - seen.count('rear')) <= 1
    assert {camera for camera, what, *_ in rig.log if what == 'piece'} == {'rear'}


def test_a_question_goes_to_its_camera_and_is_answered_before_frames():
    rig = Rig()
    for camera in CAMERAS:
        rig.engine.put(camera, SECOND)
    rig.run()
    rig.log.clear()
    for camera in CAMERAS:
        rig.engine.put(camera, 2 * SECOND)
    first, second = rig.ask(camera='rear'), rig.ask()
    rig.run()
    asked = [(camera, what) for camera, what, *_ in rig.log if what in ('ask', 'see')]
    assert asked[0] == ('rear', 'ask') and ('front', 'ask') in asked  # without a name: the first camera
    assert first[0].error is second[0].error is Error.NONE


def test_a_camera_that_nobody_knows_is_refused_by_name():
    rig = Rig()
    got = rig.ask(camera='left')
    assert got[0].error is Error.INVALID_REQUEST and 'left' in got[0].message and 'front, rear' in got[0].message


def test_a_question_ends_at_its_deadline_without_a_thread():
    rig = Rig(words=100, token_s=0.01)
    rig.engine.put('front', SECOND)
    rig.run()
    got = rig.ask(timeout=0.05)
    rig.run()
    assert got[0].error is Error.TIMEOUT and 0 < got[0].answer.count('word') < 100


def test_narrations_of_two_cameras_take_turns_and_stay_apart():
    rig = Rig(words=1)
    for camera in CAMERAS:
        rig.engine.put(camera, SECOND)
    rig.run()
    for camera in CAMERAS:
        rig.engine.narrate(camera)
    rig.run()
    assert len(rig.notes.narrations) == 2
    assert [session.tally.narrations for session in rig.engine.sessions.values()] == [1, 1]


def test_a_question_puts_off_the_narration_of_another_camera():
    rig = Rig(words=5)
    for camera in CAMERAS:
        rig.engine.put(camera, SECOND)
    rig.run()
    rig.engine.narrate('front')
    rig.engine.step()  # begins to narrate
    got = rig.ask(camera='rear')
    rig.engine.step()
    assert rig.engine.sessions['front'].question is None
    rig.run()
    assert got[0].error is Error.NONE and len(rig.notes.narrations) == 1


def test_one_camera_fails_and_the_other_goes_on():
    rig = Rig()
    rig.opened[0].faults['see'] = [RuntimeError('broken')]
    for camera in CAMERAS:
        rig.engine.put(camera, SECOND)
    rig.run()
    front, rear = rig.engine.sessions.values()
    assert (front.failures.total, front.resets, rear.failures.total, rear.resets) == (1, 1, 0, 0)
    assert rear.slot.counts().processed == 1


def test_closing_a_camera_replies_to_its_questions_and_leaves_the_other():
    rig = Rig()
    rig.engine.put('rear', SECOND)
    rig.run()
    got, other = rig.ask(camera='front'), rig.ask(camera='rear')
    rig.engine.close('front')
    assert got[0].error is Error.SHUTDOWN
    rig.run()
    assert other[0].error is Error.NONE
    with pytest.raises(KeyError):
        rig.engine.put('front', 2 * SECOND)
    with pytest.raises(ValueError, match='already'):
        rig.engine.open('rear', Settings())


def test_two_cameras_on_a_real_model_answer_as_they_would_alone():
    """One model, two streams: each answers what it would answer if it were the only one."""
    from stc_ros.models import load_model
    from stc_ros.stream import open_stream

    model, settings = load_model(), Settings()
    films = {camera: film(seed) for seed, camera in enumerate(CAMERAS)}
    engine = Engine(lambda settings: model, open_stream, lambda message: message, Notebook())
    engine.load(settings)
    got = {camera: [] for camera in CAMERAS}
    for camera in CAMERAS:
        engine.open(camera, settings)
    for frames in zip(*films.values()):
        for camera, frame in zip(CAMERAS, frames):
            engine.put(camera, frame)
        while engine.step():
            pass
    for camera in CAMERAS:
        engine.submit(Question('what do you see ?', 8, got[camera].append, camera=camera))
    while engine.step():
        pass
    for camera in CAMERAS:
        alone = open_stream(model, settings)
        for frame in films[camera]:
            alone.see(frame.picture, frame.stamp)
        assert got[camera][0].answer == ''.join(alone.ask('what do you see ?', 8)) != ''
    assert got['front'][0].answer != got['rear'][0].answer


def film(seed, count=4):
    images = record('busy', seed, count).frames
    return [
        Frame(None, (i + 1) * SECOND, Picture(image, (0, 1, 2), lambda image=image: image))
        for i, image in enumerate(images)
    ]
