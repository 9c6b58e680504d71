"""How much memory a model takes at given settings, reckoned from its configuration before anything is loaded.

Imports no torch, and reads no weight: what a model would need can be told before its gigabytes are downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from stc_ros.settings import Settings

ITEMSIZE = {'float32': 4, 'bfloat16': 2, 'float16': 2}  # bytes
GROUP, BLOCK = 32, 64  # weights that share a scale and a zero (int4), a float32 scale (nf4)
MIB = 1 << 20
DECIDE = (
    'model.device',
    'model.dtype',
    'model.quantise',
    'memory.max_tokens',
    'memory.max_mib',
    'expert.prefill_batch',
)  # parameters
RUNTIME = {'cpu': 450 * MIB, 'cuda': 800 * MIB}  # PyTorch, rclpy; on a GPU its context and the libraries' kernels
WITH_CLASS_TOKEN = ('clip_vision_model', 'internvl_vision')
SINKS = 32  # tokens of a chat format before the first frame, at most about
QUESTION = 64  # tokens of a usual question


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a model's memory depends on: numbers stored, then its language model, its vision tower and a frame."""

    weights: int
    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    max_positions: int
    vision_width: int
    vision_inner: int
    vision_layers: int  # that are run
    vision_tokens: int
    pixels: int  # of the picture that the tower is shown
    visual_tokens: int  # of a frame

    @property
    def layer_weights(self) -> int:
        """In the matrices of the language model's layers, which every pass reads."""
        attention = 2 * self.heads * self.head_size + 2 * self.key_heads * self.head_size
        return self.layers * self.width * (attention + 3 * self.inner)

    @property
    def vision_weights(self) -> int:
        """In the matrices of the vision tower's layers."""
        return self.vision_layers * self.vision_width * (4 * self.vision_width + 2 * self.vision_inner)

    def weight_bytes(self, quantise: str, itemsize: int) -> int:
        """Of all weights, where those of some layers are quantised; `itemsize`: of a number that is not."""
        plain, vision, language = self.weights * itemsize, self.vision_weights, self.layer_weights
        if quantise == 'int8':  # a scale for each row is next to nothing
            return plain - (language + vision) * (itemsize - 1)
        if quantise in ('int4', 'nf4'):
            scales = 2 * itemsize / GROUP if quantise == 'int4' else 4 / BLOCK
            return plain - round(language * (itemsize - 0.5 - scales))
        return plain


@dataclass(frozen=True, slots=True)
class Needed:
    """Bytes that a model takes, by what takes them. Of several cameras each has a memory of its own."""

    weights: int
    loading: int  # weights, as long as they are not quantised yet
    memory: int  # keys and values of the streams
    answer: int  # its copy of one of them
    vision: int  # features that the cachers reuse
    activations: int  # of the largest pass
    runtime: int

    @property
    def total(self) -> int:
        running = self.weights + self.memory + self.answer + self.vision + self.activations
        return self.runtime + max(self.loading, running)

    def table(self) -> dict[str, int]:
        """MiB by what takes them."""
        parts = ('weights', 'memory', 'answer', 'vision', 'activations', 'runtime', 'total')
        return {part: round(getattr(self, part) / MIB) for part in parts}


def reckon(sizes: Sizes, settings: Settings, dtype: str, device: str = 'cpu', cameras: int = 1) -> Needed:
    """What `sizes` take at `settings`, in `dtype` on "cpu" or "cuda". The window's arithmetic is memory/window.py's."""
    size = ITEMSIZE[dtype]
    # four things of each token in every layer, both ends, and a picture: vision/cachers/base.py
    vision = (4 * sizes.vision_layers + 2) * sizes.vision_tokens * sizes.vision_width * size + 3 * sizes.pixels
    token = 2 * sizes.layers * sizes.key_heads * sizes.head_size * size
    reserve = min(sizes.max_positions // 5, 4096)
    budget = (settings['memory.max_mib'] << 20) - vision
    affordable = max(0, budget // token - reserve - 2 * SINKS)
    limit = sizes.max_positions - reserve - SINKS
    capacity = max(1, min(settings['memory.max_tokens'], limit, affordable * 8 // 18))
    batch = settings['expert.prefill_batch']
    if batch < 0:
        batch = 256 if device != 'cpu' else min(256, int(4e9 / sizes.layer_weights))
    spare = max(1, capacity // 8, min(batch, capacity))
    if 2 * (capacity + spare) > affordable:
        spare = max(1, capacity // 8)
    seen = spare + sizes.visual_tokens + QUESTION  # tokens of a pass
    pass_ = seen * (6 * sizes.width + 3 * sizes.inner) + sizes.heads // sizes.key_heads * seen * (seen + SINKS)
    tower = sizes.vision_tokens * (6 * sizes.vision_width + 2 * sizes.vision_inner) + 6 * sizes.pixels
    return Needed(
        weights=sizes.weight_bytes(settings['model.quantise'], size),
        loading=sizes.weights * size,
        memory=cameras * token * (capacity + spare + 2 * SINKS),
        answer=token * (capacity + reserve + SINKS),
        vision=cameras * vision,
        activations=max(pass_, tower) * size,
        runtime=RUNTIME['cpu' if device == 'cpu' else 'cuda'],
    )


def what_would_fit(
    sizes: Sizes, settings: Settings, dtype: str, device: str, room: int, cameras: int = 1
) -> str | None:
    """The least change with which the model fits into `room` bytes: '' for none, None where none helps."""
    most = settings['memory.max_tokens']
    how = settings['model.quantise']
    for other, bits in dict.fromkeys(((dtype, how), ('bfloat16', how), ('bfloat16', 'int8'), ('bfloat16', 'int4'))):
        tokens = most
        while tokens >= max(16, sizes.visual_tokens):
            changed = settings | {'memory.max_tokens': tokens, 'model.quantise': bits}
            if reckon(sizes, changed, other, device, cameras).total <= room:
                said = [f'model.dtype:={other}'] if other != dtype else []
                said += [f'model.quantise:={bits}'] if bits != how else []
                return ' '.join([*said, f'memory.max_tokens:={tokens}'] if tokens < most else said)
            tokens = tokens * 3 // 4
    return None


def reckon_sizes(config, grid: int | tuple[int, int], visual_tokens: int, projector: int) -> Sizes:
    """`Sizes` of a model whose tower and language model are of the usual kind, up to a percent.

    config: transformers', or what has its attributes. grid: patches of a row, or rows and columns. projector: weights
    of it, and of what else is not usual in the tower.
    """
    text, vision = config.text_config, config.vision_config
    wide, inner, depth = vision.hidden_size, vision.intermediate_size, vision.num_hidden_layers
    layer = getattr(config, 'vision_feature_layer', -1)
    rows, cols = (grid, grid) if isinstance(grid, int) else grid
    tokens = rows * cols + (vision.model_type in WITH_CLASS_TOKEN)
    patch = vision.patch_size[0] if isinstance(vision.patch_size, (list, tuple)) else vision.patch_size
    tower = wide * (3 * patch**2 + tokens) + depth * (4 * wide * wide + 2 * wide * inner + 9 * wide + inner)
    width, heads, groups = text.hidden_size, text.num_attention_heads, text.num_key_value_heads
    head = getattr(text, 'head_dim', None) or width // heads
    language = width * (2 * (heads + groups) * head + 3 * text.intermediate_size + 2) + (heads + 2 * groups) * head
    embeddings = text.vocab_size * width * (1 if getattr(config, 'tie_word_embeddings', False) else 2)
    return Sizes(
        weights=tower + projector + text.num_hidden_layers * language + embeddings,
        width=width,
        inner=text.intermediate_size,
        layers=text.num_hidden_layers,
        heads=heads,
        key_heads=groups,
        head_size=head,
        max_positions=text.max_position_embeddings,
        vision_width=wide,
        vision_inner=inner,
        vision_layers=depth + 1 + layer if layer < 0 else layer,
        vision_tokens=tokens,
        pixels=rows * cols * patch**2,
        visual_tokens=visual_tokens,
    )
