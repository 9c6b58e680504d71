"""How likely conditions are: one pass over what is remembered for all of them, without generating a word.

A condition is a question that is answered with yes or no; its probability is the logistic of the difference of the two
words' logits, each the log of the sum over its spellings. "QUESTION = WORD" is the probability of that answer's first
token. Idea: the yes/no logit of streaming triggers (StreamBridge, Dispider), without a trained head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from stc_ros.answer import NothingSeen, QuestionError
from stc_ros.models.base import VideoModel
from stc_ros.models.chat_template import ChatTemplate
from stc_ros.models.decoder import ModelFailure
from stc_ros.stream import Stream

ANSWER = ' = '
MAX_TOKENS = 128  # of one condition


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition in tokens. no: (): every other token."""

    ids: tuple[int, ...]
    yes: tuple[int, ...]
    no: tuple[int, ...] = ()


def read_condition(model: VideoModel, text: str) -> Condition:
    """Raises `QuestionError` for a condition that cannot be asked."""
    question, _, word = f' {text.strip()} '.partition(ANSWER)
    chat, question, word = model.chat, question.strip(), word.strip()
    if not question:
        raise QuestionError('the condition is empty')
    asked = question if word else model.narration.yes_no.replace('{condition}', question)
    ids = tuple(chat.suffix(asked))
    if len(ids) > MAX_TOKENS:
        raise QuestionError(f'the condition has {len(ids)} tokens; at most {MAX_TOKENS} are read')
    if word:
        if not (yes := spellings(chat, word.split()[0])):
            raise QuestionError(f'the answer {word!r} does not begin with a word that is one token of this model')
        return Condition(ids, tuple(yes))
    yes, no = spellings(chat, 'yes'), spellings(chat, 'no')
    if not (yes and no):
        raise QuestionError('this model has no tokens for yes and no: give the condition as "QUESTION = WORD"')
    return Condition(ids, tuple(yes), tuple(no))


def spellings(chat: ChatTemplate, word: str) -> list[int]:
    """Ids of the single tokens that write `word`: in small letters, with a capital, behind a space."""
    forms = {space + each for space in ('', ' ') for each in (word, word.lower(), word.capitalize(), word.upper())}
    found = {tuple(chat.encode(form, plain=True)) for form in forms}
    return sorted(ids[0] for ids in found if len(ids) == 1 and chat.decode([*ids]).strip().lower() == word.lower())


def tree_of(conditions: Sequence[Condition], before: int) -> tuple[list[int], list[int], list[int]]:
    """Conditions behind `before` common tokens as a tree, in which those that begin alike share their first tokens.

    Returns the ids of its other tokens, for all tokens the number of the one before, or -1, and each condition's last.
    """
    ids: list[int] = []
    parents, ends = [number - 1 for number in range(before)], []
    known: dict[tuple[int, int], int] = {}  # (the token before, id) -> number
    for condition in conditions:
        at = before - 1
        for each in condition.ids:
            if (at, each) not in known:
                known[at, each] = len(parents)
                ids.append(each)
                parents.append(at)
            at = known[at, each]
        ends.append(at)
    return ids, parents, ends


@torch.inference_mode()
def judge(stream: Stream, conditions: Sequence[Condition], whole_frame: bool = True) -> list[float]:
    """Log odds of each condition, by what a stream remembers now; that is not changed, and none sees another.

    whole_frame: the newest frame is read as for a question (query.full_latest_frame), else only what was kept of it.
    Raises `NothingSeen` before the first frame, `QuestionError` for a condition that is too long for the memory,
    `ModelFailure` for what is no number, and what the last frame's prefill raised (overlap).
    """
    stream.settle()
    model, memory = stream.model, stream.memory
    if not memory.frames:
        raise NothingSeen('no frame has been processed yet')
    room = memory.reserve - model.newline.shape[0] - max(len(c.ids) for c in conditions)
    if room < 0:
        raise QuestionError(f'a condition has {memory.reserve - room} tokens; {memory.reserve} fit')
    ids, parents, ends = tree_of(conditions, model.newline.shape[0])
    asked = torch.cat((model.newline[None], model.decoder.embed(ids)), 1)
    hidden = memory.read_tree(asked, parents, stream.latest_tokens(room) if whole_frame else None)
    chances = model.decoder.logits(hidden[0, ends]).float().log_softmax(-1)
    odds = []
    for condition, row in zip(conditions, chances):
        yes = row[list(condition.yes)].logsumexp(0)
        others = row[list(condition.no)].logsumexp(0) if condition.no else torch.log1p(-yes.exp().clamp(max=1 - 1e-6))
        odds.append(float(yes - others))
    if not all(math.isfinite(each) for each in odds):
        raise ModelFailure('the language model computed NaN or infinity')
    return odds
