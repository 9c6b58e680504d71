"""Watches in an engine on fake streams: what costs a pass, what an event says, what a failing judge leaves alone."""

import pickle

import pytest
from fake_stream import FakeStream
from worker_bench import Notebook, decode

from stc_ros.answer import QuestionError
from stc_ros.engine.scheduler import Engine
from stc_ros.settings import Settings
from stc_ros.watches import judge as judging
from stc_ros.watches.checks import WatchError
from stc_ros.watches.lookup import Watches, lean
from stc_ros.watches.rule import Change, Watch

SECOND = 1_000_000_000
SURE = 5.0  # log odds: p 0.993


class Rig:
    """Cameras on fake streams; `odds` says by condition what is judged next, `passes` which conditions were judged."""

    def __init__(self, monkeypatch, cameras=('front',), **settings):
        self.notes, self.events, self.opened, self.passes = Notebook(), [], [], []
        self.odds, self.blank, self.fault = {}, {}, None
        self.cameras, self.settings = (
            cameras,
            Settings({'watch.looks': 1, 'watch.threshold': 0.9, 'watch.max_rate': 0.0} | settings),
        )
        monkeypatch.setattr(judging, 'read_condition', self.read)
        monkeypatch.setattr(judging, 'judge', self.judge)
        for module in ('engine.scheduler', 'watches.lookup'):  # most of the time of tests as short as these
            monkeypatch.setattr(f'stc_ros.{module}.release_memory', lambda: None)
        self.start()

    def start(self):
        self.opened.clear()
        self.engine = Engine(lambda settings: 'the model', self.open, decode, self.notes)
        self.watches = Watches(self.engine, lambda session, event: self.events.append(event))
        self.engine.load(self.settings)
        for camera in self.cameras:
            self.engine.open(camera, self.settings)
        self.streams = dict(zip(self.cameras, self.opened))

    def open(self, model, settings):
        self.opened.append(FakeStream())
        return self.opened[-1]

    def read(self, model, text):
        if text == 'unreadable':
            raise QuestionError('the model cannot read it')
        return text

    def judge(self, stream, conditions, whole_frame):
        if stream not in self.streams.values():  # that of the grey frame
            return [self.blank.get(text, -SURE) for text in conditions]
        self.passes.append(tuple(conditions))
        if self.fault:
            raise self.fault
        return [self.odds.get(text, -SURE) for text in conditions]

    def add(self, condition='open ?', name='', camera='', **fields):
        given = {'threshold': 0.0, 'rearm': 0.0, 'looks': 0} | fields
        return self.watches.add([Watch(name, condition, camera, **given)])[0]

    def see(self, stamp, camera='front', static=False):
        self.streams[camera].static = static
        self.engine.put(camera, stamp * SECOND)
        while self.engine.step():
            pass

    def changes(self):
        found = [(e.watch.name, e.change, e.frame.frame.stamp // SECOND) for e in self.events]
        self.events.clear()
        return found

    def standing(self, name, camera='front'):
        return dict((watch.name, standings) for watch, standings in self.watches.listed())[name][camera]


@pytest.fixture
def rig(monkeypatch):
    return Rig(monkeypatch)


def test_an_event_says_which_watch_at_which_frame_and_how_sure(rig):
    assert rig.add() == 'watch1' and rig.add('moving ?', looks=2) == 'watch2'
    rig.see(1)
    rig.odds = {'open ?': SURE, 'moving ?': SURE}
    rig.see(2)
    (event,) = rig.events
    assert event.watch.name == 'watch1' and event.change is Change.RISING and event.since == 2 * SECOND
    assert event.frame.frame.stamp == 2 * SECOND and event.probability == pytest.approx(0.9933, abs=1e-3)
    assert (event.watch.threshold, event.watch.camera) == (0.9, 'front')  # those in force
    rig.see(3)
    rig.odds.clear()
    rig.see(4)
    assert rig.changes()[1:] == [('watch2', Change.RISING, 3), ('watch1', Change.FALLING, 4)]
    assert rig.passes == [('open ?', 'moving ?')] * 4  # one pass for both


def test_a_frame_that_showed_nothing_new_costs_no_pass_and_counts_all_the_same(rig):
    rig.add(looks=3)
    rig.odds = {'open ?': SURE}
    rig.see(1)
    for stamp in (2, 3, 4):
        rig.see(stamp, static=True)
    assert len(rig.passes) == 1 and rig.changes() == [('watch1', Change.RISING, 3)]
    assert rig.standing('watch1').frames == 4
    rig.add('new ?')
    rig.see(5, static=True)
    rig.see(6, static=True)
    assert rig.passes[1:] == [('new ?',)]  # what came meanwhile is judged once, alone
    rig.see(7)
    assert rig.passes[2:] == [('open ?', 'new ?')]


def test_without_watches_nothing_is_judged(rig):
    rig.see(1)
    rig.add()
    rig.watches.remove('watch1')
    rig.see(2)
    assert not rig.passes and rig.watches.ms['front'] == 0.0


def test_a_failing_judge_is_counted_and_the_stream_goes_on(rig):
    rig.add()
    rig.odds = {'open ?': SURE}
    rig.fault = RuntimeError('broken')
    rig.see(1), rig.see(2)
    assert rig.watches.failures == 2 and [where for where, _ in rig.notes.failures] == ['watching'] * 2
    assert not rig.notes.resets and len(rig.notes.frames) == 2 and not rig.events
    rig.fault = None
    rig.see(3, static=True)  # it has not been judged since it failed
    assert rig.changes() == [('watch1', Change.RISING, 3)]
    rig.fault = MemoryError()
    rig.see(4)
    assert not rig.notes.resets and rig.streams['front'].stamps == [n * SECOND for n in (1, 2, 3, 4)]


def test_what_a_listener_raises_is_a_failure_to_publish(rig):
    rig.add()
    rig.odds = {'open ?': SURE}
    rig.watches._on_event = lambda session, event: 1 / 0
    rig.see(1), rig.see(2)
    assert [where for where, _ in rig.notes.failures] == ['publishing'] and len(rig.notes.frames) == 2


@pytest.mark.parametrize('wrong', ['unreadable', ' ', 'x' * 2000])
def test_a_wrong_one_is_refused_and_none_of_those_with_it_is_added(rig, wrong):
    good = Watch('good', 'open ?', '')
    with pytest.raises(WatchError) as error:
        rig.watches.add([good, Watch('bad', wrong, '')])
    assert error.value.number == 1 and error.value.field == 'condition' and not rig.watches.listed()
    assert rig.watches.add([good]) == ['good']


def test_there_are_no_more_than_allowed_and_one_of_a_name_is_replaced(monkeypatch):
    rig = Rig(monkeypatch, **{'watch.max_watches': 2})
    rig.add(name='a'), rig.add(name='watch2')
    with pytest.raises(WatchError, match='max_watches'):
        rig.add()
    rig.add('other ?', name='a')
    assert {watch.name: watch.condition for watch, _ in rig.watches.listed()} == {'a': 'other ?', 'watch2': 'open ?'}
    rig.watches.clear()
    assert rig.add() == 'watch1'


def test_before_a_model_is_there_none_can_be_added(rig):
    rig.engine.unload()
    with pytest.raises(WatchError, match='configure'):
        rig.add()


def test_one_without_a_camera_is_of_every_camera_and_stands_with_each_by_itself(monkeypatch):
    rig = Rig(monkeypatch, ('front', 'rear'))
    rig.add(name='all'), rig.add('rear ?', name='one', camera='rear')
    with pytest.raises(WatchError, match='front, rear'):
        rig.add(camera='left')
    rig.odds = {'open ?': SURE, 'rear ?': SURE}
    rig.see(1, 'front')
    assert rig.passes == [('open ?',)] and [e.watch.camera for e in rig.events] == ['front']
    rig.see(2, 'rear')
    assert rig.passes[1:] == [('open ?', 'rear ?')] and [e.watch.camera for e in rig.events[1:]] == ['rear', 'rear']
    rig.odds.clear()
    rig.see(3, 'rear')
    assert rig.standing('all', 'front').active and not rig.standing('all', 'rear').active


def test_it_ends_with_its_first_rise_where_that_was_asked_or_when_its_time_is_over(rig):
    rig.add(name='once', once=True), rig.add('late ?', name='late', time_limit=2 * SECOND)
    rig.odds = {'open ?': SURE}
    for stamp in (1, 2, 3, 4):
        rig.see(stamp)
    assert rig.changes() == [('once', Change.RISING, 1), ('late', Change.EXPIRED, 3)] and not rig.watches.listed()


def test_a_reset_breaks_the_row_and_what_was_judged_before_it_is_judged_anew(rig):
    rig.add(looks=2)
    rig.odds = {'open ?': SURE}
    rig.see(1)
    session = rig.engine.sessions['front']
    session.reset('for the test')
    rig.see(2, static=True)
    assert len(rig.passes) == 2 and not rig.events
    rig.see(3, static=True)
    assert rig.changes() == [('watch1', Change.RISING, 3)]


def test_when_time_goes_back_the_cool_down_does_not_last_until_it_is_caught_up(rig):
    rig.add(cool_down=10 * SECOND)
    rig.odds = {'open ?': SURE}
    rig.see(100)
    rig.odds.clear()
    rig.see(101)
    rig.odds = {'open ?': SURE}
    rig.see(1)  # a bag starts over
    assert [c for c in rig.changes() if c[1] is Change.RISING] == [('watch1', Change.RISING, n) for n in (100, 1)]


def test_what_an_empty_frame_gives_is_taken_off_unless_the_condition_is_about_emptiness(monkeypatch):
    assert lean(-1.0, 0.9) == 0.0 and lean(1.0, 0.9) == 1.0 and lean(4.0, 0.9) == 0.0
    for correct, rises in ((True, False), (False, True)):
        rig = Rig(monkeypatch, **{'watch.correct_bias': correct})
        rig.blank, rig.odds = {'open ?': 1.5}, {'open ?': 3.0}  # p 0.95, corrected 0.82
        rig.add()
        rig.see(1)
        assert bool(rig.events) is rises


def test_another_process_goes_on_where_one_was(rig):
    watches = [Watch('a', 'open ?', '', looks=3), Watch('b', 'b ?', '', looks=1, once=True)]
    rig.watches.add(watches)
    rig.odds = {'open ?': SURE, 'b ?': SURE}
    rig.see(1), rig.see(2)
    state, sessions = pickle.dumps(rig.watches.state()), rig.engine.sessions['front'].state()
    rig.start()
    rig.engine.sessions['front'].starts = sessions['starts']
    rig.watches.add(watches)
    rig.watches.restore(pickle.loads(state))
    rig.changes(), rig.passes.clear()
    rig.see(3, static=True)
    assert rig.changes() == [('a', Change.RISING, 3)] and not rig.passes
    assert [watch.name for watch, _ in rig.watches.listed()] == ['a']


def test_looks_keep_to_the_rate_and_a_change_is_confirmed_at_once(monkeypatch):
    rig = Rig(monkeypatch, **{'watch.max_rate': 0.25, 'watch.looks': 2})  # a look every 4 s, a frame a second
    rig.add('a ?'), rig.add('b ?')
    for stamp in range(1, 10):
        rig.see(stamp)
    assert rig.passes == [('a ?', 'b ?')] * 3 and rig.standing('watch1').stamp == 9 * SECOND
    rig.passes.clear()
    rig.odds = {'a ?': 3.0}  # p 0.95: it speaks for a change, but is not sure
    for stamp in range(10, 15):
        rig.see(stamp)
    assert rig.passes == [('a ?', 'b ?'), ('a ?',)]  # at 13, and at 14 only the one that is about to rise
    assert rig.changes() == [('watch1', Change.RISING, 14)]


def test_what_was_not_looked_at_counts_as_no_look_and_what_shows_nothing_new_waits_for_no_rate(monkeypatch):
    rig = Rig(monkeypatch, **{'watch.max_rate': 0.1})
    rig.add(looks=3)
    rig.see(1)
    rig.odds = {'open ?': SURE}
    rig.see(2), rig.see(3, static=True)  # new at 2: what was judged at 1 says nothing of it
    assert rig.standing('watch1').frames == 1 and len(rig.passes) == 1
    rig.see(11)
    rig.see(12, static=True), rig.see(13, static=True)
    assert rig.changes() == [('watch1', Change.RISING, 13)] and len(rig.passes) == 2
    rig.see(5)  # a bag starts over: the rate does not hold for what lies ahead
    assert len(rig.passes) == 3


def test_a_reset_and_a_failure_wait_for_no_rate(monkeypatch):
    rig = Rig(monkeypatch, **{'watch.max_rate': 0.1})
    rig.add()
    rig.see(1)
    rig.engine.sessions['front'].reset('for the test')
    rig.see(2)
    assert len(rig.passes) == 2
    rig.fault = RuntimeError('broken')
    rig.see(12)
    rig.fault = None
    rig.see(13)
    assert len(rig.passes) == 4 and rig.standing('watch1').stamp == 13 * SECOND
