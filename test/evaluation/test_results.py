"""What an evaluation writes, and how it ends: the same bytes twice, killed and resumed, wrong input by name."""

import xml.etree.ElementTree as ET

import pytest
from evaluation.fake_bag import SECOND, START, FakeBag, FakeModel, open_seen

from stc_ros.__main__ import main
from stc_ros.evaluation import cli_evaluate, part_file, results
from stc_ros.evaluation.intervals import wilson
from stc_ros.evaluation.result_bag import RESULT_BAG
from stc_ros.watches import judge as judging

FRAMES = [('/a', t / 2, 10 + t) for t in range(8)]
QUESTIONS = """\
questions:
  - {at: 0.5, question: knows eleven, expect: {contains: "10 11"}, tags: [first]}
  - {at: 3, question: knows too much, expect: {pattern: "17"}, tags: [later, all], deadline: 0.000001}
narration:
  - {between: [0, 2.2], must_say: ["13", "99"], must_not_say: "17"}
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs `stc_ros evaluate` on fake frames and a fake stream -> its exit code. What the bag has may be changed."""

    class Command:
        frames, ends, length, replays = FRAMES, None, None, 0
        out = tmp_path / 'out'

        def __call__(self, *options, questions=QUESTIONS):
            file = tmp_path / 'q.yaml'
            file.write_text(questions or '')
            given = ['--questions', str(file)] if questions else []
            return main(['evaluate', str(tmp_path / 'bag'), *given, '--out', str(self.out), *options])

        def lines(self, name='default', kind=None, file=results.RESULT):
            found = list(results.read_lines(self.out / name / file))
            return [line for line in found if line.get('kind') == kind] if kind else found

        def settings(self, text, name):
            (tmp_path / name).write_text(text)
            return '--settings', str(tmp_path / name)

    command = Command()
    (tmp_path / 'bag').write_bytes(b'x')

    def opened(model, settings):
        command.replays += 1
        return open_seen(model, settings)

    def read(paths):
        return FakeBag(command.frames, command.ends, command.length)

    monkeypatch.setattr('stc_ros.io.bags.Bag', read)
    monkeypatch.setattr('stc_ros.stream.open_stream', opened)
    monkeypatch.setattr('stc_ros.evaluation.evaluate._model', lambda settings: FakeModel(opened=[]))
    monkeypatch.setattr(cli_evaluate, 'write_html', lambda folders, file: file.write_text('report'))
    return command


def test_what_a_result_holds(command, capsys):
    assert command() == 0
    kinds = [line['kind'] for line in command.lines()]
    assert kinds[0] == 'run' and kinds[-1] == 'summary' and kinds.count('frame') == 8 and kinds.count('question') == 2
    head, summary = command.lines()[0], command.lines()[-1]
    assert head['topics'] == ['/a'] and head['model'] == 'embedded' and head['settings'] == {}
    first, later = command.lines(kind='question')
    assert first['id'] == 'q1' and first['stamp'] == START + SECOND // 2 and first['answer'] == 'knows eleven 10 11'
    assert (first['score'], first['passed'], later['score'], later['passed']) == (1, True, 0, False)
    assert first['controls']['newest'] == {'answer': 'knows eleven 11', 'score': 0}
    assert (first['first_stamp'], first['last_stamp'], first['frames']) == (START, START + SECOND // 2, 2)
    assert [each['stamp'] for each in first['strip']] == [START]  # all that was seen before its newest frame
    for name in (first['thumbnail'], first['overlay'], first['strip'][0]['overlay']):
        assert (command.out / 'default' / name).read_bytes()[:2] == b'\xff\xd8'
    assert summary['accuracy'] == 0.5 and summary['n'] == 2 and summary['by_tag']['later']['accuracy'] == 0
    assert summary['controls'] == {'blank': 0, 'newest': 0, 'last4': 0.5}
    assert summary['interval'] == wilson(0.5, 2) and summary['by_tag']['later']['interval'] == wilson(0, 1)
    met = {(each['must'], each['text']): each['passed'] for each in command.lines(kind='expectation')}
    assert met == {('say', '13'): True, ('say', '99'): False, ('not say', '17'): True}
    (told,) = [line for line in command.lines(kind='narration') if line['checks']]
    assert told['checks'][0] == {'must': 'say', 'text': '13', 'passed': True} and told['stamp'] == START + 2 * SECOND
    assert 'default' in (out := capsys.readouterr().out) and '0.500' in out and 'last4' in out


def test_times_of_the_clock_stand_apart(command):
    command()
    timing = command.lines(file=results.TIMING)
    frames, answers = [t for t in timing if 'stamp' in t], [t for t in timing if 'id' in t]
    assert len(frames) == 8 and set(frames[0]) == {'stamp', 'camera', 'ms', 'total_ms'}
    assert [answer.get('late') for answer in answers] == [None, True]
    assert '_ms' not in (command.out / 'default' / results.RESULT).read_text()


def test_two_runs_write_the_same_bytes(command, tmp_path):
    def everything():
        measured = (results.TIMING, RESULT_BAG)  # hold milliseconds
        files = sorted(f for f in command.out.rglob('*') if f.is_file() and f.name not in measured)
        return {f.relative_to(command.out): f.read_bytes() for f in files}

    command()
    first = everything()
    command.out = tmp_path / 'other'
    command()
    pictures = {line[name] for line in command.lines(kind='question') for name in ('thumbnail', 'overlay')}
    pictures |= {each['overlay'] for line in command.lines(kind='question') for each in line['strip']}
    assert everything() == first and len(first) == 3 + len(pictures)  # result, junit, report


def test_a_finished_run_is_not_done_anew_unless_something_else_is_asked(command):
    command()
    assert command.replays == 3  # the stream and the two of its controls
    command()
    assert command.replays == 3
    command(questions=QUESTIONS.replace('"17"', '"16"'))
    assert command.replays == 6
    assert command('--no-controls', questions=QUESTIONS) == 0 and command.replays == 7
    assert command.lines()[-1]['controls'] == {}


@pytest.mark.parametrize('dies_at', [0, 1, 5, 9, 14, 'finish', 'rename'])
def test_killed_anywhere_it_goes_on_to_the_same_bytes(command, tmp_path, monkeypatch, dies_at):
    options = [*command.settings('prune_ratio: 0.25', 'A.yaml'), *command.settings('prune_ratio: 0.75', 'B.yaml')]
    command(*options)
    whole = {name: (command.out / name / results.RESULT).read_bytes() for name in 'AB'}
    command.out = tmp_path / 'killed'

    class Killed(BaseException):
        pass

    written, write, replace = [], results.ResultWriter._write, part_file.os.replace

    def die(*_):
        raise Killed

    def write_some(writer, line):
        if writer.folder.name == 'B':
            written.append(line)
            if dies_at == len(written) - 1 or (dies_at == 'finish' and line['kind'] == 'summary'):
                writer._result._open.write('{"kind": "fra')  # what a kill leaves
                raise Killed
        write(writer, line)

    monkeypatch.setattr(results.ResultWriter, '_write', write_some)
    if dies_at == 'rename':
        monkeypatch.setattr(
            part_file.os,
            'replace',
            lambda a, b: die() if b.parent.name == 'B' and b.name == results.RESULT else replace(a, b),
        )
    with pytest.raises(Killed):
        command(*options)
    assert not (command.out / 'B' / results.RESULT).exists()
    monkeypatch.setattr(results.ResultWriter, '_write', write)
    monkeypatch.setattr(part_file.os, 'replace', replace)
    replays = command.replays
    command(*options)
    assert command.replays == replays + 3  # A is not done anew
    assert {name: (command.out / name / results.RESULT).read_bytes() for name in 'AB'} == whole
    assert not list(command.out.glob('*/*.part'))


def test_the_bag_can_be_left_out_and_made_later(command):
    bag = command.out / 'default' / RESULT_BAG
    assert command('--no-bag') == 0 and not bag.exists()
    whole = (command.out / 'default' / results.RESULT).read_bytes()
    assert command() == 0 and bag.exists() and command.replays == 6  # twice a stream and the two of its controls
    assert (command.out / 'default' / results.RESULT).read_bytes() == whole
    assert command('--no-bag') == 0 and bag.exists() and command.replays == 6
    command('--no-bag', questions=QUESTIONS.replace('"17"', '"16"'))
    assert command.replays == 9 and not bag.exists()  # it was of another run


def test_requirements_decide_about_the_exit_code_and_junit_says_why(command, capsys):
    assert command(questions=QUESTIONS + 'require: [accuracy >= 0.5, accuracy >= 1 on tag:first]\n') == 0
    assert command(questions=QUESTIONS + 'require:\n  - accuracy >= 0.5\n  - accuracy >= 0.5 on tag:later\n') == 1
    assert 'FAILED: accuracy >= 0.5 on tag:later (0.000)' in capsys.readouterr().out
    suites = {s.get('name'): s for s in ET.parse(command.out / 'default' / results.JUNIT).getroot()}
    assert suites['default requirements'].get('failures') == '1' and suites['default requirements'].get('tests') == '2'
    assert suites['default questions'].get('skipped') == '1'  # a wrong answer that a requirement may allow
    command(questions=QUESTIONS)
    suites = {s.get('name'): s for s in ET.parse(command.out / 'default' / results.JUNIT).getroot()}
    assert suites['default questions'].get('failures') == '1' and suites['default narration'].get('failures') == '1'


def test_a_bag_without_questions_gives_frames_and_narrations(command):
    assert command(questions=None) == 0
    assert command.lines()[-1]['n'] == 0 and command.lines()[-1]['accuracy'] is None
    assert command.lines(kind='narration')


@pytest.mark.parametrize(
    'change, word',
    [
        ({'questions': 'questions:\n  - {at: 1, question: a, expct: {}}\n'}, 'q.yaml:2: a question has no field'),
        ({'questions': QUESTIONS.replace('at: 3', 'at: 0.4')}, "q.yaml:3: question 'q2', at 0.4 s, stands behind 'q1'"),
        ({'options': ['--camera', '/none']}, 'there is no topic /none; its image topics: /a'),
        ({'frames': [*FRAMES, ('/b', 4, 1)]}, 'its image topics: /a, /b'),
        ({'settings': ('prun_ratio: 0.5', 'A.yaml')}, 'A.yaml:1: there is no parameter'),
        ({'questions': QUESTIONS + 'require: [gain >= 0.1]', 'options': ['--no-controls']}, 'leave out --no-controls'),
        ({'options': ['--no-narration']}, 'leave out --no-narration'),
    ],
)
def test_wrong_input_is_named_before_anything_is_done(command, capsys, change, word):
    command.frames = change.get('frames', FRAMES)
    options = [*change.get('options', ()), *(command.settings(*change['settings']) if 'settings' in change else ())]
    assert command(*options, questions=change.get('questions', QUESTIONS)) == 2
    assert word in capsys.readouterr().err and command.replays == 0


def test_what_is_right_is_evaluated_all_the_same(command, capsys):
    """A settings file, a camera and a time that are wrong, a frame that cannot be read, and a bag that breaks off."""
    command.frames, command.ends, command.length = (
        [*FRAMES[:4], ('/a', 2, 'wrong encoding')],
        'bag.mcap is truncated',
        9,
    )
    more = '  - {at: 3, camera: /b, question: x, expect: {exact: a}}\n  - {at: 10, question: y, expect: {exact: a}}\n'
    questions = QUESTIONS.replace('narration:', more + 'narration:')
    wrong, right = (
        command.settings('prune_ratio: 9.0', 'wrong.yaml'),
        command.settings('prune_ratio: 0.5', 'right.yaml'),
    )
    assert command(*wrong, *right, questions=questions) == 2
    told = capsys.readouterr().err
    for word in (
        'wrong.yaml:1: prune_ratio must lie in',
        'q.yaml:4: there is no topic /b',
        "q.yaml:5: question 'q4' is out of range: the bag is 9 s long, and 10 s lies behind its end",
        'bag.mcap is truncated; what came before it was evaluated',
        '1 questions were not asked: q2',
        '/a: 1 of 5 frames cannot be used: wrong encoding',
    ):
        assert word in told
    (question,) = command.lines('right', 'question')
    assert question['passed'] and len(command.lines('right')[-1]['problems']) == 5
    assert command(*wrong, *right, questions=questions) == 2 and 'truncated' in capsys.readouterr().err  # still so


def test_settings_of_one_name_are_refused(command, tmp_path, capsys):
    (tmp_path / 'x').mkdir()
    assert command(*command.settings('', 'A.yaml'), *command.settings('', 'x/A.yaml')) == 2
    assert "called 'A'" in capsys.readouterr().err


@pytest.fixture
def watches(tmp_path, monkeypatch):
    """A file of watches; what is judged likely is a frame's brightness above 12."""
    monkeypatch.setattr(judging, 'read_condition', lambda model, text: text)
    monkeypatch.setattr(
        judging, 'judge', lambda stream, texts, *_: [9.0 if 12 < stream.levels[-1] < 100 else -9.0] * len(texts)
    )
    file = tmp_path / 'w.yaml'
    file.write_text('watches:\n  - {name: bright, condition: bright, looks: 2, time_limit: 3}\n')
    return file


def test_events_of_watches_are_written_down(command, watches):
    assert command('--watches', str(watches), '--no-bag') == 0
    events = command.lines(kind='event')
    assert [(e['event'], (e['stamp'] - START) / SECOND) for e in events] == [
        ('bright rising', 2.0),
        ('bright expired', 3.0),
    ]
    assert events[0]['text'] == 'bright (p 1.000)' and events[0]['camera'] == '/a'
    replays = command.replays
    assert command('--watches', str(watches), '--no-bag') == 0 and command.replays == replays  # it is finished
    watches.write_text(watches.read_text().replace('looks: 2', 'looks: 1'))
    assert command('--watches', str(watches), '--no-bag') == 0
    assert (command.lines(kind='event')[0]['stamp'] - START) / SECOND == 1.5


def test_a_wrong_watch_is_named_and_nothing_is_evaluated(command, watches, capsys):
    watches.write_text('watches:\n  - condition: a\n    camera: /b\n')
    assert command('--watches', str(watches), '--no-bag') == 2
    assert f"{watches}:2: there is no camera '/b'; there are: /a" in capsys.readouterr().err
    watches.write_text('watches:\n  - condition: a\n    looks: x\n')
    assert command('--watches', str(watches), '--no-bag') == 2
    assert f'{watches}:3: looks has to be a number' in capsys.readouterr().err
