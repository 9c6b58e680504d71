"""Text and token ids, and the ChatML frame in which Qwen2 language models are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HEAD = '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
TAIL = '\n{question}<|im_end|>\n<|im_start|>assistant\n'


@dataclass(slots=True)
class Words:
    """A transformers tokenizer with the chat format of its model."""

    tokenizer: Any
    stops: frozenset[int]               # ids that end an answer

    def head(self) -> list[int]:
        """Ids before the first frame: the sinks of the stream's attention."""
        return self._encode(HEAD)

    def tail(self, question: str) -> list[int]:
        """Ids between the newest frame and the answer. A question cannot smuggle in special tokens."""
        before, after = TAIL.split('{question}')
        return self._encode(before) + self._encode(question, plain=True) + self._encode(after)

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def _encode(self, text: str, plain: bool = False) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=plain)
