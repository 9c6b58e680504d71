"""Many questions about one moment, answered at once: what `Stream.ask` would say to each, in a tenth of the time.

The questions are laid behind each other in one pass of the language model; a mask lets each see the memory and itself,
and every question has the positions that it would have alone.
"""

from __future__ import annotations

import torch

from stc_ros.memory.query_context import QueryContext
from stc_ros.models.attention import Piece
from stc_ros.models.decoder import rotate
from stc_ros.stream import Stream
from stc_ros.transfer import upload


class BatchedQueryContext:
    """What a query context knows, and behind it several questions that do not see each other."""

    def __init__(self, context: QueryContext):
        self.decoder = context.decoder
        self.position, self.moved = context.position, context.moved
        self.keys = list(context.keys[:, :, :, : context.length])  # by layer, [1, key heads, T, head]
        self.values = list(context.values[:, :, :, : context.length])
        self.owners = torch.full((context.length,), -1, device=self.keys[0].device)  # question of each key; -1: all's
        self.steps = torch.zeros_like(self.owners)

    def run(self, embeddings: torch.Tensor, owners: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Append `embeddings` [1, t, D] of the questions `owners` [t], each the `steps`-th [t] of its question."""
        self.owners, self.steps = torch.cat((self.owners, owners)), torch.cat((self.steps, steps))
        shared = self.owners == -1
        mask = shared | ((self.owners == owners[:, None]) & (self.steps <= steps[:, None]))  # [t, T + t]
        positions = upload(self.decoder.stand(steps.cpu(), self.position, self.moved), steps.device)
        cos, sin = self.decoder.rotation(positions)

        added = self.decoder.mask(mask, embeddings.dtype)

        def write(layer: int, keys: torch.Tensor, values: torch.Tensor) -> list[Piece]:
            self.keys[layer] = torch.cat((self.keys[layer], rotate(keys, cos, sin)), dim=2)
            self.values[layer] = torch.cat((self.values[layer], values), dim=2)
            return [Piece(self.keys[layer], self.values[layer], added)]

        return self.decoder.run(embeddings, positions, write)


@torch.inference_mode()
def answer_all(stream: Stream, questions: list[str], limit: int) -> list[str]:
    """Greedy answers of at most `limit` tokens, one for each question; see `Stream.ask`."""
    if not questions:
        return []
    stream.settle()
    model, device = stream.model, stream.model.device
    suffixes = [model.chat.suffix(question.strip()) for question in questions]
    room = stream.memory.reserve - 1 - max(map(len, suffixes)) - limit
    context = BatchedQueryContext(QueryContext(stream.memory, newest=stream.latest_tokens(room)))
    lengths = torch.tensor([1 + len(suffix) for suffix in suffixes], device=device)
    newline = model.newline[None]
    embeddings = torch.cat([part for suffix in suffixes for part in (newline, model.decoder.embed(suffix))], dim=1)
    owners = torch.repeat_interleave(torch.arange(len(suffixes), device=device), lengths)
    steps = torch.cat([torch.arange(n, device=device) for n in lengths.tolist()])
    hidden = context.run(embeddings, owners, steps)[:, lengths.cumsum(0) - 1]  # [1, questions, D]
    written: list[list[int]] = [[] for _ in suffixes]
    alive = list(range(len(suffixes)))
    while True:
        tokens = model.decoder.logits(hidden)[0].argmax(-1).tolist()
        said = [(i, token) for i, token in zip(alive, tokens) if token not in model.chat.stops]
        for i, token in said:
            written[i].append(token)
        said = [(i, token) for i, token in said if len(written[i]) < limit]
        if not said:
            return [model.chat.decode(ids) for ids in written]
        alive, tokens = [i for i, _ in said], [token for _, token in said]
        owners = torch.tensor(alive, device=device)
        steps = lengths[owners] + torch.tensor([len(written[i]) - 1 for i in alive], device=device)
        hidden = context.run(model.decoder.embed(tokens), owners, steps)
