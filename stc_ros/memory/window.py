"""What the language model keeps of the past: the prompt's sinks and a window of the newest frames, in a ring.

A key is rotated once, to its token's place in the stream. Attention knows only differences of places, and these stay in
the trained range because old frames leave; the sinks move on with the oldest frame and stand right before it
(StreamingLLM, arXiv 2309.17453; ReKV, arXiv 2503.00540). Nothing is allocated after the first frame.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch

from stc_ros.models.decoder import Decoder, rotate

IDLE_FRAMES = 4         # a standstill takes no more positions than this many frames, or it would push out what was seen


@dataclass(frozen=True, slots=True)
class FrameSpan:
    """A frame in the window: when it was, how many tokens it keeps, and how many positions it takes."""

    stamp: int
    tokens: int
    start: int          # position of its first token, counted from the beginning of the stream
    extent: int


class Window:
    """Keys and values of one stream, [layers, 1, key heads, slots, head]. Slots: first the sinks, then a ring.

    `tokens` is the most visual tokens kept, `budget` the most bytes, an answer's copy included. Raises `ValueError`
    when the budget does not hold even one token beside the sinks.
    """

    def __init__(self, decoder: Decoder, head: list[int], tokens: int, budget: int, dtype: torch.dtype):
        self.decoder = decoder
        self.sinks = len(head)
        self.reserve = min(decoder.max_positions // 5, 4096)            # positions for a question and its answer
        self.position_limit = decoder.max_positions - self.reserve
        self.token_bytes = 2 * decoder.layers * decoder.key_heads * decoder.head_size * dtype.itemsize
        affordable = (budget // self.token_bytes - self.reserve) // 2   # the window, and an answer's copy of it
        self.capacity = min(self.sinks + tokens, affordable, self.position_limit)
        if self.capacity <= self.sinks:
            raise ValueError(f'a memory of {budget} bytes holds no visual token; this model needs '
                             f'{self.token_bytes} bytes a token: raise memory_mib')
        shape = (decoder.layers, 1, decoder.key_heads, self.capacity, decoder.head_size)
        device = decoder.device
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.places = torch.zeros(self.capacity, dtype=torch.long, device=device)   # position in the stream, by slot
        self.filled = torch.zeros(self.capacity, dtype=torch.bool, device=device)
        self.frames: deque[FrameSpan] = deque()
        self.next_slot = self.next_place = self.used = 0                # `used`: slots ever filled
        sinks = torch.arange(self.sinks, device=device)
        self._prefill(decoder.embed(head), sinks, sinks)
        self.next_slot = self.next_place = self.sinks
        self.sink_keys = self.keys[:, :, :, :self.sinks].clone()        # at places 0, 1, ...
        self.slid = 0                                                   # how far the sinks have moved on

    @property
    def room(self) -> int:
        """Most visual tokens that may be kept."""
        return self.capacity - self.sinks

    @property
    def tokens(self) -> int:
        """Visual tokens kept now."""
        return sum(f.tokens for f in self.frames)

    def first_stamp(self, otherwise: int) -> int:
        """When the oldest frame kept was, in ns; `otherwise` when there is none."""
        return self.frames[0].stamp if self.frames else otherwise

    @property
    def bytes(self) -> int:
        """Bytes that the window's keys and values take, full or not."""
        return self.capacity * self.token_bytes

    def clear(self) -> None:
        """Forget every frame."""
        self.frames.clear()
        self.filled[self.sinks:] = False
        self.next_slot = self.next_place = self.used = self.sinks
        self._slide_sinks()

    def add(self, embeddings: torch.Tensor, offsets: torch.Tensor, extent: int, stamp: int) -> None:
        """Prefill one frame.

        embeddings [1, b, D] in raster order; offsets [b] ascending, each token's place inside the frame; extent: how
        many positions the frame takes. The oldest frames leave when tokens or positions run out. Raises `ValueError`
        for a frame larger than the whole window.
        """
        count, ring = len(offsets), self.room
        if count > ring or extent > self.position_limit - self.sinks:
            raise ValueError(f'a frame of {count} tokens does not fit a window of {ring}: raise memory_tokens or '
                             'memory_mib, or prune more')
        while self.tokens + count > ring or self.end + extent > self.position_limit:
            self._forget_oldest()
        self._move_to_front()
        self.frames.append(FrameSpan(stamp, count, self.next_place, extent))
        self._slide_sinks()
        if count:
            slots = self.sinks + (self.next_slot - self.sinks + torch.arange(count, device=offsets.device)) % ring
            self._prefill(embeddings, slots, self.next_place + offsets)
        self.next_slot = self.sinks + (self.next_slot - self.sinks + count) % ring
        self.next_place += extent

    def pass_time(self, extent: int, stamp: int) -> None:
        """A frame that showed nothing new: no tokens, but its time, and positions for up to four such in a row."""
        if self.frames and self.frames[-1].tokens == 0:
            last = self.frames.pop()
            self.next_place = last.start
            extent = min(last.extent + extent, IDLE_FRAMES * extent)
        self.add(self.keys.new_empty(1, 0, 0), self.places[:0], extent, stamp)

    def order(self) -> torch.Tensor:
        """Slots of everything kept, oldest first: sinks, then frames. [n]"""
        return torch.cat([torch.arange(*span, device=self.places.device) for span in self.spans(self.tokens)])

    def spans(self, oldest: int) -> list[tuple[int, int]]:
        """Slots of the sinks and the `oldest` visual tokens, oldest first: first slot and the one after the last."""
        ring = self.room
        first = (self.next_slot - self.sinks - self.tokens) % ring
        before_end = min(oldest, ring - first)
        start = self.sinks + first
        return [(0, self.sinks), (start, start + before_end), (self.sinks, self.sinks + oldest - before_end)]

    @property
    def end(self) -> int:
        """How far the stream reaches, counted from the sinks: the first position behind the newest frame."""
        return self.next_place - self._slide

    @property
    def _slide(self) -> int:
        """How far the oldest frame slides so that it stands right behind the sinks."""
        return (self.frames[0].start if self.frames else self.next_place) - self.sinks

    def _forget_oldest(self) -> None:
        oldest = self.order()[self.sinks:self.sinks + self.frames[0].tokens]
        self.filled[oldest] = False
        self.frames.popleft()

    def _move_to_front(self) -> None:
        """Bring what is kept to the ring's beginning, if it fits into what is free there.

        Attention reads all slots up to the last that was filled: so these are not many more than are kept, where
        positions or a standstill bound the window before its tokens do.
        """
        _, (start, stop), (_, behind) = self.spans(self.tokens)
        count = stop - start
        if behind > self.sinks or start - self.sinks < max(count, 1):
            return                                                      # it goes round, or would be written over
        front = slice(self.sinks, self.sinks + count)
        for kept in (self.keys, self.values):
            kept[:, :, :, front] = kept[:, :, :, start:stop]
        self.places[front] = self.places[start:stop]
        self.filled[self.sinks:] = False
        self.filled[front] = True
        self.next_slot = self.used = front.stop

    def _slide_sinks(self) -> None:
        if self._slide != self.slid:
            self.slid = self._slide
            turn = self.decoder.rotation(torch.tensor([self.slid], device=self.places.device))
            self.keys[:, :, :, :self.sinks] = rotate(self.sink_keys, *turn)
            self.places[:self.sinks] = self.slid + torch.arange(self.sinks, device=self.places.device)

    def _prefill(self, embeddings: torch.Tensor, slots: torch.Tensor, places: torch.Tensor) -> None:
        """Run the model on new tokens over all that is kept, and write their keys and values into `slots`."""
        self.places[slots] = places
        self.filled[slots] = True
        self.used = used = max(self.used, min(self.capacity, self.next_slot + len(slots)))
        turn = self.decoder.rotation(places)
        mask = self.filled[:used] & (self.places[:used] <= places[:, None])         # [b, used]: causal by place

        def write(layer: int, keys: torch.Tensor, values: torch.Tensor):
            self.keys[layer].index_copy_(2, slots, rotate(keys, *turn))
            self.values[layer].index_copy_(2, slots, values)
            return self.keys[layer][:, :, :used], self.values[layer][:, :, :used]

        self.decoder.run(embeddings, places, write, mask)


class Recall:
    """A copy of a window for one answer, with room for question and answer.

    The window goes on; the answer knows what was there when it was asked. newest: all visual tokens of the newest
    frame, [1, n, D]; they are read in place of those that the window keeps of it, in one pass with the question.
    """

    def __init__(self, window: Window, newest: torch.Tensor | None = None):
        self.decoder = window.decoder
        self.newest = newest
        left_out = 0 if newest is None else window.frames[-1].tokens
        spans = window.spans(window.tokens - left_out)
        self.length = sum(stop - start for start, stop in spans)
        shape = list(window.keys.shape)
        shape[3] = self.length + window.reserve
        self.keys, self.values = window.keys.new_empty(shape), window.values.new_empty(shape)
        at = 0
        for start, stop in spans:
            self.keys[:, :, :, at:at + stop - start] = window.keys[:, :, :, start:stop]
            self.values[:, :, :, at:at + stop - start] = window.values[:, :, :, start:stop]
            at += stop - start
        self.position = window.next_place
        if newest is not None:      # after a standstill its picture stands where that ends
            self.position = max(window.frames[-1].start, window.next_place - newest.shape[1])

    def run(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Append `embeddings` [1, t, D] behind all that is known -> hidden states [1, t, D]."""
        asked = embeddings.shape[1]
        if self.newest is not None:
            embeddings, self.newest = torch.cat((self.newest, embeddings), dim=1), None
        count = embeddings.shape[1]
        start, end = self.length, self.length + count
        positions = torch.arange(self.position, self.position + count, device=embeddings.device)
        turn = self.decoder.rotation(positions)
        mask = None if count == 1 else torch.ones(count, end, dtype=torch.bool, device=embeddings.device).tril(start)

        def write(layer: int, keys: torch.Tensor, values: torch.Tensor):
            self.keys[layer][:, :, start:end] = rotate(keys, *turn)
            self.values[layer][:, :, start:end] = values
            return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

        hidden = self.decoder.run(embeddings, positions, write, mask)
        self.length, self.position = end, self.position + count
        return hidden[:, count - asked:]
