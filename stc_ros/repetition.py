"""What a language model says twice, said once: greedy decoding of small models falls into repeating itself."""

import re

_END = ',.;:!?'


def say_once(text: str) -> str:
    """`text` without the clauses that it has said before, word for word; white space and punctuation stay.

    A clause ends at a punctuation mark that white space or the text's end follows. Where one that ends a sentence is
    left out, the clause before it ends the sentence.
    """
    said, kept = set(), []
    parts = re.split(rf'(?<=[{_END}])(\s+)', text.strip())
    for clause, space in zip(parts[::2], ['', *parts[1::2]]):
        words = clause.rstrip(_END).strip().casefold()
        if words not in said:
            said.add(words)
            kept += [space, clause]
        elif clause[-1:] in '.!?' and kept[-1][-1:] not in '.!?':
            kept[-1] = kept[-1].rstrip(_END) + clause[-1]
    return ''.join(kept)
