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


class BatchedQueryContext:
    """What a recall knows, and behind it several questions that do not see each other."""

    def __init__(self, recall: QueryContext):
        self.decoder = recall.decoder
        self.position = recall.position
        self.keys = list(recall.keys[:, :, :, : recall.length])  # by layer, [1, key heads, T, head]
        self.values = list(recall.values[:, :, :, : recall.length])
        self.owners = torch.full((recall.length,), -1, device=self.keys[0].device)  # question of each key; -1: all's
        self.places = torch.zeros_like(self.owners)

    def run(self, embeddings: torch.Tensor, owners: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Append `embeddings` [1, t, D] of the questions `owners` [t], each the `places`-th [t] of its question."""
        self.owners, self.places = torch.cat((self.owners, owners)), torch.cat((self.places, places))
        shared = self.owners == -1
        mask = shared | ((self.owners == owners[:, None]) & (self.places <= places[:, None]))  # [t, T + t]
        positions = self.position + places
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
    tails = [model.chat.suffix(question.strip()) for question in questions]
    room = stream.memory.reserve - 1 - max(map(len, tails)) - limit
    recall = BatchedQueryContext(QueryContext(stream.memory, newest=stream.latest_tokens(room)))
    lengths = torch.tensor([1 + len(tail) for tail in tails], device=device)
    newline = model.newline[None, None]
    embeddings = torch.cat([part for tail in tails for part in (newline, model.decoder.embed(tail))], dim=1)
    owners = torch.repeat_interleave(torch.arange(len(tails), device=device), lengths)
    places = torch.cat([torch.arange(n, device=device) for n in lengths.tolist()])
    hidden = recall.run(embeddings, owners, places)[:, lengths.cumsum(0) - 1]  # [1, questions, D]
    written: list[list[int]] = [[] for _ in tails]
    alive = list(range(len(tails)))
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
        places = lengths[owners] + torch.tensor([len(written[i]) - 1 for i in alive], device=device)
        hidden = recall.run(model.decoder.embed(tokens), owners, places)
