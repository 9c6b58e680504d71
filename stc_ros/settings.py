"""Every tunable of stc_ros, once: name, type, default, range, unit, text, and whether it may change while it runs.

The ROS parameters, the command lines, `config/stream.yaml` and the README's table are made from this file
(`python -m stc_ros.settings --help`). Nothing here imports torch or rclpy.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

CACHERS = ('off', 'paper', 'similarity', 'compact')
PRUNERS = (
    'off',
    'paper',
    'released',
    'stc',
    'uniform',
    'random',
    'pool',
    'tome',
    'visionzip',
    'vidcom2',
    'divprune',
    'fastervlm',
    'dtd',
)
DTYPES = ('auto', 'float32', 'bfloat16', 'float16')
TRANSPORTS = ('raw', 'compressed')


class SettingError(ValueError):
    """A setting's value is refused. The message names the setting, the value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Knob:
    """What a setting is, beside its value: `low`/`high` are both inclusive and finite (rqt needs them so)."""

    name: str
    type: type
    default: Any
    text: str
    unit: str = ''
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = True

    def check(self, value: Any) -> Any:
        """Return `value` as this knob's type. Raises `SettingError`."""
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.type:
            raise SettingError(f'{self.name} must be a {self.type.__name__}, not {value!r}')
        if self.type is float and not math.isfinite(value):
            raise SettingError(f'{self.name} must be finite, not {value}')
        if self.low is not None and not self.low <= value <= self.high:
            raise SettingError(f'{self.name} must lie in [{self.low}, {self.high}], not {value}')
        if self.choices and value not in self.choices:
            raise SettingError(f'{self.name} must be one of {", ".join(self.choices)}, not {value!r}')
        return value


def knob(default: Any, text: str, *, unit: str = '', low=None, high=None, choices=(), live: bool = True):
    """A dataclass field that carries its `Knob` (completed with name and type by `KNOBS`)."""
    about = {'text': text, 'unit': unit, 'low': low, 'high': high, 'choices': choices, 'live': live}
    return field(default=default, metadata=about)


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked set of values. Raises `SettingError` when one is out of range.

    Change it with `dataclasses.replace(settings, prune_ratio=0.5)`, which checks again.
    """

    # the model
    model: str = knob(
        '',
        'Model: a hub id or a local folder of the LLaVA-OneVision family; empty is the '
        'embedded model, which knows only its synthetic world.',
        live=False,
    )
    device: str = knob('auto', 'Where the model runs: auto, cpu, cuda, cuda:1, ...', live=False)
    dtype: str = knob(
        'auto', 'Number format of the model; auto is float32 on a CPU, bfloat16 on a GPU.', choices=DTYPES, live=False
    )
    compile: bool = knob(
        False,
        "Compile the vision tower's layers with torch.compile; needs a C++ compiler, on a GPU "
        'Triton. On a CPU it gained nothing; on a GPU it has not been measured.',
        live=False,
    )
    # STC-Cacher
    cacher: str = knob('compact', 'How vision features are reused from frame to frame.', choices=CACHERS)
    cache_similarity: float = knob(
        0.995,
        'The least similarity (cosine, mean over a frame) that reused vision features keep to what they would '
        'be. It is measured in every frame and held by recomputing more or less (cacher: compact); 1 reuses '
        'nothing of a picture that has changed. With the cacher similarity: a token is reused in a layer where '
        'its key is at least this similar to its cached one.',
        low=0.0,
        high=1.0,
    )
    update_ratio: float = knob(
        0.25, 'Share of the vision tokens recomputed in each layer (cacher: paper).', low=0.0, high=1.0
    )
    cache_interval: int = knob(
        4,
        'Every how many frames all vision tokens are recomputed; 1 is always (cacher: paper, similarity).',
        unit='frames',
        low=1,
        high=64,
    )
    heartbeat: int = knob(
        2,
        'Of frames in a row that show nothing new, every how many-th is looked at all the same; 1 '
        'is every one (cacher: compact).',
        unit='frames',
        low=1,
        high=1024,
    )
    # STC-Pruner
    pruner: str = knob('stc', 'How visual tokens are chosen for the language model.', choices=PRUNERS)
    prune_ratio: float = knob(
        0.67,
        "Share of a frame's visual tokens that never reaches the language model. With the pruner stc that is "
        'what is usual: of a quiet stream more is left out, of a standstill all, of a restless one less.',
        low=0.0,
        high=0.95,
    )
    novelty_balance: float = knob(
        0.5, 'Weight of novelty in time against novelty in space (pruner: paper, stc).', low=0.0, high=1.0
    )
    novelty_history: int = knob(
        16, 'How many past frames the pruner compares with (pruner: paper, vidcom2).', unit='frames', low=1, high=256
    )
    compact_positions: bool = knob(
        False, 'Renumber kept tokens without gaps instead of keeping their original positions.'
    )
    newest_whole: str = knob(
        'auto',
        'Whether a question reads all visual tokens of the newest frame instead of those kept: what is to be '
        'seen now then does not suffer from pruning, and the first word comes later. auto: where that costs '
        'little, on a GPU or with a small model.',
        choices=('auto', 'always', 'never'),
    )
    # memory
    prefill_batch: int = knob(
        -1,
        'Kept visual tokens wait until so many do, or until a question, and are then prefilled in one pass, which '
        'reads the weights once. 0 prefills every frame at once; -1 is as many as a pass takes along for little '
        'more time: 256 on a GPU, on a CPU fewer the larger the model.',
        unit='tokens',
        low=-1,
        high=1024,
        live=False,
    )
    prefill_wait: float = knob(0.5, 'Longest time that kept tokens wait for others.', unit='s', low=0.0, high=3600.0)
    overlap: bool = knob(
        False,
        "Prefill a frame while the next one's vision is under way: more frames in a second "
        'where cores or a GPU stand idle. Its prefill time is reported with the next frame.',
    )
    memory_tokens: int = knob(
        6272,
        "Visual tokens that the language model keeps, a whole frame's at least; the model's own range may allow fewer.",
        unit='tokens',
        low=16,
        high=1_000_000,
        live=False,
    )
    memory_mib: int = knob(
        4096,
        "Hard limit of what a stream keeps: the language model's keys and values, an answer's copy of them, and "
        'the vision features that the cacher reuses.',
        unit='MiB',
        low=1,
        high=1_000_000,
        live=False,
    )
    # the scene
    scene_change: float = knob(
        0.6,
        'A frame whose picture differs from the last by more than this share of its '
        'contrast is a new scene: caches refresh, narration is due.',
        low=0.05,
        high=1.0,
    )
    # words
    max_new_tokens: int = knob(
        128, 'Longest answer, unless the question says otherwise.', unit='tokens', low=1, high=2048
    )
    narration_period: float = knob(
        2.0, 'Time between narrations; 0 narrates only on a scene change.', unit='s', low=0.0, high=3600.0
    )
    narration_prompt: str = knob(
        '',
        "Question that asks for narration; empty is the model's own. {frames} and "
        '{seconds} become what has passed since the last.',
    )
    narration_certainty: float = knob(
        -1.0,
        'A clause of a narration to which the model gives less probability is not '
        "told; 0 tells all, -1 is the model's own choice (0.4 for the embedded "
        'one, 0 for others: who speaks freely could have put it in other words).',
        low=-1.0,
        high=1.0,
    )
    # the node
    image_transport: str = knob(
        'raw', 'Subscribe to Image (raw) or CompressedImage (compressed).', choices=TRANSPORTS, live=False
    )
    max_rate: float = knob(
        0.0, 'Most frames looked at in a second; 0 is as many as the machine manages.', unit='Hz', low=0.0, high=240.0
    )
    ask_timeout: float = knob(
        30.0, 'Time in which a question is answered when it names none.', unit='s', low=0.1, high=3600.0
    )
    ask_queue: int = knob(
        32, 'Questions that may wait; one more is refused as BUSY.', unit='questions', low=1, high=256
    )
    overlay_rate: float = knob(
        2.0, 'Overlay pictures drawn in a second while somebody looks; 0 draws none.', unit='Hz', low=0.0, high=60.0
    )

    def __post_init__(self):
        for each in KNOBS.values():
            object.__setattr__(self, each.name, each.check(getattr(self, each.name)))

    def fixed_changes(self, other: Settings) -> list[str]:
        """Names of the settings that differ from `other` and cannot change while it runs."""
        return [k.name for k in KNOBS.values() if not k.live and getattr(self, k.name) != getattr(other, k.name)]


_TYPES = {'str': str, 'float': float, 'int': int, 'bool': bool}
KNOBS: dict[str, Knob] = {
    f.name: Knob(name=f.name, type=_TYPES[f.type], default=f.default, **f.metadata)
    for f in dataclasses.fields(Settings)
}


def add_arguments(parser, names=None) -> None:
    """Add `--cache-similarity`-like options for `names` (all, by default) to an `argparse` parser."""
    for each in (KNOBS[n] for n in names or KNOBS):
        kind = {'type': _boolean, 'metavar': '{true,false}'} if each.type is bool else {'type': each.type}
        if each.choices:
            kind['choices'] = each.choices
        parser.add_argument(
            '--' + each.name.replace('_', '-'), default=each.default, help=describe(each).replace('%', '%%'), **kind
        )


def from_arguments(arguments) -> Settings:
    """`Settings` from parsed arguments; names that were not added keep their defaults. Raises `SettingError`."""
    given = vars(arguments)
    return Settings(**{name: given[name] for name in KNOBS if name in given})


def describe(each: Knob) -> str:
    """One line: text, unit, range, default (for `--help` and parameter descriptions)."""
    limits = f' [{each.low:g}, {each.high:g}]' if each.low is not None else ''
    unit = f' {each.unit}' if each.unit else ''
    return f'{each.text} ({each.default!r}{unit}{limits})'


def _boolean(text: str) -> bool:
    if text.lower() not in ('true', 'false'):
        raise ValueError(text)
    return text.lower() == 'true'


if __name__ == '__main__':
    from stc_ros.settings_export import main

    main()
