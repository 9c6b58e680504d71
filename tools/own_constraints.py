"""Print the constraints of packages that this Python does not have; those it has stay at their version."""

import importlib.metadata
import re
import sys


def plain(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


present = {plain(each.metadata['Name']) for each in importlib.metadata.distributions() if each.metadata['Name']}
with open(sys.argv[1]) as constraints:
    for line in constraints:
        if plain(line.split('==')[0]) not in present:
            print(line, end='')
