"""stc.json, which may lie beside a model's weights: what whoever trained it tells this package about it."""

from __future__ import annotations

import re
from pathlib import Path

from stc_ros.models.base import ModelError
from stc_ros.models.checkpoint import read_json
from stc_ros.parameter_spec import shown

FILE = 'stc.json'
LONGEST, MOST = 4096, 256  # characters of a text; entries of a list


def read_stc_json(folder: Path) -> dict:
    """Its content; {} where there is none. Raises `ModelError` when it is no JSON object; `check` does the rest."""
    return read_json(folder / FILE) if (folder / FILE).is_file() else {}


def check(name: str, own: dict) -> dict:
    """The content of stc.json, checked. All keys are optional; an unknown one is refused, since it would do nothing.

    narration: question that asks for narration, with {frames} and {seconds}.
    frames: values of {frames} it was trained on, positive whole numbers in any order.
    certainty: probability, 0 to 1, below which a clause of a narration is better dropped.
    event: regular expression of a clause that one narration reports, the next not.
    questions: list of questions for a demonstration.
    chat: the chat format, see `stc_ros.models.chat_template.chat_format`.
    frame_size: [height, width] in pixels that frames are resized to, for families that take any (Qwen-VL).
    frame_text: {"before": text, "behind": text} around each frame, with {time} as MM:SS or {seconds} as 1.5.
    max_positions: most positions, from the first to the last token of all that it reads, question and answer
        included; so far as it was trained, where that is less than config.json's max_position_embeddings.

    Returns it with tuples for lists, `frames` ascending. Raises `ModelError`, which names the key and what it must be.
    """
    for key, value in own.items():
        if key not in RULES:
            raise ModelError(
                f'{name}: {FILE} has an unknown key {shown(key)}: remove or correct it, known are {", ".join(RULES)}'
            )
        needed, holds = RULES[key]
        if not holds(value):
            raise ModelError(f'{name}: "{key}" in {FILE} must be {needed}, not {shown(value)}: correct it')
    try:
        re.compile(own.get('event', ''))
    except re.error as error:
        raise ModelError(f'{name}: "event" in {FILE} is no regular expression: {error}; correct it') from None
    return {key: tuple(MADE[key](value)) if key in MADE else value for key, value in own.items()}


def _is_text(value) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST and bool(value.strip())


def _is_count(value) -> bool:
    return type(value) is int and value > 0


def _is_list(value, of) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MOST and all(map(of, value))


def _is_chat(value) -> bool:
    return value == 'template' or (
        isinstance(value, dict)
        and value.keys() == {'prefix', 'suffix'}
        and all(isinstance(v, str) and len(v) <= LONGEST for v in value.values())
    )


def _is_frame_text(value) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {'before', 'behind'}
        and all(isinstance(v, str) and len(v) <= LONGEST for v in value.values())
    )


def _is_size(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(v) is int and 0 < v <= 4096 for v in value)


MADE = {'frames': sorted, 'questions': list}
RULES = {
    'narration': (f'a text of at most {LONGEST} characters', _is_text),
    'frames': ('a list of whole numbers above 0', lambda v: _is_list(v, _is_count)),
    'certainty': ('a number from 0 to 1', lambda v: type(v) in (int, float) and 0 <= v <= 1),
    'event': (f'a text of at most {LONGEST} characters', lambda v: isinstance(v, str) and len(v) <= LONGEST),
    'yes_no': (
        f'a text of at most {LONGEST} characters that holds {{condition}}',
        lambda v: _is_text(v) and '{condition}' in v,
    ),
    'questions': ('a list of texts', lambda v: _is_list(v, _is_text)),
    'chat': ('"template", or an object of the two texts prefix and suffix', _is_chat),
    'frame_size': ('a list of height and width, whole numbers from 1 to 4096', _is_size),
    'frame_text': ('an object of the two texts before and behind', _is_frame_text),
    'max_positions': ('a whole number above 0', _is_count),
}
