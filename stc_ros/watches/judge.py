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
    asked = [torch.cat((model.newline[None], model.decoder.embed(list(c.ids))), 1) for c in conditions]
    room = memory.reserve - max(each.shape[1] for each in asked)
    if room < 0:
        raise QuestionError(f'a condition has {memory.reserve - room} tokens; {memory.reserve} fit')
    hidden = memory.read_each(asked, stream.latest_tokens(room) if whole_frame else None)
    chances = model.decoder.logits(torch.cat([h[:, -1] for h in hidden])).float().log_softmax(-1)
    odds = []
    for condition, row in zip(conditions, chances):
        yes = row[list(condition.yes)].logsumexp(0)
        others = row[list(condition.no)].logsumexp(0) if condition.no else torch.log1p(-yes.exp().clamp(max=1 - 1e-6))
        odds.append(float(yes - others))
    if not all(math.isfinite(each) for each in odds):
        raise ModelFailure('the language model computed NaN or infinity')
    return odds
