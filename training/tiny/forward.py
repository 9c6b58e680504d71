"""The forward pass that training runs: the Hugging Face model's own weights and arithmetic in a few large operations.

`gather_weights` takes the parameters of the model, by their Hugging Face names, in the dtype to compute in;
the other functions are pure. What they leave out: anything that training does not need, such as caches.
"""

import torch
import torch.nn.functional as F

from training.tiny.architecture import GRID, LANGUAGE, PATCH, TOWER

VISION = 'model.vision_tower.'
PROJECTOR = 'model.multi_modal_projector.'
TEXT = 'model.language_model.'
NEWLINE = 'model.image_newline'
ROPE_BASE = 10_000.0


def gather_weights(model, dtype: torch.dtype = torch.bfloat16, prefix: str = '') -> dict[str, torch.Tensor]:
    """The parameters whose name starts with `prefix`, cast to `dtype`; gradients flow back through the cast."""
    return {name: p.to(dtype) for name, p in model.named_parameters() if name.startswith(prefix)}


def _linear(w, name, x):
    return F.linear(x, w[name + '.weight'], w.get(name + '.bias'))


# ---- vision


def attend_all(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attention without a mask; on a CPU its backward pass is twice as fast as that of torch's fused one."""
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)).softmax(-1) @ v


def normalise(frames: torch.Tensor, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """uint8 [F, S, S, 3] to [F, 3, S, S] in -1..1."""
    return (frames.permute(0, 3, 1, 2).float() / 127.5 - 1.0).to(dtype)


def see_patches(w: dict, pixels: torch.Tensor) -> torch.Tensor:
    """The tower's last hidden state, before its final norm: [F, 3, S, S] to [F, GRID * GRID, d]."""
    n = pixels.shape[0]
    heads, d = TOWER['num_attention_heads'], TOWER['hidden_size']
    patches = pixels.unflatten(2, (GRID, PATCH)).unflatten(4, (GRID, PATCH))  # [F, 3, gy, p, gx, p]
    patches = patches.permute(0, 2, 4, 1, 3, 5).reshape(n, GRID * GRID, 3 * PATCH * PATCH)
    e = VISION + 'embeddings.'
    x = F.linear(patches, w[e + 'patch_embedding.weight'].flatten(1), w[e + 'patch_embedding.bias'])
    x = x + w[e + 'position_embedding.weight']
    for i in range(TOWER['num_hidden_layers']):
        at = f'{VISION}encoder.layers.{i}.'
        h = F.layer_norm(x, (d,), w[at + 'layer_norm1.weight'], w[at + 'layer_norm1.bias'], 1e-6)
        qkv = F.linear(
            h,
            torch.cat([w[f'{at}self_attn.{p}_proj.weight'] for p in 'qkv']),
            torch.cat([w[f'{at}self_attn.{p}_proj.bias'] for p in 'qkv']),
        )
        q, k, v = qkv.view(n, GRID * GRID, 3, heads, -1).permute(2, 0, 3, 1, 4).contiguous()
        h = attend_all(q, k, v).transpose(1, 2).flatten(2)
        x = x + _linear(w, at + 'self_attn.out_proj', h)
        h = F.layer_norm(x, (d,), w[at + 'layer_norm2.weight'], w[at + 'layer_norm2.bias'], 1e-6)
        x = x + _linear(w, at + 'mlp.fc2', F.gelu(_linear(w, at + 'mlp.fc1', h), approximate='tanh'))
    return x


def project(w: dict, patches: torch.Tensor) -> torch.Tensor:
    """Projector and 2 x 2 pooling: [F, GRID * GRID, d] to visual tokens [F, TOKENS, D].

    Bilinear interpolation to half an even size is the mean of each 2 x 2 block.
    """
    x = _linear(w, PROJECTOR + 'linear_2', F.gelu(_linear(w, PROJECTOR + 'linear_1', patches)))
    return x.view(x.shape[0], GRID // 2, 2, GRID // 2, 2, -1).mean((2, 4)).flatten(1, 2)


# ---- language


def _scale(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    y = x.float()
    return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * weight


def _gate(x: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return F.silu(x[..., :half]) * x[..., half:]


_FUSED = {'scale': _scale, 'preprocess': _gate}


def fuse() -> None:
    """Compiles the norm and the gate: an eighth less time per step on a CPU. Needs a C++ compiler."""
    _FUSED.update(scale=torch.compile(_scale, dynamic=True), gate=torch.compile(_gate, dynamic=True))


def _rms(w: dict, name: str, x: torch.Tensor) -> torch.Tensor:
    return _FUSED['scale'](x, w[name + '.weight'])


def _turn(positions: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary code, [..., 1, head] for positions [...]."""
    half = LANGUAGE['hidden_size'] // LANGUAGE['num_attention_heads'] // 2
    speed = ROPE_BASE ** (-torch.arange(half, device=positions.device, dtype=torch.float32) / half)
    angle = positions[..., None].float() * speed
    angle = torch.cat([angle, angle], -1)[..., None, :]
    return angle.cos().to(dtype), angle.sin().to(dtype)


def _rotate(x: torch.Tensor, turn) -> torch.Tensor:
    low, high = x.chunk(2, -1)
    return x * turn[0] + torch.cat([-high, low], -1) * turn[1]


def _qkv(w: dict, at: str, x: torch.Tensor, turn, parts: str = 'qkv'):
    """Queries, keys, values [..., heads, head dim] of x [..., D], the former two rotated."""
    weight = torch.cat([w[f'{at}self_attn.{p}_proj.weight'] for p in parts])
    bias = torch.cat([w[f'{at}self_attn.{p}_proj.bias'] for p in parts])
    heads = LANGUAGE['num_attention_heads']
    out = F.linear(x, weight, bias).unflatten(-1, (len(parts) * heads, -1))
    turned = (len(parts) - 1) * heads
    return [*_rotate(out[..., :turned, :], turn).split(heads, -2), out[..., turned:, :]]


def _mlp(w: dict, at: str, x: torch.Tensor) -> torch.Tensor:
    weight = torch.cat([w[at + 'mlp.gate_proj.weight'], w[at + 'mlp.up_proj.weight']])
    return _linear(w, at + 'mlp.down_proj', _FUSED['preprocess'](F.linear(x, weight)))


def attend_before(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: int = 256) -> torch.Tensor:
    """Causal attention over [B, heads, N, head dim], `rows` queries at a time."""
    shape = q.shape
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    done = []
    for a in range(0, shape[2], rows):
        b = min(a + rows, shape[2])
        bias = torch.full((b - a, b), -1e4, dtype=q.dtype, device=q.device).triu(a + 1)
        share = torch.baddbmm(bias, q[:, a:b], k[:, :b].transpose(1, 2), alpha=shape[3] ** -0.5).softmax(-1)
        done.append(share @ v[:, :b])
    return torch.cat(done, 1).view(shape)


def embed(w: dict, ids: torch.Tensor) -> torch.Tensor:
    """Word embeddings [..., D]."""
    return F.embedding(ids, w[TEXT + 'embed_tokens.weight'])


def read_prefix(w: dict, x: torch.Tensor, positions: torch.Tensor):
    """Reads what questions share, causally. x [B, N, D], positions [B, N].

    Returns the keys and values of every layer, each [B, heads, N, head dim], and the states after every layer but
    the last, which nothing reads.
    """
    turn = _turn(positions, x.dtype)
    caches, states = [], []
    layers = sum(name.startswith(TEXT) and name.endswith('.input_layernorm.weight') for name in w)
    for i in range(layers):
        at = f'{TEXT}layers.{i}.'
        h = _rms(w, at + 'input_layernorm', x)
        if i == layers - 1:
            k, v = _qkv(w, at, h, turn, 'kv')
            caches.append((k.transpose(1, 2), v.transpose(1, 2)))
            break
        q, k, v = (t.transpose(1, 2).contiguous() for t in _qkv(w, at, h, turn))
        caches.append((k, v))
        h = attend_before(q, k, v).transpose(1, 2).flatten(2)
        x = x + _linear(w, at + 'self_attn.o_proj', h)
        x = x + _mlp(w, at, _rms(w, at + 'post_attention_layernorm', x))
        states.append(x)
    return caches, states


def read_pieces(w: dict, caches, x: torch.Tensor, positions: torch.Tensor, visible: torch.Tensor, watch=()):
    """Reads K pieces per clip (image_newline, question, answer) behind the shared prefix, each alone.

    x [B, K, L, D], positions [B, K, L], visible bool [B, K, N]: the prefix tokens that a piece may see.
    Returns the final states, normed, [B, K, L, D], and for each layer in `watch` its attention [B, heads, K, L, N + L].
    """
    b, k, length, _ = x.shape
    turn = _turn(positions, x.dtype)
    later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
    hidden = torch.cat([~visible[:, :, None].expand(-1, -1, length, -1), later.expand(b, k, -1, -1)], -1)
    bias = torch.zeros(hidden.shape, dtype=x.dtype, device=x.device).masked_fill_(hidden, -1e4)[:, None]
    seen = {}
    for i, (keys, values) in enumerate(caches):
        at = f'{TEXT}layers.{i}.'
        q, own_k, own_v = (t.permute(0, 3, 1, 2, 4) for t in _qkv(w, at, _rms(w, at + 'input_layernorm', x), turn))
        q = (q * q.shape[-1] ** -0.5).contiguous()  # [B, heads, K, L, head dim]
        far = (q.flatten(2, 3) @ keys.transpose(2, 3)).unflatten(2, (k, length))
        share = (torch.cat([far, q @ own_k.transpose(3, 4)], -1) + bias).softmax(-1)
        if i in watch:
            seen[i] = share
        n = keys.shape[2]
        h = (share[..., :n].flatten(2, 3) @ values).unflatten(2, (k, length)) + share[..., n:] @ own_v
        x = x + _linear(w, at + 'self_attn.o_proj', h.permute(0, 2, 3, 1, 4).flatten(3))
        x = x + _mlp(w, at, _rms(w, at + 'post_attention_layernorm', x))
    return _rms(w, TEXT + 'norm', x), seen


def name_words(w: dict, states: torch.Tensor) -> torch.Tensor:
    """Logits float32 [..., vocabulary] of final states [..., D]."""
    return F.linear(states, w[TEXT + 'embed_tokens.weight']).float()
