"""What makes a checkpoint one of a family: names in its config.json and among its weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NEVER = re.compile(r'(?!)')


@dataclass(frozen=True, slots=True)
class Kind:
    """A family, as transformers has it."""

    model_type: str  # in config.json
    title: str
    example: str  # hub id of a checkpoint
    config: str  # transformers' classes
    model: str
    towers: tuple[str, ...]  # model_type of vision_config
    texts: tuple[str, ...]  # model_type of text_config
    parts: dict[str, str]  # how the names of weights begin -> what they are part of
    nest: Callable[[dict], dict] = dict  # config.json's content -> with the text_config and vision_config of now
    pixels: Callable[..., Any] | None = (
        None  # (config, processor's configuration or None, stc.json's content) -> `Pixels`
    )
    unread: re.Pattern = NEVER  # weights that are never read; group 1: of a layer by that number, which may be run

    @property
    def article(self) -> str:
        return 'an' if self.title[0] in 'AEIO' else 'a'
