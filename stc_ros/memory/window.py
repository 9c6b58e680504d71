"""What the language model keeps of the past: the prompt's sinks and a window of the newest frames, in order.

A key is rotated once, to its token's position in the stream. Attention knows only differences of positions, and these
stay in the trained range because old frames are evicted; the sinks move on with the oldest frame and stand right before
it (StreamingLLM, arXiv 2309.17453; ReKV, arXiv 2503.00540). Nothing is allocated after the first frame but what waits.

Prefill is lazy: a frame's tokens wait until `batch` tokens do, or until somebody asks, and then run through the model
in one pass, which reads the weights once. Each frame sees just what it would have seen alone: what was evicted between
the frames of a pass, and sinks that moved on meanwhile, are masked for those that may not see them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch

from stc_ros.memory.base import Limits
from stc_ros.memory.chunk import Chunk, FrameSpan, Read
from stc_ros.memory.query_context import QueryContext
from stc_ros.models.attention import Piece
from stc_ros.models.decoder import Decoder, ModelFailure, rotate
from stc_ros.parameters import memories
from stc_ros.transfer import upload

PAUSE = 64  # positions at most from one frame to the next, where time moves them on: no night evicts what was seen
IDLE_FRAMES = 4  # static frames take no more positions than this many frames, or they would evict what was seen
SPARE = 8  # an eighth of the window is spare, so that it is moved to the buffer's front only now and then


class Window:
    """Keys and values of one stream, [layers, 1, key heads, slots, head], the oldest first.

    `tokens` is the most visual tokens kept, `budget` the most bytes, an answer's copy and what waits included, `batch`
    how many tokens wait at most to be prefilled in one pass (0: none). Raises `ValueError` when the budget does not
    hold even one token beside the sinks.
    """

    def __init__(self, decoder: Decoder, head: list[int], tokens: int, budget: int, dtype: torch.dtype, batch: int = 0):
        self.decoder = decoder
        self.sinks = len(head)
        self.reserve = min(decoder.max_positions // 5, 4096)  # positions for a question and its answer
        self.position_limit = decoder.max_positions - self.reserve
        self.token_bytes = 2 * decoder.layers * decoder.key_heads * decoder.head_size * dtype.itemsize
        affordable = budget // self.token_bytes - self.reserve - 2 * self.sinks
        # the window and an answer's copy of it; what is spare, and as much again for what waits there
        self.capacity = min(tokens, self.position_limit - self.sinks, affordable * SPARE // (2 * SPARE + 2))
        if self.capacity < 1:
            raise ValueError(
                f'a memory of {budget} bytes holds no visual token; this model needs '
                f'{self.token_bytes} bytes a token: raise memory.max_mib'
            )
        usual = max(1, self.capacity // SPARE)
        spare = max(usual, min(batch, self.capacity))
        self.spare = spare if 2 * (self.capacity + spare) <= affordable else usual
        self.batch = min(batch, self.spare)
        shape = (decoder.layers, 1, decoder.key_heads, self.capacity + self.spare, decoder.head_size)
        self.keys = torch.zeros(shape, dtype=dtype, device=decoder.device)
        self.values = torch.zeros_like(self.keys)
        self.frames: deque[FrameSpan] = deque()
        self.waiting: list[Chunk] = []
        self.front = 0  # number of the token in the first slot
        self.stored = 0  # tokens ever kept that were prefilled,
        self.kept = 0  # and all: the number of the next one
        self.next_position, self.began, self.tick = self.sinks, 0, 0
        self.sink_keys = self.sink_values = self.keys[:, :, :, :0]
        positions = decoder.stand(torch.arange(self.sinks), 0, 0)
        read = self.prefill(Chunk(decoder.embed(head), positions, oldest=0, until=0, rope_offset=0))
        assert read is not None  # what was asked was the prompt itself
        self.sink_keys, self.sink_values = read.keys, read.values  # at positions 0, 1, ...

    @property
    def tokens(self) -> int:
        """Visual tokens kept now, those that wait included."""
        return self.kept - self._oldest

    @property
    def tokens_waiting(self) -> int:
        """Visual tokens that have not run through the language model yet."""
        return self.kept - self.stored

    def waiting_since(self, otherwise: int) -> int:
        """When the oldest frame that waits was, in ns; `otherwise` when none does."""
        return self.waiting[0].stamp if self.waiting else otherwise

    @property
    def bytes(self) -> int:
        """Bytes of the window's keys and values, full or not, and of what waits."""
        slots = self.keys.shape[3] + self.sinks
        return slots * self.token_bytes + sum(c.embeddings.nbytes for c in self.waiting)

    @property
    def end(self) -> int:
        """How far the stream reaches, counted from the sinks: the first position behind the newest frame."""
        return self.next_position - self.rope_offset

    def first_stamp(self, otherwise: int) -> int:
        """When the oldest frame kept was, in ns; `otherwise` when there is none."""
        return self.frames[0].stamp if self.frames else otherwise

    def clear(self) -> None:
        """Forget every frame."""
        self.frames.clear()
        self.waiting.clear()
        self.front = self.stored = self.kept = self.tick = 0
        self.next_position = self.sinks

    def add(self, embeddings: torch.Tensor, offsets: torch.Tensor, num_positions: int, stamp: int) -> None:
        """Keep one frame; it waits for its prefill unless more than `batch` tokens do.

        embeddings [1, b, D] in raster order; offsets [b] ascending, or [axes, b], on the CPU: each token's position
        inside the frame, which takes `num_positions` positions. The oldest frames are evicted when tokens or positions
        run out. Raises `ValueError` for a frame larger than the whole window.
        """
        count = offsets.shape[-1]
        if count > self.capacity or num_positions > self.position_limit - self.sinks:
            raise ValueError(
                f'a frame of {count} tokens does not fit a window of {self.capacity}: raise memory.max_tokens '
                'or memory.max_mib, or prune more'
            )
        if self.waiting and self.tokens_waiting + count > self.spare:
            self.prefill()
        self._pass_time(stamp if count else None)
        while self.tokens + count > self.capacity or self.end + num_positions > self.position_limit:
            self.frames.popleft()
        number, start = self.kept, self.next_position
        self.frames.append(FrameSpan(stamp, count, number, start, num_positions))
        self.next_position += num_positions
        self.kept += count
        if count:
            positions = self.decoder.stand(offsets, start, start - self.sinks)
            self.waiting.append(Chunk(embeddings, positions, self._oldest, number, self.rope_offset, stamp))
        if self.tokens_waiting > self.batch:
            self.prefill()

    def advance(self, num_positions: int, stamp: int) -> None:
        """A frame that showed nothing new: no tokens, but its time, and positions for up to four such in a row."""
        if self.frames and self.frames[-1].tokens == 0:
            last = self.frames.pop()
            self.next_position = last.start
            num_positions = min(last.num_positions + num_positions, IDLE_FRAMES * num_positions)
        self.add(self.keys.new_empty(1, 0, 0), torch.empty(0, dtype=torch.long), num_positions, stamp)

    def _pass_time(self, stamp: int | None) -> None:
        """Where time moves the frames on, the one of `stamp` stands at its own: so many positions behind the first."""
        if stamp is not None and self.decoder.places:
            self.began = stamp if self.kept == 0 else self.began
            tick = int(self.decoder.places.per_second * ((stamp - self.began) / 1e9))
            self.next_position += max(0, min(tick - self.tick, PAUSE))
            self.tick = tick

    def question(self, embeddings: torch.Tensor, positions: torch.Tensor, until: int, shared: bool = False) -> Chunk:
        """What is to be read behind the window, [1, t, D] at `positions`; it sees the kept tokens < `until`."""
        return Chunk(embeddings, positions, self._oldest, until, self.rope_offset, shared=shared)

    def place(self, newest: torch.Tensor | None) -> tuple[torch.Tensor, int, int]:
        """Positions of `newest`, [1, n, D]; where a question behind it begins; the first token that neither sees."""
        count, places = 0 if newest is None else newest.shape[1], self.decoder.places
        offsets, num_positions = places.whole(count) if places and count else (torch.arange(count), count)
        start, until = self.next_position, self.kept
        if count:
            frame = self.frames[-1]  # after static frames its picture stands where that ends
            start, until = max(frame.start, start - num_positions), frame.first
        behind = start + num_positions
        if places and places.per_second:  # behind the largest position on any axis
            behind = max(behind + 1, self.rope_offset + self.sinks + places.extent)
        return self.decoder.stand(offsets, start, start - self.sinks), behind, until

    def open(self, asked: torch.Tensor, newest: torch.Tensor | None = None) -> QueryContext:
        """See `Memory.open`."""
        return QueryContext(self, asked, newest)

    def read_tree(
        self, asked: torch.Tensor, parents: Sequence[int], newest: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See `Memory.read_tree`."""
        at, behind, until = self.place(newest)
        first = [] if newest is None else [self.question(newest, at, until, shared=True)]
        sees = torch.eye(len(parents), dtype=torch.bool)
        for number, parent in enumerate(parents):
            sees[number] |= sees[parent] if parent >= 0 else False
        positions = self.decoder.stand(sees.sum(1) - 1, behind, self.rope_offset)
        read = self.prefill(*first, Chunk(asked, positions, self._oldest, until, self.rope_offset, sees=sees))
        assert read is not None  # something was asked
        return read.hidden[:, -len(parents) :]

    def prefill(self, *asked: Chunk) -> Read | None:
        """Run what waits through the model, in one pass, and behind it what is asked, which is not kept.

        Raises `ModelFailure` where something is no number: the window is then to be cleared.
        """
        chunks = [*self.waiting, *asked]
        if not chunks:
            return None
        first, count, shared = chunks[0].oldest, self.tokens_waiting, self._seen_by_all(chunks)
        self._make_room(first, count)
        before, behind = self._slots(first, shared.start), self._slots(shared.stop, self.stored)
        old, new = self._slots(shared.start, shared.stop), self._slots(self.stored, self.stored + count)
        rope_offsets = list(dict.fromkeys(c.rope_offset for c in chunks))
        sinks = self._sinks_at(rope_offsets)
        numbers = [*range(first, shared.start), *range(shared.stop, self.stored)]
        mask = self.decoder.mask(self._tail_mask(chunks, rope_offsets, numbers), self.keys.dtype)
        positions = upload(torch.cat([c.positions for c in chunks], -1), self.keys.device)
        cos_sin = self.decoder.rotation(positions)
        read: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []

        def write(layer: int, keys: torch.Tensor, values: torch.Tensor) -> list[Piece]:
            tail, fresh = [], (rotate(keys, *cos_sin), values)
            for kind, held in enumerate((self.keys[layer], self.values[layer])):
                held[:, :, new] = fresh[kind][:, :, :count]
                if asked:
                    read[kind].append(fresh[kind][:, :, count:])
                tail.append(torch.cat((sinks[kind][layer], held[:, :, before], held[:, :, behind], fresh[kind]), 2))
            pieces = [Piece(tail[0], tail[1], mask)]
            if shared:
                pieces.append(Piece(self.keys[layer][:, :, old], self.values[layer][:, :, old]))
            return pieces

        hidden = self.decoder.run(torch.cat([c.embeddings for c in chunks], 1), positions, write)
        for chunk in self.waiting:  # a pass may run on another CUDA stream than that which made them
            if chunk.embeddings.is_cuda:
                chunk.embeddings.record_stream(torch.cuda.current_stream(chunk.embeddings.device))
        if not hidden.isfinite().all():  # of any token: all later ones see it, also when it has left the window
            raise ModelFailure('the language model computed NaN or infinity')
        self.stored += count
        self.waiting = []
        return Read(hidden[:, count:], *map(torch.stack, read)) if asked else None

    def copy_to(self, keys: torch.Tensor, values: torch.Tensor, until: int) -> int:
        """Write the sinks and what is kept of tokens with numbers < `until` to the front of other slots -> how many."""
        kept = self._slots(self._oldest, max(self._oldest, until))
        length: int = self.sinks + kept.stop - kept.start
        for target, sinks, held in zip((keys, values), self._sinks_at([self.rope_offset]), (self.keys, self.values)):
            target[:, :, :, : self.sinks] = sinks
            target[:, :, :, self.sinks : length] = held[:, :, :, kept]
        return length

    @property
    def _oldest(self) -> int:
        """Number of the oldest token kept."""
        return self.frames[0].first if self.frames else self.kept

    @property
    def rope_offset(self) -> int:
        """How far the sinks move on so that they stand right before the oldest frame."""
        return (self.frames[0].start if self.frames else self.next_position) - self.sinks

    def _slots(self, first: int, behind: int) -> slice:
        """Where the tokens with numbers in [first, behind) lie in the buffer."""
        first = max(first, self.front)
        return slice(first - self.front, max(first, behind) - self.front)

    def _seen_by_all(self, chunks: list[Chunk]) -> range:
        """Numbers of the tokens in the buffer that every chunk sees."""
        oldest = min(self.stored, max(c.oldest for c in chunks))
        return range(oldest, max(oldest, min(self.stored, *(c.until for c in chunks))))

    def _tail_mask(self, chunks: list[Chunk], rope_offsets: list[int], numbers: list[int]) -> torch.Tensor:
        """Which keys behind no shared piece each new token sees, bool [t, S]: sinks by offset, `numbers`, new ones."""
        counts = torch.tensor([c.embeddings.shape[1] for c in chunks])
        owner = torch.arange(len(chunks)).repeat_interleave(counts)  # [t]
        rope_offset, oldest, until = (
            torch.tensor([getattr(c, name) for c in chunks])[owner, None] for name in ('rope_offset', 'oldest', 'until')
        )
        sinks = rope_offset == torch.tensor(rope_offsets).repeat_interleave(self.sink_keys.shape[3])
        number, fresh = torch.tensor(numbers, dtype=torch.long), self.stored + torch.arange(len(owner))
        old = (number >= oldest) & (number < until)
        causal = fresh <= fresh[:, None]
        shared = torch.tensor([c.shared for c in chunks])[owner]
        new = causal & ((owner == owner[:, None]) | shared | ((fresh >= oldest) & (fresh < until)))
        if (sees := chunks[-1].sees) is not None:
            new[-len(sees) :, -len(sees) :] = sees
        return upload(torch.cat((sinks, old, new), 1), self.keys.device)

    def _sinks_at(self, rope_offsets: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the sinks, moved on by each of r `rope_offsets`, [layers, 1, G, r * sinks, head]."""
        turns = torch.tensor(rope_offsets).repeat_interleave(self.sink_keys.shape[3])
        cos_sin = self.decoder.rotation(upload(self.decoder.stand(turns, 0, turns), self.keys.device))
        keys, values = (each.repeat(1, 1, 1, len(rope_offsets), 1) for each in (self.sink_keys, self.sink_values))
        return rotate(keys, *cos_sin), values

    def _make_room(self, oldest: int, count: int) -> None:
        """Forget what is older than the token numbered `oldest`, if there is no room for `count` more behind it."""
        if self.stored + count - self.front <= self.keys.shape[3]:
            return
        kept = self._slots(min(oldest, self.stored), self.stored)
        for layers in (self.keys, self.values):
            for layer in layers:
                layer[:, :, : kept.stop - kept.start] = layer[:, :, kept].clone()
        self.front = self.stored - (kept.stop - kept.start)


@memories.register('window', source='arXiv 2309.17453', scope='newest frames')
class SlidingWindow:
    """Keeps the newest frames, and the prompt's tokens as attention sinks before them."""

    def create(self, decoder: Decoder, prefix: list[int], limits: Limits) -> Window:
        return Window(decoder, prefix, limits.tokens, limits.bytes, limits.dtype, limits.prefill_batch)
