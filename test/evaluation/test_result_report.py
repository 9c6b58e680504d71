"""From a replay to the page: what `ResultWriter` writes is what `write_report` reads, and the sample has."""

import html
import json

import pytest
import sample_results as sample
from evaluation.fake_bag import SECOND, START, FakeBag, FakeModel, open_seen

from stc_ros.evaluation import results
from stc_ros.evaluation.evaluate import Job, run_job
from stc_ros.evaluation.html_report import write_report
from stc_ros.evaluation.questions import read_questions
from stc_ros.settings import Settings

CAMERA = '/camera/image_raw'
FRAMES = [(CAMERA, t / 2, 10 + 20 * t) for t in range(10)] + [(CAMERA, 2.2, 'wrong encoding')]
QUESTIONS = """\
questions:
  - {at: 0.5, question: "what <is> seen & known?", expect: {contains: "10 30"}, tags: [door, first]}
  - {at: 1.6, question: who comes later, expect: {exact: "nobody"}, tags: [later], id: later-one, deadline: 0.000001}
  - {at: 3.2, question: how many are there, expect: {number: 7, tolerance: 0.5}}
narration:
  - {between: [0, 3], must_say: ["narrate"], must_not_say: "never"}
require: [accuracy >= 0.3]
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The result of a run with all kinds of lines."""
    folder = tmp_path_factory.mktemp('run')
    (folder / 'q.yaml').write_text(QUESTIONS)
    (folder / 'bag').write_bytes(b'x')
    settings = Settings({'narration.period': 1.0, 'prune_ratio': 0.5})
    file = read_questions(folder / 'q.yaml')
    job = Job((str(folder / 'bag'),), (), file, 'default', settings, folder / 'default')

    def opened(model, settings):
        stream = open_seen(model, settings)
        if len(model.opened) == 1:  # not those of the controls
            see = stream.see

            def broken(frame, stamp):
                if stamp == START + 4 * SECOND:
                    stream.faults['see'] = [RuntimeError('broken')]
                return see(frame, stamp)

            stream.see = broken
        return stream

    with pytest.MonkeyPatch.context() as patch:
        frames = sorted(FRAMES, key=lambda frame: frame[1])
        patch.setattr('stc_ros.io.bags.Bag', lambda paths: FakeBag(frames))
        patch.setattr('stc_ros.stream.open_stream', opened)
        assert run_job(job, lambda settings: FakeModel(opened=[])) == ''
    return folder / 'default'


def lines_of(folder, file=results.RESULT):
    return list(results.read_lines(folder / file))


def test_every_question_and_answer_is_in_the_page(folder):
    write_report([folder], folder / 'report.html')
    page = html.unescape((folder / 'report.html').read_text('utf-8'))
    questions = [line for line in lines_of(folder) if line['kind'] == 'question']
    assert [q['id'] for q in questions] == ['q1', 'later-one', 'q3']
    for question in questions:
        for text in (question['id'], question['question'], question['answer']):
            assert text and text in page, text
    assert '<is>' not in (folder / 'report.html').read_text('utf-8')  # it is text there, no tag
    for text in ('door', 'wrong encoding', 'broken', 'accuracy >= 0.3'):
        assert text in page, text


def test_the_page_says_what_the_lines_say(folder, tmp_path):
    """Another answer in the lines is another one in the page."""
    lines = lines_of(folder)
    changed = [line | {'answer': 'a purple giraffe'} if line.get('id') == 'later-one' else line for line in lines]
    sample.write(tmp_path / 'changed', changed, lines_of(folder, results.TIMING))
    write_report([tmp_path / 'changed'], tmp_path / 'report.html')
    assert 'a purple giraffe' in (tmp_path / 'report.html').read_text('utf-8')


def shape(value, free=()):
    """What kinds of values stand where; of what lies under a name in `free` only whether it is a dict or a list."""
    if isinstance(value, dict):
        return {key: type(each).__name__ if key in free else shape(each, free) for key, each in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0], free)] if value else []
    return 'number' if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def shapes(
    lines, free=('settings', 'expected', 'by_tag', 'controls', 'checks', 'tags', 'between', 'requirements', 'problems')
):
    """By kind, the fields of its lines."""
    found = {}
    for line in lines:
        kind = line.get('kind') or ('frame' if 'stamp' in line else 'question')
        found.setdefault(kind, []).append(shape(line, free))
    return found


def fields(shape):
    """Names and kinds, without what may be null or number."""
    return {key: value for key, value in shape.items() if key not in ('reused_similarity', 'value', 'accuracy')}


@pytest.fixture(scope='module')
def made_up(tmp_path_factory):
    return sample.write_run(tmp_path_factory.mktemp('sample') / 'default', pictures=True)


@pytest.mark.parametrize('kind', ['run', 'frame', 'question', 'narration', 'event', 'expectation', 'summary'])
def test_the_sample_has_the_fields_of_a_real_result(folder, made_up, kind):
    ours, real = (shapes(lines_of(each))[kind] for each in (made_up, folder))
    for each in (*ours, *real):
        assert fields(each) == fields(real[0])


def test_the_samples_nested_fields_are_those_of_a_real_result(folder, made_up):
    def nested(each):
        questions = [line for line in lines_of(each) if line['kind'] == 'question']
        checks = [c for line in lines_of(each) if line['kind'] == 'narration' for c in line['checks']]
        summary = results.read_summary(each)
        tag = next(iter(summary['by_tag'].values()))
        parts = *(q['controls'] for q in questions), checks[0], tag, summary['requirements'][0]
        return [shape(part, ('value', 'accuracy')) for part in parts]

    ours, real = nested(made_up), nested(folder)
    assert ours[0] == ours[-4] and {json.dumps(each) for each in ours} == {json.dumps(each) for each in real}


def test_the_sample_has_the_times_of_a_real_result(folder, made_up):
    ours, real = (shapes(lines_of(each, results.TIMING), ()) for each in (made_up, folder))
    assert ours.keys() == real.keys() == {'frame', 'question'}
    assert ours['frame'][0] == real['frame'][0]
    optional = {'deadline', 'late'}
    for each in (*ours['question'], *real['question']):
        assert each.keys() - optional == ours['question'][0].keys() - optional
