"""What a stream's window holds, once nothing waits any more."""

import torch


def kept(stream) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of the tokens kept, [layers, 1, G, tokens, head] each; copies."""
    stream.prefill()
    memory = stream.memory
    behind = memory.stored - memory.front
    here = slice(behind - memory.tokens, behind)
    return memory.keys[:, :, :, here].clone(), memory.values[:, :, :, here].clone()
