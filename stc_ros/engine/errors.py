"""What an exception means: whether memory ran out, and how it reads in one line."""

from __future__ import annotations

import gc
import sys


class ModelBroken(RuntimeError):
    """The model has failed so often in a row that it is to be loaded anew."""


def out_of_memory(error: BaseException) -> bool:
    """Whether a device's or the machine's memory ran out."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == 'OutOfMemoryError'
        or isinstance(error, RuntimeError)
        and any(phrase in text for phrase in ('out of memory', 'not enough memory', "can't allocate memory"))
    )


def release_memory() -> None:
    """Give back what no tensor uses any more."""
    gc.collect()
    torch = sys.modules.get('torch')
    if torch and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def describe(error: BaseException) -> str:
    """An exception in one line."""
    return f'{type(error).__name__}: {str(error) or "no message"}'.splitlines()[0]
