"""Every word that questions, answers and narration are made of."""

import re

from stc_ros.synthetic.forms import FORMS, PLURALS
from stc_ros.synthetic.narration import NOTHING, PROMPT, SCENE_CHANGED
from stc_ros.synthetic.render import COLOURS, RADII, SHAPES
from stc_ros.synthetic.truth import DIRECTIONS, PLACES

_FRAMES = ('8', '16', '32')  # what the {frames} of the narration's prompt is filled with
_GRAMMAR = 'a at in the stays moves left entered turned , .'  # what joins the clauses of the narration


def words_of(text: str) -> list[str]:
    """The words and marks of a text, as the tokenizer splits it."""
    return re.findall(r'[a-z0-9]+|[^\sa-z0-9]', text.lower())


def _all_words() -> list[str]:
    texts = [*COLOURS, *SHAPES, *PLURALS.values(), *RADII, *PLACES, *DIRECTIONS, *_FRAMES]
    texts += [_GRAMMAR, NOTHING, SCENE_CHANGED, re.sub(r'\{\w+\}', '', PROMPT)]
    for form in FORMS.values():
        texts += [re.sub(r'\{\w+\}', '', form.wording), *form.answers]
    return sorted({word for text in texts for word in words_of(text)})


VOCABULARY = _all_words()
