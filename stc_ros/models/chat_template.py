"""Text and token ids, and the chat format in which a language model is asked: ChatML, as Qwen2 was trained with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PREFIX = '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
SUFFIX = '\n{question}<|im_end|>\n<|im_start|>assistant\n'
MARKS = ('<|im_start|>', '<|im_end|>')
QUESTION = '{question}'
VIDEO = '<video>'


@dataclass(slots=True)
class ChatTemplate:
    """A transformers tokenizer with the chat format of its model."""

    tokenizer: Any
    stops: frozenset[int]  # ids that end an answer
    before: str = PREFIX  # text before the first frame
    behind: str = SUFFIX  # text behind the newest frame; {question} stands for the question

    def prefix(self) -> list[int]:
        """Ids before the first frame: the sinks of the stream's attention."""
        return self.encode(self.before)

    def suffix(self, question: str) -> list[int]:
        """Ids between the newest frame and the answer. A question cannot smuggle in special tokens."""
        before, after = self.behind.split(QUESTION)
        return self.encode(before) + self.encode(question, plain=True) + self.encode(after)

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def encode(self, text: str, plain: bool = False) -> list[int]:
        """Text to ids; `plain`: what looks like a special token is none."""
        return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=plain)


def make_chat_template(
    tokenizer, ends, vocabulary: int, video: int, chat: dict | str | None = None, template: str | None = None
) -> ChatTemplate:
    """`ChatTemplate` of a tokenizer. Raises `ValueError`, with the remedy, when its model could not be asked in them.

    ends: id or ids that end an answer, by the model's generation_config, or None. vocabulary: how many ids the model
    has. video: id of the token that stands for a video. chat, template: see `chat_format`.
    """
    known = tokenizer.get_vocab()
    if known and max(known.values()) >= vocabulary:
        raise ValueError(
            f'its tokenizer has ids up to {max(known.values())}, its language model only {vocabulary} '
            '(vocab_size in config.json): take the tokenizer that belongs to it'
        )
    if len(set(known.values())) < len(known) or known.get(VIDEO, video) != video:
        raise ValueError(
            f'its tokenizer gives an id to two tokens, or not {video} to {VIDEO} (video_token_index in '
            'config.json): take the tokenizer that belongs to it'
        )
    if chat is None and not all(mark in known for mark in MARKS):
        raise ValueError(
            f'its tokenizer does not know {" and ".join(MARKS)}, with which a Qwen2 model is asked: take '
            'the tokenizer that belongs to it, or give its "chat" format in stc.json'
        )
    token = tokenizer.convert_ids_to_tokens(video) if video in known.values() else VIDEO
    prefix, suffix = chat_format(tokenizer, chat, template, token)
    stops = {*(ends if isinstance(ends, (list, tuple)) else [ends]), known.get(MARKS[1])} - {None}
    stops = stops or {tokenizer.eos_token_id} - {None}
    if not stops or not all(type(stop) is int and 0 <= stop < vocabulary for stop in stops):
        raise ValueError(
            f'eos_token_id in its generation_config.json is {ends!r}, so no answer would end: give the id '
            'of the token that ends an answer'
        )
    chat_template = ChatTemplate(tokenizer, frozenset(stops), prefix, suffix)
    if not chat_template.prefix():
        raise ValueError(
            'its chat format has no token before the first frame, to which the attention is anchored: '
            'give one in the "prefix" of "chat" in stc.json'
        )
    return chat_template


def chat_format(tokenizer, chat: dict | str | None, template: str | None = None, video: str = VIDEO):
    """(prefix, suffix) by "chat" in stc.json, of which the suffix holds {question} once. Raises `ValueError`.

    None: the ChatML that LLaVA-OneVision was trained with. {"prefix": text, "suffix": text}: these. "template": what
    the model's own chat template (`template`, else the tokenizer's) writes around `video` and the question.
    """
    if chat is None:
        return PREFIX, SUFFIX
    if isinstance(chat, dict):
        prefix, suffix, where = chat['prefix'], chat['suffix'], 'the "suffix" of "chat" in stc.json'
    else:
        text, where = _render(tokenizer, template, video), 'the chat template'
        if text.count(video) != 1:
            raise ValueError(
                f'the chat template puts {video} {text.count(video)} times into a question about one '
                'video, not once: give "chat" in stc.json a prefix and a suffix'
            )
        prefix, suffix = text.split(video)
    if suffix.count(QUESTION) != 1 or QUESTION in prefix:
        raise ValueError(f'{where} must hold {QUESTION} once, behind the frames: correct "chat" in stc.json')
    return prefix, suffix


def _render(tokenizer, template: str | None, video: str) -> str:
    if not (template or tokenizer.chat_template):
        raise ValueError(
            '"chat" in stc.json asks for the model\'s own chat template, and there is none: give a prefix '
            'and a suffix instead'
        )
    asked = [{'role': 'user', 'content': [{'type': 'video'}, {'type': 'text', 'text': QUESTION}]}]
    try:
        return tokenizer.apply_chat_template(asked, chat_template=template, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # whatever a template raises
        raise ValueError(
            f'the chat template cannot show a video with a question ({error}): give "chat" in stc.json a '
            'prefix and a suffix'
        ) from None
