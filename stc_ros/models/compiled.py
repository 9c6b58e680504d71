"""The tower's layers through torch.compile: fewer and longer kernels, which a GPU needs more than a CPU does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import torch


class Compiler:
    """Compiles a layer's function at its first call, once for all layers and for every number of rows.

    Where that fails, the function runs as it is, for good, and `failure` and the log say why. A result never shares
    memory with an earlier one: CUDA graphs, which would, are not used.
    """

    def __init__(self, backend: str | Callable = 'inductor'):
        self.failure = ''
        self._backend = backend
        self._compiled: dict[Callable, Callable] = {}

    def of(self, function: Callable) -> Callable:
        """The function to call instead of `function`, of tensors and a `Block`."""
        if function not in self._compiled:
            fast = torch.compile(function, backend=self._backend, dynamic=True, fullgraph=True)
            self._compiled[function] = partial(self._run, function, fast)
        return self._compiled[function]

    def _run(self, function: Callable, fast: Callable, *arguments):
        if self.failure:
            return function(*arguments)
        try:
            return fast(*arguments)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # no compiler, no Triton, an operation it does not know: dozens of types
            self.failure = ' '.join(str(error).split('\n')[:2]).strip() or type(error).__name__
            logging.getLogger(__name__).warning('layers are not compiled, which costs speed only: %s', self.failure)
            return function(*arguments)
