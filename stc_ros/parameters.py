"""Every parameter of the package, by who reads it; the parameters of the methods join them from the registries.

Where values are given (not where they are read) the bare name of a group stands for its method: `cacher` for
`cacher.method`, `model` for `model.name` (SHORT).

`python -m stc_ros.parameters --yaml` writes config/stream.yaml, `--markdown` the table of docs/parameters.md.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stc_ros.parameter_spec import ParameterSpec, param, specs
from stc_ros.registry import Registry
from stc_ros.watch_parameters import WatchParameters

cachers = Registry('cacher', 'stc_ros.vision.cachers')
pruners = Registry('pruner', 'stc_ros.pruning')
memories = Registry('memory', 'stc_ros.memory')
SHORT = {'cacher': 'cacher.method', 'pruner': 'pruner.method', 'memory': 'memory.method', 'model': 'model.name'}
METHODS = {registry.kind: registry for registry in (cachers, pruners, memories)}
# The lowest value of a range is a multiple of a hundredth of it: rqt's sliders have 100 steps, and reach no other.


@dataclass(frozen=True, slots=True)
class StreamParameters:
    """What a `Stream` reads."""

    cache_similarity: float = param(
        0.995,
        'Least cosine similarity, mean over a frame, that reused vision features keep to what recomputing them would '
        'give. Lower it to save time; raise it when small or slow changes are missed. 1 reuses nothing of a picture '
        'that has changed.',
        low=0.0,
        high=1.0,
    )
    prune_ratio: float = param(
        0.67,
        "Share of a frame's visual tokens that is not sent to the language model. Raise it for a longer memory and "
        'faster prefill; lower it when details are missed. The delta pruner takes it as the usual share: it sends '
        'fewer tokens of a quiet stream, none of a static one, more of a busy one.',
        low=0.0,
        high=0.95,
    )
    scene_change: float = param(
        0.6,
        'Difference of two frames, as a share of their contrast, above which the scene has changed: caches refresh, '
        'narration is due. 2 is never.',
        low=0.0,
        high=2.0,
        name='input.scene_change',
    )
    full_latest_frame: str = param(
        'auto',
        'Whether a question reads all visual tokens of the newest frame instead of the kept ones: better answers about '
        'the present moment, a later first token. auto: where that costs little, on a GPU or with a small model.',
        choices=('auto', 'always', 'never'),
        name='query.full_latest_frame',
    )
    max_new_tokens: int = param(
        128,
        'Longest answer, unless the question names another limit.',
        unit='tokens',
        low=1,
        high=2048,
        name='query.max_new_tokens',
    )
    overlap: bool = param(
        False,
        "Prefill a frame while the next one's vision runs: more frames per second where cores or a GPU idle. Its "
        'prefill time is reported with the next frame.',
        name='expert.overlap',
    )
    prefill_wait: float = param(
        0.5,
        'Longest time that kept tokens wait to be prefilled together with others.',
        unit='s',
        low=0.0,
        high=10.0,
        name='expert.prefill_wait',
    )
    contiguous_positions: bool = param(
        False,
        'Renumber kept tokens without gaps instead of keeping their original RoPE positions.',
        name='expert.contiguous_positions',
    )


@dataclass(frozen=True, slots=True)
class CacherParameters:
    """Which cacher runs."""

    method: str = param(
        'incremental', 'How vision features are reused from frame to frame; none recomputes all.', choices=cachers.names
    )


@dataclass(frozen=True, slots=True)
class PrunerParameters:
    """Which pruner runs."""

    method: str = param(
        'delta', 'How visual tokens are chosen for the language model; none keeps all.', choices=pruners.names
    )


@dataclass(frozen=True, slots=True)
class NarrationParameters:
    """What the narrator reads."""

    period: float = param(
        2.0, 'Time between narrations; 0 narrates only on a scene change.', unit='s', low=0.0, high=60.0
    )
    prompt: str = param(
        '',
        "Question that asks for narration; empty is the model's own. {frames} and {seconds} become what has passed "
        'since the last.',
    )
    min_confidence: float = param(
        -1.0,
        'A clause of a narration to which the model gives less probability is dropped; 0 keeps all, -1 is the '
        "model's own choice.",
        low=-1.0,
        high=1.0,
    )


@dataclass(frozen=True, slots=True)
class QueryParameters:
    """What the questions' queue reads."""

    timeout: float = param(30.0, 'Deadline of a question that names none.', unit='s', low=2.0, high=202.0)
    max_queue: int = param(
        32, 'Questions that may wait; one more is refused as BUSY.', unit='questions', low=1, high=256
    )
    introspection: bool = param(
        False,
        'Publish each question with its answer on ask/_service_event, and of ask_stream where this ROS can, so that '
        'a bag holds them: `stc_ros questions from-log` makes a question file of it.',
        live=False,
    )


@dataclass(frozen=True, slots=True)
class InputParameters:
    """How frames come in."""

    transport: str = param(
        'raw',
        "How pictures come, by the plugins' names: Image (raw), CompressedImage (compressed), or H.264 and "
        'H.265 as FFMPEGPacket (ffmpeg) or CompressedVideo (foxglove).',
        choices=('raw', 'compressed', 'ffmpeg', 'foxglove'),
        live=False,
    )
    max_pixels: int = param(
        16_777_216,
        'Largest picture that is decoded, width times height; larger ones are refused before anything is allocated.',
        unit='pixels',
        low=4096,
        high=100_000_000,
    )
    max_rate: float = param(
        0.0, 'Most frames processed per second; 0 is as many as the machine manages.', unit='Hz', low=0.0, high=60.0
    )


@dataclass(frozen=True, slots=True)
class OverlayParameters:
    """What draws the overlay reads."""

    rate: float = param(
        2.0, 'Overlay pictures per second while somebody subscribes; 0 draws none.', unit='Hz', low=0.0, high=30.0
    )


@dataclass(frozen=True, slots=True)
class MemoryParameters:
    """What a memory may hold, whichever it is."""

    method: str = param('window', 'What the language model keeps of the past.', choices=memories.names, live=False)
    max_tokens: int = param(
        6272,
        "Visual tokens in the KV cache, a whole frame's at least; the model's trained range may allow fewer.",
        unit='tokens',
        low=16,
        high=1_000_000,
        live=False,
    )
    max_mib: int = param(
        4096,
        "Hard limit of what a stream keeps: KV cache, an answer's copy of it, and the vision features that are reused.",
        unit='MiB',
        low=1,
        high=1_000_000,
        live=False,
    )
    prefill_batch: int = param(
        -1,
        'Kept tokens wait until so many do, or until a question, and are then prefilled in one pass, which reads the '
        'weights once. 0 prefills every frame at once; -1 is as many as a pass takes along for little more time: 256 '
        'on a GPU, fewer on a CPU the larger the model.',
        unit='tokens',
        low=-1,
        high=1024,
        live=False,
        name='expert.prefill_batch',
    )


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """What loads the model reads."""

    name: str = param(
        '',
        'Hub id or local folder of a LLaVA-OneVision, Qwen-VL, SmolVLM2 or InternVL model; empty is the embedded one, '
        'which knows only its synthetic world of coloured shapes.',
        live=False,
    )
    device: str = param('auto', 'Where the model runs: auto, cpu, cuda, cuda:1, ...', live=False)
    dtype: str = param(
        'auto',
        'Number format of the model; auto is float32 on a CPU, bfloat16 on a GPU.',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
        live=False,
    )
    quantise: str = param(
        'none',
        'Weights in fewer bits, for less memory; slower on a CPU. int8: of vision tower and language model, int4: of '
        'the language model (torchao); nf4: the same by bitsandbytes, on a GPU.',
        choices=('none', 'int8', 'int4', 'nf4'),
        live=False,
    )
    self_test: bool = param(
        True,
        "Compare a frame and a question with transformers' own forward when the model is loaded, and refuse a model "
        'that computes something else.',
        live=False,
    )
    compile: bool = param(
        False,
        'Compile the vision layers with torch.compile; needs a C++ compiler, on a GPU Triton.',
        live=False,
        name='expert.compile',
    )
    turn_limit: float = param(
        60.0,
        'Longest time for one piece of work, a frame or a token of an answer: one that takes longer hangs. The '
        'questions are replied to and the model is loaded anew. Raise it for a model that is slow on this machine.',
        unit='s',
        low=2.0,
        high=202.0,
        name='expert.turn_limit',
    )


GROUPS = {  # in the order in which rqt shows them: what one turns every day first
    '': StreamParameters,
    'cacher': CacherParameters,
    'pruner': PrunerParameters,
    'narration': NarrationParameters,
    'query': QueryParameters,
    'watch': WatchParameters,
    'input': InputParameters,
    'overlay': OverlayParameters,
    'memory': MemoryParameters,
    'model': ModelParameters,
}


@functools.cache
def parameters() -> dict[str, ParameterSpec]:
    """All parameters by full name, the everyday ones first, an expert's last."""
    found: dict[str, ParameterSpec] = {}
    for group, cls in GROUPS.items():
        found |= specs(cls, group)
        for part in METHODS.get(group, ()):
            found |= part.parameters
    groups = ['', *(g for g in GROUPS if g), 'expert']
    return dict(sorted(found.items(), key=lambda item: groups.index(item[0].rpartition('.')[0].split('.')[0])))


def in_use(settings: Mapping[str, Any]) -> dict[str, ParameterSpec]:
    """Those of `parameters` that have a say: without the parameters of methods that were not chosen."""
    return {name: spec for name, spec in parameters().items() if _has_a_say(name, settings)}


def _has_a_say(name: str, settings: Mapping[str, Any]) -> bool:
    """`pruner.stc.history_frames`, say, only while pruner.method is stc."""
    kind, *method, _ = name.split('.') if '.' in name else ('', name)
    return kind not in METHODS or not method or settings[f'{kind}.method'] == method[0]


if __name__ == '__main__':
    from stc_ros.settings_export import main

    main()
