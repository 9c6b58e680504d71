"""Kinds of command line arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Reads an int or a float above zero."""

    def number(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float('inf'):
            raise argparse.ArgumentTypeError(f'{text} is not above zero')
        return value

    number.__name__ = 'number'  # argparse says: invalid number value
    return number
