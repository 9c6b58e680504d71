"""Narration follows its grammar both ways."""

import pytest
from stories import seen, story, two_leave

from stc_ros.synthetic import PROFILES, World, record
from stc_ros.synthetic.narration import PROMPT, Score, facts, join, parse, score, tell, tell_moment
from stc_ros.synthetic.vocabulary import VOCABULARY, words_of


def test_a_story_is_narrated():
    assert tell(two_leave(), 11, 3) == (
        'a large white circle at the top left stays , a small white square in the center moves right , '
        'a medium red star at the bottom moves up . '
        'the blue star left , the red circle turned white , the green star left , the red star entered .'
    )


def test_only_what_happened_since_is_narrated():
    assert tell(two_leave(), 11, 8).endswith('moves up . the red star entered .')
    assert tell(two_leave(), 11, 10).endswith('at the bottom moves up .')


def test_nothing_to_see_is_said():
    clip = story([[seen(1, 'red', 'circle', 'left')], []], [(1, 'left', 1, 'red', 'circle', 'left')])
    assert tell(clip, 1, 0) == 'nothing . the red circle left .'
    assert tell(clip, 1, 1) == 'nothing .'


def test_after_a_cut_the_change_of_scene_is_narrated_and_no_older_event():
    frames = [[seen(1, 'red', 'circle', 'left')]] * 3 + [[]] * 2 + [[seen(2, 'blue', 'cross', 'top', 'small')]] * 3
    clip = story(frames, [(3, 'left', 1, 'red', 'circle', 'left'), (5, 'cut')], [0] * 5 + [1] * 3)
    assert tell(clip, 7, 0) == 'a small blue cross at the top stays . the scene changed .'


@pytest.mark.parametrize('profile', PROFILES)
def test_what_is_told_can_be_read_back(profile):
    known = set(VOCABULARY)
    for seed in range(12):
        clip = record(profile, seed, 40)
        for t in (0, 9, 25, 39):
            text = tell(clip, t, t - 16)
            clauses = [f.clause for f in facts(clip, t, t - 16)]
            assert parse(text) == clauses
            assert parse(text.replace(' ,', ',').replace(' .', '.').capitalize()) == clauses
            assert set(words_of(text)) <= known
            assert score(text, text).clause_f1 == score(text, text).object_f1 == 1.0


@pytest.mark.parametrize('profile', PROFILES)
def test_moments_join_to_the_story_of_all(profile):
    clip, world, moments = record(profile, 5, 48), World(profile, 5), []
    for t in range(48):
        moments.append(tell_moment(world.truth()))
        world.step()
        for since in (t - 1, t - 7, t - 16):
            assert join(moments[max(since + 1, 0) :]) == tell(clip, t, max(since, -1))


def test_every_visible_object_is_told_from_left_to_right():
    for seed in range(12):
        clip = record('busy', seed, 20)
        objects = {(o.colour, o.shape): o for o in clip.truths[19].visible}
        narrated = [objects[c.colour, c.shape] for c in parse(tell(clip, 19, 19))]
        assert len(narrated) == len(objects)
        assert narrated == sorted(narrated, key=lambda o: o.x)


def test_a_score_counts_objects_and_clauses():
    truth = 'a large red circle at the left stays , a small blue star at the top moves up . the green cross left .'
    said = 'a large red circle at the right stays , a small blue star at the top moves up . the green cross left .'
    assert score(said, truth) == Score(2, 2, 2, 2, 3, 3)
    assert score(said, truth).object_f1 == 1.0 and score(said, truth).clause_f1 == pytest.approx(2 / 3)
    assert score('nothing .', truth) == Score(0, 0, 2, 0, 0, 3)
    assert score('', 'nothing .').object_f1 == score('nothing .', 'nothing .').clause_f1 == 1.0


def test_what_is_said_twice_or_makes_no_sense_costs_precision():
    truth = 'a large red circle at the left stays .'
    twice = 'a large red circle at the left stays , a large red circle at the left stays .'
    assert score(twice, truth) == Score(1, 2, 1, 1, 2, 1)
    babble = 'a large red circle at the left stays , a red red at the .'
    assert score(babble, truth) == Score(1, 1, 1, 1, 2, 1)
    assert [c.kind for c in parse(babble)] == ['object', 'unreadable']


def test_scores_add_up():
    total = score('nothing .', 'a large red circle at the left stays .') + score('nothing .', 'nothing .')
    assert total == Score(0, 0, 1, 0, 0, 1) and total.object_f1 == 0.0 and total.clause_precision == 1.0


def test_the_prompt_and_its_numbers_are_in_the_vocabulary():
    for frames in (8, 16, 32):
        assert set(words_of(PROMPT.format(frames=frames))) <= set(VOCABULARY)


def test_a_frame_that_is_not_there_cannot_be_narrated():
    with pytest.raises(IndexError, match='clip of 2 frames'):
        tell(record('static', 1, 2), 2, 0)
