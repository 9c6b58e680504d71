"""What a language model says twice, said once: greedy decoding of small models falls into repeating itself."""

import re

WORDS = 3               # shorter clauses, such as "Mr.", may come again
_END = ',.;:!?'


def say_once(text: str) -> str:
    """`text`, stripped, without sentences that it has said before and clauses that their sentence has, word for word.

    A clause ends at a punctuation mark that white space or the text's end follows, a sentence at one of .!? there. The
    last clause that is left of a sentence ends it.
    """
    said, kept = set(), ''
    for sentence in re.split(r'(?<=[.!?])(?=\s)', text.strip()):
        if _words(sentence) in said:
            continue
        said |= _countable(sentence)
        kept += _list_once(sentence)
    return kept


def _list_once(sentence: str) -> str:
    said, kept = set(), []
    for clause in re.split(r'(?<=[,;:])(?=\s)', sentence):
        if _words(clause) in said:
            kept[-1] = kept[-1].rstrip(_END) + clause[len(clause.rstrip(_END)):]
        else:
            said |= _countable(clause)
            kept.append(clause)
    return ''.join(kept)


def _countable(clause: str) -> set[str]:
    """What must not come again: the clause's words, if it has enough of them."""
    return {_words(clause)} if len(clause.split()) >= WORDS else set()


def _words(clause: str) -> str:
    return ' '.join(clause.casefold().split()).rstrip(_END)
