"""Questions asked when another topic says something: which messages count, when each is asked, what is wrong."""

import pytest
from evaluation.fake_bag import START, FakeBag
from small_bags import BEGIN, TOPIC, put

from stc_ros.evaluation.datasets.bag import BagDataset
from stc_ros.evaluation.evaluate import plan
from stc_ros.evaluation.question_events import Event, stamps_of
from stc_ros.evaluation.questions import QuestionFileError, read_questions
from stc_ros.evaluation.requirements import read_requirement
from stc_ros.evaluation.results import RESULT, ResultWriter, read_lines
from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.bags import Bag, BagError, BagMessage

SECOND = 10**9
DOOR = [False, True, True, False, True, False]  # at 0.05, 0.15, ... s


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """A second of frames, and what a door, a battery, a state machine and a detector say."""
    path = tmp_path_factory.mktemp('events') / 'bag'
    with BagWriter(path) as writer:
        for number in range(11):
            put(writer, number)
        for number, open in enumerate(DOOR):
            stamp = BEGIN + number * SECOND // 10 + 50_000_000
            writer.write('/door/open', 'std_msgs/msg/Bool', stamp, writer.make('std_msgs/Bool', open))
            level = writer.make('std_msgs/Float32', 0.1 * number)
            writer.write('/battery', 'std_msgs/msg/Float32', stamp, level)
            writer.text('/state', stamp, f'docking {number}')
            header = writer.header(stamp - 10_000_000, 'map')  # measured before it was recorded
            place = writer.make('geometry_msgs/Point', float(number), 0.0, 0.0)
            writer.write(
                '/place',
                'geometry_msgs/msg/PointStamped',
                stamp,
                writer.make('geometry_msgs/PointStamped', header, place),
            )
            status = writer.make('diagnostic_msgs/DiagnosticStatus', number % 3, 'camera', '', 'id', [])
            array = writer.make('diagnostic_msgs/DiagnosticArray', header, [status] * (number % 2))
            writer.write('/status', 'diagnostic_msgs/msg/DiagnosticArray', stamp, array)
    with Bag([path]) as opened:
        yield opened


def asked(bag, tmp_path, on, more=''):
    """on: what stands behind `on:` -> (id, s from the start) of all that is asked, and what is said of the others."""
    file = tmp_path / 'q.yaml'
    file.write_text(f'questions:\n  - on: {on}\n    id: door\n    question: what ?\n    expect: {{exact: a}}\n{more}')
    planned = plan(bag, (), read_questions(file))
    return [(each.question.id, round((each.stamp - BEGIN) / 1e9, 3)) for each in planned.questions], planned.problems


@pytest.mark.parametrize(
    'on, when',
    [
        ('{topic: /door/open, field: data, equals: true}', [0.15, 0.25, 0.45]),
        ('{topic: door/open, field: data, equals: true, which: each, after: 0.5}', [0.65, 0.75, 0.95]),
        ('{topic: /door/open, field: data, equals: true, edge: true}', [0.15, 0.45]),
        ('{topic: /door/open, field: data, equals: no, edge: true}', [0.35, 0.55]),  # closed at first is no closing
        ('{topic: /door/open, field: data, equals: true, which: first}', [0.15]),
        ('{topic: /door/open, field: data, equals: true, which: 2}', [0.25]),
        ('{topic: /door/open, field: data, equals: true, which: last}', [0.45]),
        ('{topic: /door/open, which: last}', [0.55]),
        ('{topic: /battery, field: data, above: 0.15, below: 0.35}', [0.25, 0.35]),
        ('{topic: /battery, field: data, equals: 0.3}', [0.35]),  # a float32, which is not 0.3 in double
        ('{topic: /state, field: data, contains: "5"}', [0.55]),
        ('{topic: /state, field: data, equals: docking 2}', [0.25]),
        ('{topic: /place, field: point.x, equals: 3}', [0.34]),  # its header's stamp counts
        ('{topic: /status, field: status.0.level, equals: 2}', [0.54]),  # an empty list meets nothing
        ('{topic: /place, field: header.frame_id, contains: a, which: 6}', [0.54]),
    ],
)
def test_which_messages_count(bag, tmp_path, on, when):
    found, problems = asked(bag, tmp_path, on)
    assert [at for _, at in found] == when and not problems
    assert [name for name, _ in found] == ['door', 'door.2', 'door.3'][: len(when)]


@pytest.mark.parametrize(
    'on, word',
    [
        ('{topic: /dor/open}', 'the bag has no topic /dor/open (did you mean /door/open?)'),
        (
            '{topic: /door/open, field: dta, equals: true}',
            "field dta: there is no 'dta' (did you mean data?); there is data",
        ),
        ('{topic: /place, field: point.w, equals: 1}', 'there is x, y, z'),
        ('{topic: /place, field: point, equals: 1}', 'equals: 1 does not fit the field, which is a Point'),
        ('{topic: /door/open, field: data, above: 1}', 'does not fit a field that is true or false'),
        ('{topic: /state, field: data, above: 1}', "needs a number, and the field is the text 'docking 0'"),
        ('{topic: /battery, field: data, equals: full}', 'equals: full does not fit the field, which is a number'),
        ('{topic: /battery, field: data, above: 7}', 'none of the 6 messages on /battery meets the condition'),
        ('{topic: /door/open, field: data, equals: true, which: 4}', 'there are 3 such messages on /door/open, not 4'),
        ('{topic: /door/open, field: data, equals: true, which: last, after: 9}', 'lies behind its end'),
    ],
)
def test_what_cannot_be_asked_is_named_and_the_rest_is_asked(bag, tmp_path, on, word):
    more = '  - {at: 0.5, question: x, expect: {exact: a}}\n'
    found, (problem,) = asked(bag, tmp_path, on, more)
    assert found == [('q2', 0.5)]
    assert problem.startswith(f'{tmp_path}/q.yaml:2: ') and word in problem and "'door'" in problem


@pytest.mark.parametrize(
    'on, word',
    [
        ('/door', 'mapping'),
        ('{field: data, equals: 1}', 'lacks topic'),
        ('{topic: /a, feld: data}', 'did you mean field'),
        ('{topic: /a, equals: 1}', 'no field'),
        ('{topic: /a, field: data}', 'needs one of equals'),
        ('{topic: /a, field: data, above: high}', "not 'high'"),
        ('{topic: /a, edge: true}', 'belongs to a condition'),
        ('{topic: /a, which: none}', "not 'none'"),
        ('{topic: /a, which: 0}', "not '0'"),
        ('{topic: /a, after: -1}', '0 or more'),
    ],
)
def test_a_mistake_in_on_is_named_with_its_line(tmp_path, on, word):
    file = tmp_path / 'q.yaml'
    file.write_text(f'questions:\n  - question: what ?\n    on: {on}\n    expect: {{exact: a}}\n')
    with pytest.raises(QuestionFileError) as caught:
        read_questions(file)
    assert str(caught.value).startswith(f'{file}:3: ') and word in str(caught.value)


def test_events_are_merged_in_by_time_and_need_no_order(bag, tmp_path):
    more = '  - {at: 0.2, question: x, expect: {exact: a}}\n  - {at: 0.3, question: x, expect: {exact: a}}\n'
    found, _ = asked(bag, tmp_path, '{topic: /door/open, field: data, equals: true}', more)
    assert found == [('door', 0.15), ('q2', 0.2), ('door.2', 0.25), ('q3', 0.3), ('door.3', 0.45)]
    with pytest.raises(QuestionFileError, match='q3.*stands behind'):  # those of `at` have one
        asked(bag, tmp_path, '{topic: /door/open}', more.replace('0.3', '0.1'))


def test_an_id_that_an_events_question_makes_is_refused_elsewhere(bag, tmp_path):
    more = '  - {at: 0.9, id: door.2, question: x, expect: {exact: a}}\n'
    with pytest.raises(QuestionFileError, match=r":6: the id 'door.2' is also that of a question of line 2"):
        asked(bag, tmp_path, '{topic: /door/open}', more)


def test_what_a_bag_gave_before_it_broke_counts():
    class Broken:
        def topics(self):
            return [('/a', 'any', 2)]

        def messages(self, topics):
            yield BagMessage('/a', 'any', 5, None)
            raise BagError('it is cut off')

    event = Event(1, '/a')
    found, (problem,) = stamps_of(Broken(), [event])
    assert found == {event: [5]} and 'cut off' in problem


def test_a_question_without_at_and_on_or_with_both_is_refused(tmp_path):
    file = tmp_path / 'q.yaml'
    for fields, word in (('', 'lacks at'), ('at: 1, on: {topic: /a}, ', 'at or on, not both')):
        file.write_text(f'questions:\n  - {{{fields}question: x, expect: {{exact: a}}}}\n')
        with pytest.raises(QuestionFileError, match=f':2: .*{word}'):
            read_questions(file)


# Events that are expected


def test_events_that_must_happen_and_must_not(tmp_path):
    file = tmp_path / 'q.yaml'
    file.write_text(
        'events:\n'
        '  - {between: [0, 2], must_happen: reset, must_not_happen: failure, tags: [calm]}\n'
        '  - {between: [2, 9], must_happen: [reset, failure], must_not_happen: reset}\n'
        'require: [events >= 0.6, events == 1 on tag:calm]\n'
    )
    found = read_questions(file)
    planned = plan(FakeBag([('/a', 0, 1), ('/a', 9, 1)]), (), found)
    writer = ResultWriter(tmp_path / 'out', {'kind': 'run'}, planned.spans, found.requirements)
    writer.begin()
    writer.event('/a', START + SECOND, 'reset', 'asked to')
    writer.event('/b', START + SECOND, 'failure', 'of another camera')
    writer.event('/a', START + 3 * SECOND, 'failure', 'model')
    writer.finish()
    *_, summary = lines = list(read_lines(tmp_path / 'out' / RESULT))
    met = [(e['must'], e['text'], e['passed']) for e in lines if e['kind'] == 'expectation']
    assert met == [('happen', 'reset', True), ('not happen', 'failure', True),
                   ('happen', 'reset', False), ('happen', 'failure', True), ('not happen', 'reset', True)]  # fmt: skip
    assert summary['events'] == {'n': 5, 'passed': 4} and summary['narration'] == {'n': 0, 'passed': 0}
    assert [(each['value'], each['passed']) for each in summary['requirements']] == [(0.8, True), (1.0, True)]
    assert 'name="out events" tests="5"' in (tmp_path / 'out' / 'junit.xml').read_text()


def test_narrations_and_events_count_apart():
    checks = [{'must': 'not say', 'passed': True, 'tags': []}, {'must': 'happen', 'passed': False, 'tags': []}]
    assert read_requirement('narration >= 1').check([], checks)['passed']
    assert not read_requirement('events > 0').check([], checks)['passed']


def test_an_event_that_does_not_exist_is_refused(tmp_path):
    file = tmp_path / 'q.yaml'
    file.write_text('events:\n  - between: [0, 2]\n    must_not_happen: [resett]\n')
    with pytest.raises(QuestionFileError, match=":3: no event is called 'resett' .did you mean reset"):
        read_questions(file)


# What is not labelled


PROPOSED = 'questions:\n  - {at: 0.1, question: x, proposed: "yes"}\n'


def test_what_a_robot_proposed_is_never_asked_nor_scored(bag, tmp_path):
    file = tmp_path / 'q.yaml'
    file.write_text(PROPOSED + '  - {at: 0.2, question: y, expect: {yes/no: yes}}\n')
    found = read_questions(file)
    planned = plan(bag, (), found)
    assert [each.question.id for each in planned.questions] == ['q2']
    (problem,) = planned.problems
    assert (
        ':2: 1 question is unlabelled (q1)' in problem and f'stc_ros questions label BAG --questions {file}' in problem
    )
    with pytest.raises(ValueError, match='nobody has said'):  # not even by another way
        found.unlabelled[0].expect.score('yes')
    file.write_text(PROPOSED + PROPOSED.split('\n', 1)[1])
    with pytest.raises(QuestionFileError, match='2 questions are unlabelled'):  # nothing is left: no model is loaded
        plan(bag, (), read_questions(file))
    file.write_text(PROPOSED.replace('proposed', 'expect: {exact: a}, proposed'))
    with pytest.raises(QuestionFileError, match='expect or proposed, not both'):
        read_questions(file)


def test_the_bag_is_a_real_one(bag):
    assert bag.choose() == TOPIC and bag.end_ns - bag.start_ns == SECOND


def test_as_a_data_set_each_time_of_an_event_is_scored(bag, tmp_path):
    file = tmp_path / 'q.yaml'
    file.write_text(
        'questions:\n  - on: {topic: /door/open, field: data, equals: true}\n    question: x\n    expect: {exact: a}\n'
    )
    made = BagDataset(str(bag.paths[0]), str(file))
    (episode,) = made.episodes()
    assert [each.id for each in episode.questions] == ['q1', 'q1.2', 'q1.3']
    assert [made.score(each, 'a')['strict'] for each in episode.questions] == [1, 1, 1]
