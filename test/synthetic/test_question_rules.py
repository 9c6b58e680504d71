"""What is asked about a story written by hand: every rule of what may be asked, and what is right."""

import random

from stories import seen, story, two_leave

from stc_ros.synthetic.forms import FORMS
from stc_ros.synthetic.questions import answer_to, ask_about


def everything(clip, t, types=None, tries=40):
    """All that can be asked at t: {(form, text): answer}; many draws, as each takes answers by chance."""
    found = {}
    for seed in range(tries):
        for q in ask_about(clip, t, random.Random(seed), 400, types):
            assert found.setdefault((q.form, q.text), q.answer) == q.answer
    return found


STORY = {
    'what colour is the circle ?': 'white',
    'how big is the white circle ?': 'large',
    'what colour was the circle at first ?': 'red',
    'how many objects are there ?': 'three',
    'how many white objects are there ?': 'two',
    'how many stars are there ?': 'one',
    'how many objects are moving ?': 'two',
    'how many objects left ?': 'two',
    'how many objects entered ?': 'one',
    'how many objects changed colour ?': 'one',
    'where is the white square ?': 'center',
    'what is in the center ?': 'white square',
    'where was the white square at first ?': 'left',
    'where did the blue star leave ?': 'top',
    'where did the red star enter ?': 'bottom',
    'is there a red star ?': 'yes',
    'is there a green star ?': 'no',
    'was there a red circle before ?': 'yes',
    'was there a green star before ?': 'yes',
    'was there a blue circle before ?': 'no',
    'did a blue star leave ?': 'yes',
    'is the white circle moving ?': 'no',
    'is the white square moving ?': 'yes',
    'which way does the white square move ?': 'right',
    'which way does the circle move ?': 'still',
    'what is not moving ?': 'white circle',
    'what left last ?': 'green star',
    'what entered last ?': 'red star',
    'what changed colour ?': 'white circle',
    'which colour did the circle have before ?': 'red',
    'which colour did the red circle change to ?': 'white',
    'what shape was the green object that left ?': 'star',
    'how big was the green star that left ?': 'small',
    'where was the blue star that left at first ?': 'top right',
    'what was at the bottom right at first ?': 'green star',
    'what was at the top left at first ?': 'red circle',
    'which left first , the green star or the blue star ?': 'blue star',
    'which left first , the blue star or the green star ?': 'blue star',
    'did the blue star leave before the red star entered ?': 'yes',
}


def test_a_story_is_asked_about_and_answered_rightly():
    answers = {text: answer for (_, text), answer in everything(two_leave(), 11).items()}
    assert {text: answers.get(text) for text in STORY} == STORY


def test_a_question_that_somebody_words_is_answered_rightly():
    for question, answer in STORY.items():
        assert answer_to(two_leave(), 11, question) == answer
    assert [answer_to(two_leave(), t, 'Is there a green STAR?') for t in (7, 11)] == ['yes', 'no']
    assert answer_to(two_leave(), 11, 'what do you see ?') is None  # no form is worded so
    assert answer_to(two_leave(), 11, 'where is the blue star ?') is None  # it left


def test_what_has_two_answers_is_not_asked():
    texts = {text for _, text in everything(two_leave(), 11)}
    assert 'what left ?' not in texts  # two did
    assert 'what colour was the star that left ?' not in texts  # two stars did
    assert 'what shape is the white object ?' not in texts  # two are white
    assert 'what is moving ?' not in texts  # two are
    assert 'what colour was the square at first ?' not in texts  # the newest frame tells
    assert 'was there a white circle before ?' not in texts  # it still is
    assert 'where was the white circle at first ?' not in texts  # where it is
    assert 'did a red circle leave ?' not in texts  # it turned white


def test_before_the_events_the_answers_are_others():
    answers = {text: answer for (_, text), answer in everything(two_leave(), 5).items()}
    assert answers['what left ?'] == 'blue star'
    assert answers['what colour was the star that left ?'] == 'blue'
    assert answers['how many objects changed colour ?'] == 'zero'
    assert answers['what changed colour ?'] == 'nothing'
    assert 'which colour did the circle have before ?' not in answers


def test_an_object_that_hardly_shows_makes_counting_uncertain():
    half = seen(2, 'blue', 'star', 'center', share=0.3)
    clip = story([[seen(1, 'red', 'circle', 'left'), half]] * 4)
    found = everything(clip, 3)
    assert not any(form.startswith('count_') and not FORMS[form].temporal for form, _ in found)
    assert not any(form in ('what_left', 'count_left', 'count_entered') for form, _ in found)
    texts = {text for _, text in found}
    assert 'is there a blue star ?' not in texts and 'how big is the blue star ?' not in texts
    assert found['is_there', 'is there a red circle ?'] == 'yes'


def test_a_motion_that_has_just_begun_is_not_asked_about():
    for moved_for, asked_about in ((1, False), (2, True)):
        frames = [[seen(1, 'red', 'circle', 'left')]] * 3
        frames += [[seen(1, 'red', 'circle', 'left', moves='up', moved_for=n)] for n in range(1, moved_for + 1)]
        found = everything(story(frames), len(frames) - 1, ('motion',))
        assert (('which_way', 'which way does the red circle move ?') in found) == asked_about


def test_a_place_near_a_border_is_not_asked_about():
    red = seen(1, 'red', 'circle', 'left')
    near = type(red)(2, 'blue', 'star', 'small', 0.34, 0.5, 1.0, 'still', 9, 'center', False)
    texts = {text for _, text in everything(story([[red, near]] * 4), 3, ('place',))}
    assert texts == {'where is the red circle ?', 'where is the circle ?'}


def test_after_a_cut_only_the_new_scene_counts():
    frames = [[seen(1, 'red', 'circle', 'left'), seen(2, 'blue', 'star', 'top')]] * 3
    frames += [[seen(1, 'red', 'circle', 'left')]] * 3 + [[seen(3, 'green', 'cross', 'right')]] * 9
    clip = story(frames, [(3, 'left', 2, 'blue', 'star', 'top'), (6, 'cut')], [0] * 6 + [1] * 9)
    before = {text: answer for (_, text), answer in everything(clip, 5).items()}
    after = {text: answer for (_, text), answer in everything(clip, 14).items()}
    assert before['what left ?'] == 'blue star' and before['how many objects left ?'] == 'one'
    assert after['what left ?'] == 'nothing' and after['how many objects left ?'] == 'zero'
    assert not any('blue star' in text and answer == 'yes' for text, answer in after.items())


def test_what_lies_more_than_32_frames_back_is_not_asked_about():
    star = seen(2, 'blue', 'star', 'top')
    frames = [[seen(1, 'red', 'circle', 'left')] + ([star] if t < 5 else []) for t in range(60)]
    clip = story(frames, [(5, 'left', 2, 'blue', 'star', 'top')])
    assert everything(clip, 30)['what_left', 'what left ?'] == 'blue star'
    assert everything(clip, 59)['what_left', 'what left ?'] == 'nothing'
    brink = {form for form, _ in everything(clip, 36)}  # the star left at the edge of what counts
    assert not brink & {'what_left', 'count_left', 'colour_of_left'}
