"""Filters of a narration: uncertain clauses, repetitions and reported events are dropped.

Small models that decode greedily go on where they have nothing to say: they guess, and fall into repeating themselves.
"""

import math
import re
from collections.abc import Sequence

WORDS = 3  # shorter clauses, such as "Mr.", may come again
_END = ',.;:!?'
_SENTENCES = re.compile(r'(?<=[.!?])(?=\s)')
_CLAUSES = re.compile(r'(?<=[,;:])(?=\s)')


def tidy(text: str, token_probs: Sequence[tuple[int, float]] = (), min_confidence: float = 0.0) -> str:
    """`text` without clauses that the model gives less probability than `min_confidence`, and without repetitions.

    token_probs: see `AnswerReport`. A clause ends at a punctuation mark that white space or the text's end follows, a
    sentence at one of .!? there. The last clause that is left of a sentence ends it.
    """
    return drop_repeated(drop_uncertain(text, token_probs, min_confidence))


def drop_uncertain(text: str, token_probs: Sequence[tuple[int, float]], min_confidence: float) -> str:
    """`text`, stripped, without clauses whose words together have a probability below `min_confidence`."""
    placed, kept, end = _place(text, token_probs), '', 0
    for sentence in _SENTENCES.split(text):
        clauses, sure = _CLAUSES.split(sentence), []
        for clause in clauses:
            begin, end = end, end + len(clause)
            sure.append(math.prod(prob for at, prob in placed if begin <= at < end) >= min_confidence)
        kept += _join(clauses, sure)
    return kept.strip()


def drop_repeated(text: str) -> str:
    """`text`, stripped, without sentences said before and clauses that their sentence has said, word for word."""
    said, kept = set(), ''
    for sentence in _SENTENCES.split(text.strip()):
        if _words(sentence) in said:
            continue
        said |= _countable(sentence)
        clauses, here, new = _CLAUSES.split(sentence), set(), []
        for clause in clauses:
            new.append(_words(clause) not in here)
            here |= _countable(clause)
        kept += _join(clauses, new)
    return kept


def drop_reported(text: str, before: str, event: str) -> str:
    """`text`, stripped, without those clauses of the text `before` it, word for word, that match the pattern `event`.

    So what has happened is reported once, where a model is asked about longer than has passed since.
    """
    said = {_words(clause) for sentence in _SENTENCES.split(before) for clause in _CLAUSES.split(sentence)}
    kept = ''
    for sentence in _SENTENCES.split(text):
        clauses = _CLAUSES.split(sentence)
        old = [_words(clause) in said and re.fullmatch(event, _words(clause)) for clause in clauses]
        kept += _join(clauses, [not each for each in old])
    return kept.strip()


def _place(text: str, token_probs: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Where each token's last letter or digit stands in `text`, and its probability; other tokens are left out."""
    placed, last = [], 0
    for reached, prob in token_probs:
        if letters := [i for i in range(last, reached) if text[i].isalnum()]:
            placed.append((letters[-1], prob))
        last = reached
    return placed


def _join(clauses: list[str], kept: list[bool]) -> str:
    """The clauses of a sentence that are kept, the last one with the sentence's own end."""
    left = [clause for clause, keep in zip(clauses, kept) if keep]
    if left and not kept[-1]:
        left[-1] = left[-1].rstrip(_END) + clauses[-1][len(clauses[-1].rstrip(_END)) :]
    return ''.join(left)


def _countable(clause: str) -> set[str]:
    """What must not come again: the clause's words, if it has enough of them."""
    return {_words(clause)} if len(clause.split()) >= WORDS else set()


def _words(clause: str) -> str:
    return ' '.join(clause.casefold().split()).rstrip(_END).strip()


def normalise(text: str) -> str:
    """Lower case, no punctuation at the ends, single spaces: how answers are compared."""
    return ' '.join(text.lower().split()).strip(' .,!?"\'')
