"""The traps of the published benchmarks, each with its test: what their scripts count, and where this differs."""

import json

import pytest
from made_datasets import MAKERS, make_video, parameters

from stc_ros.evaluation.datasets.base import Question, Scored, datasets, timed
from stc_ros.evaluation.datasets.streaming_bench import to_seconds
from stc_ros.evaluation.datasets.video_mme import read_subtitles

COLOURS = ('red', 'dark red', 'blue', 'grey')


def choice(right, options=COLOURS):
    return Question(0, 'which ?', right, ('EPM',), options=options)


def score(name, question, answer):
    return datasets.create(name).score(question, answer)


def figures(name, scored):
    return {
        label: sum(p.weight * p.mean for p in parts) for label, parts in datasets.create(name).totals(scored).items()
    }


def make(name, folder, **values):
    MAKERS[name](folder)
    return datasets.create(name, parameters(name, folder) | {f'dataset.{name}.{k}': v for k, v in values.items()})


def all_questions(data):
    return [question for episode in data.episodes() for question in episode.questions]


# OVO-Bench


def test_ovo_its_script_counts_an_answer_that_lists_all_letters():
    found = [score('ovo_bench', choice(right), 'A B C D') for right in 'ABCD']
    assert [each['official'] for each in found] == [1, 1, 1, 1]
    assert [each['strict'] for each in found] == [1, 0, 0, 0] and not any(each['lenient'] for each in found)


def test_ovo_its_script_finds_the_letter_within_a_word():
    assert score('ovo_bench', choice('B'), 'Blue, I think')['official'] == 1
    assert score('ovo_bench', choice('B'), 'Blue, I think')['strict'] == 0


@pytest.mark.parametrize('answer, strict, lenient, official', [
    ('2', 1, 1, 1), ('2.', 1, 1, 1), ('2 times', 0, 1, 1), ('two', 0, 1, 0), ('there are 2, or 3', 0, 1, 0),
    ('23', 0, 0, 0), ('none', 0, 0, 0),
])  # fmt: skip
def test_ovo_all_digits_of_a_count_are_joined(answer, strict, lenient, official):
    found = score('ovo_bench', Question(0, 'how many ?', '2', ('REC', 'forward')), answer)
    assert found == {'strict': strict, 'lenient': lenient, 'official': official}


@pytest.mark.parametrize('right, answer, strict, lenient, official', [
    ('Yes', 'Yes', 1, 1, 1), ('Yes', 'Y', 1, 0, 1), ('Yes', 'yes', 1, 1, 0), ('No', 'No, not Yes', 1, 1, 1),
    ('Yes', 'No, not Yes', 0, 0, 1), ('No', 'Nothing is seen', 0, 0, 1), ('No', 'N', 1, 0, 1), ('No', 'N.', 1, 0, 0),
])  # fmt: skip
def test_ovo_yes_and_no_are_found_anywhere_by_its_script(right, answer, strict, lenient, official):
    for task in ('SSR', 'CRR'):
        found = score('ovo_bench', Question(0, 'now ?', right, (task, 'forward')), answer)
        assert found == {'strict': strict, 'lenient': lenient, 'official': official}


def test_ovo_tasks_and_groups_weigh_the_same_however_many_questions_they_have():
    scored = [Scored('', ('EPM', 'backward'), 1.0)] + [Scored('', ('HLD', 'backward'), 0.0)] * 9
    scored += [Scored('', ('OCR', 'realtime'), 1.0)]
    assert figures('ovo_bench', scored) == {'backward (mean of tasks)': 0.5, 'realtime (mean of tasks)': 1.0}
    scored += [Scored('', ('CRR', 'forward'), 0.0)] * 4
    assert figures('ovo_bench', scored)['total (mean of groups)'] == pytest.approx(0.5)


def test_ovo_moments_of_forward_tasks_are_put_in_order_and_asked_one_by_one(tmp_path):
    steps = [q for q in all_questions(make('ovo_bench', tmp_path)) if q.tags[0] == 'SSR']
    assert [(q.stamp // 10**9, q.id, q.expected) for q in steps] == [
        (2, '5_1', 'No'),
        (3, '5_2', 'Yes'),
        (5, '5_0', 'Yes'),
    ]


def test_ovo_published_clips_are_read_to_the_question_and_not_to_their_end(tmp_path):
    data = make('ovo_bench', tmp_path, fps=60.0)
    (tmp_path / 'src_videos/Ego4D/clips/one.mp4').unlink()
    for name in (0, 1):
        make_video(tmp_path / f'chunked_videos/{name}.mp4', 6)  # of question 0, at 5.4 s
    episodes = {episode.name: episode for episode in data.episodes()}
    cut = episodes['chunked_videos/0.mp4']
    assert [q.id for q in cut.questions] == ['0'] and max(stamp for stamp, _ in cut.frames) == 5_250_000_000
    assert 'chunked_videos/1.mp4' in episodes and 'src_videos/Ego4D/clips/two.mp4' in episodes


# StreamingBench


def test_streaming_the_first_character_is_all_that_counts():
    found = [
        score('streaming_bench', choice('A'), answer)['strict'] for answer in ('A', 'A. red', 'An object', 'Answer: A')
    ]
    assert found == [1, 1, 1, 1]  # as its script does
    assert [score('streaming_bench', choice('A'), answer)['lenient'] for answer in ('An object', 'Answer: B')] == [0, 0]
    assert score('streaming_bench', choice('B'), 'Answer: B') == {'strict': 0, 'lenient': 1}


def test_streaming_times_are_read_in_all_their_forms():
    assert [to_seconds(t) for t in ('00:03:10', '0:12:05', '00:24', '00:00:8')] == [190, 725, 24, 8]


def test_streaming_a_sequence_tells_the_right_answers_of_earlier_questions_and_of_no_later_one(tmp_path):
    first, second = (q for q in all_questions(make('streaming_bench', tmp_path, part='sqa')))
    assert (first.stamp, second.stamp) == (2 * 10**9, 4 * 10**9)  # the file has them the other way round
    assert '00:00:04' not in first.text.split('Question:')[0] and 'occurred' not in first.text
    assert 'At timestamp 00:00:02' in second.text and 'Answer: B; ' in second.text


def test_streaming_a_proactive_answer_is_polled_from_a_second_behind_the_question_to_four_behind_its_moment(tmp_path):
    (question,) = all_questions(make('streaming_bench', tmp_path, part='proactive'))
    assert (question.poll.first, question.poll.period, question.stamp) == (2 * 10**9, 10**9, 8 * 10**9)
    assert 'output "GO". Is it the right time to output "GO"?' in question.poll.text
    assert 'right time' not in question.text


@pytest.mark.parametrize('moment, said, strict, lenient, time', [
    (4, 'GO', 1, 1, 1), (6, 'I say GO!', 1, 1, 1), (2, 'go', 0, 1, 1), (7, 'GO', 0, 0, 0), (1, 'GO', 0, 0, 0),
    (5, 'stop', 0, 0, 1),
])  # fmt: skip
def test_streaming_a_proactive_answer_has_to_come_within_two_seconds(tmp_path, moment, said, strict, lenient, time):
    data = make('streaming_bench', tmp_path, part='proactive')
    (question,) = all_questions(data)
    found = data.score(question, timed(moment * 10**9, said))
    assert found == {'strict': strict, 'lenient': lenient, 'time': time}


def test_streaming_sound_that_is_not_heard_and_files_that_are_not_there_are_spoken_of(tmp_path):
    data = make('streaming_bench', tmp_path)
    (tmp_path / 'questions_real.json').unlink()
    assert {q.tags[1] for q in all_questions(data)} == {'omni', 'sqa', 'proactive'}
    assert any('sound' in note for note in data.notes) and any('questions_real.json' in note for note in data.notes)


# RTV-Bench


def rtv(*scores):
    """(group, level, right) -> scored"""
    return [Scored(f'q-group-{g}-{level}-option1', (f'level {level}', 'Event', 'Perception', 'TP'), float(right))
            for g, level, right in scores]  # fmt: skip


def test_rtv_a_level_2_question_counts_only_where_its_group_is_right_below():
    label = 'score (level 2 of groups right below)'
    assert figures('rtv_bench', rtv(('a', 0, 1), ('a', 1, 1), ('a', 2, 1), ('a', 2, 0)))[label] == 0.5
    assert figures('rtv_bench', rtv(('a', 0, 0), ('a', 1, 1), ('a', 2, 1), ('b', 2, 1)))[label] == 0.5
    assert figures('rtv_bench', rtv(('a', 2, 1)))[label] == 1.0  # what is missing below counts as right
    assert label not in figures('rtv_bench', rtv(('a', 0, 1)))


def test_rtv_means_are_over_levels_and_not_over_questions():
    found = figures('rtv_bench', rtv(('a', 0, 1), *[(f'b{i}', 2, 0) for i in range(9)]))
    assert found['mean of levels'] == 0.5 and found['mean of main kinds'] == pytest.approx(0.1)


@pytest.mark.parametrize('answer, right', [
    ('C', 1), ('c', 1), ('The answer is C', 1), ("I don't know. C", 0), ('option: C', 1), ('Cars', 1), ('a C', 0),
])  # fmt: skip
def test_rtv_the_first_letter_that_stands_alone_counts(answer, right):
    """Of "I don't know. C" its script takes the T of "don't" and the I, then the first character: none is an option."""
    assert score('rtv_bench', choice('C'), answer)['strict'] == right


def test_rtv_one_question_at_several_times_has_its_own_answer_at_each(tmp_path):
    found = [q for q in all_questions(make('rtv_bench', tmp_path)) if q.id.startswith('q-group-aa1-2')]
    assert [(q.text, q.stamp, q.expected) for q in found] == [
        (found[0].text, 1_500_000_000, 'A'), (found[0].text, 6_250_000_000, 'B')]  # fmt: skip


# MLVU


def test_mlvu_its_average_is_that_of_the_tasks():
    scored = [Scored('', ('count',), 1.0)] + [Scored('', ('ego',), 0.0)] * 9
    assert figures('mlvu', scored) == {'M-Avg (mean of tasks)': 0.5}


@pytest.mark.parametrize('answer, right', [
    ('B', 1), ('(B', 0), ('B)', 1), ('(B) dark red', 1), ('B. dark red', 0), ('I think (B)', 1), (')', 0),
])  # fmt: skip
def test_mlvu_its_script_takes_what_stands_before_the_first_bracket(answer, right):
    assert score('mlvu', choice('B'), answer)['strict'] == right


def test_mlvu_what_its_script_can_never_count_is_left_out_and_spoken_of(tmp_path):
    data = make('mlvu', tmp_path)
    assert 'violet' not in ' '.join(q.text for q in all_questions(data)) and not data.problems
    assert any('2_needle.json: record 1' in note and 'violet' in note for note in data.notes)


def test_mlvu_of_two_equal_options_its_script_takes_the_last_and_lenient_both(tmp_path):
    (question,) = [q for q in all_questions(make('mlvu', tmp_path)) if 'x' in q.options]
    assert question.expected == 'C'
    assert score('mlvu', question, 'A') == {'strict': 0, 'lenient': 1} and score('mlvu', question, 'C')['strict'] == 1


def test_mlvu_what_needs_a_judge_is_not_asked_and_spoken_of(tmp_path):
    data = make('mlvu', tmp_path)
    assert not any('summarize' in q.text for q in all_questions(data))
    told = [note for note in data.notes if note.endswith('needs a language model as its judge: not asked')]
    assert [note.split('.')[0] for note in told] == ['8_sub_scene', '9_summary']


# Video-MME


@pytest.mark.parametrize('answer, right', [
    ('C', 1), ('C. Blue.', 1), ('The best answer is C', 1), ('Answer: C', 1), ('A cat, so C', 0), ('blue', 0),
    ('Definitely C', 0), ('The best option is C', 1),
])  # fmt: skip
def test_video_mme_the_first_capital_of_the_four_counts(answer, right):
    assert score('video_mme', choice('C'), answer)['strict'] == right


def test_video_mme_an_answer_without_a_letter_is_wrong_and_not_left_out():
    assert score('video_mme', choice('C'), 'there is nothing to be seen') == {'strict': 0, 'lenient': 0}


def test_video_mme_is_tagged_by_length_and_asked_at_the_end(tmp_path):
    pytest.importorskip('pyarrow', reason="pyarrow is not installed: pip install 'stc_ros[datasets]'")
    data = make('video_mme', tmp_path)
    found = all_questions(data)
    assert [q.tags[0] for q in found] == ['short', 'short', 'long'] and {q.stamp for q in found} == {8 * 10**9}
    assert [q.tags[0] for q in all_questions(datasets.create('video_mme', parameters('video_mme', tmp_path) | {
        'dataset.video_mme.duration': 'long'}))] == ['long']  # fmt: skip


def test_video_mme_subtitles_are_those_of_the_frames_that_were_shown(tmp_path):
    pytest.importorskip('pyarrow', reason="pyarrow is not installed: pip install 'stc_ros[datasets]'")
    with_srt, _, without = all_questions(make('video_mme', tmp_path, subtitles=True))
    assert with_srt.text.startswith("This video's subtitles are listed below:\nshown with a frame\nSelect the best")
    assert 'between two frames' not in with_srt.text and 'No subtitles available' in without.text


def test_video_mme_subtitles_are_read_with_either_ends_of_lines():
    lines = ['1', '00:00:01,000 --> 01:00:02,500', '<b>a</b>', 'b', '', '2', 'broken', '']
    assert list(read_subtitles('\r\n'.join(lines))) == list(read_subtitles('\n'.join(lines))) == [(1.0, 3602.5, 'a b')]


# EgoSchema


def test_egoschema_what_names_no_letter_is_unreadable_and_not_a():
    question = choice('A', tuple('vwxyz'))
    assert score('egoschema', question, 'no idea') == {'strict': 0, 'lenient': 0, 'readable': 0}
    assert score('egoschema', question, 'F')['readable'] == 0 and score('egoschema', question, 'E')['readable'] == 1


def test_egoschema_only_the_public_answers_are_asked_and_0_is_one(tmp_path):
    found = all_questions(make('egoschema', tmp_path))
    assert {q.id: q.expected for q in found} == {'0074f737': 'D', '00b9a0de': 'A'}
    answers = tmp_path / 'subset_answers.json'
    answers.write_text(json.dumps({**json.loads(answers.read_text()), 'nowhere': 1, '00f93e1e': 7}))
    data = datasets.create('egoschema', parameters('egoschema', tmp_path))
    assert len(all_questions(data)) == 2
    assert len(data.problems) == 2 and 'option 7 of 5' in data.problems[0] and 'nowhere' in data.problems[1]
