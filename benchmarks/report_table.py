"""The first page of docs/performance.md: one table at real size, and what stands beside it."""

from __future__ import annotations

import argparse
import contextlib
import io

from tables import table

TABLE = """\
## In one table

What a frame, the wait for an answer's first word and a second of words cost at the size of LLaVA-OneVision 0.5B (so400m
tower, Qwen2 0.5B, float32) on this CPU, and how good it stays. A real, trained tower decided over whole clips and
worlds what is recomputed and kept; each kind of work was timed at real size, and every frame is charged for its own.
*plain* is the best plain build of {builds}.
*stc*: the published cacher and pruner, N=4, a quarter updated, pruned as much; *ours*: the default setting.

*frame*: mean from picture to memory; *of plain*: the whole frame, and the vision alone; *p99* of a frame; *window*: how
many frames the memory spans; *stale*: share of the patches that are reused though their pixels changed by more than
4.5 grey levels (the published cacher does not compare pixels); *error*: 1 - cosine with the plain tower's features, of
all patches and of those that move, by `features.py` on the same input and the bare tower, where less is recomputed
(33 % of cars instead of 42), as nothing is pooled; *first word*: measured once, as all windows hold as many tokens
(`answer.py` has each stream's own); *answers*: what the embedded model's answers keep of the plain model's, over all
profiles of [quality.md](quality.md).
"""
COLUMNS = (
    '',
    'mode',
    'frame s',
    'p99 s',
    'of plain',
    'vision',
    'recomputed',
    'kept',
    'first word s',
    'words/s',
    'memory MiB',
    'window',
    'stale',
    'error',
    'moving',
    'answers',
)
REREAD = """\
### Streaming, or reading the last frames at each question?

Reading the {frames} frames that a plain window of 6272 tokens holds anew at every question costs {once:.0f} s here, all
of it while the question waits. Streaming costs, for each frame that passes, the share *of plain* above. So streaming is
the cheaper way when fewer frames pass between two questions than

{lines}
With more, re-reading costs less in all, and the first word comes {once:.0f} s later. Where a robot asks itself all the
time (narration every two seconds, watches) streaming is cheaper always.
"""
INPUT = """\
## A camera's message to the tower's picture

`exact`: rclpy's message, whole picture to RGB, resize, as in version 0.1. `node`: what the node does; *off by*: grey
levels between both results. CPU time, picture of {side}.
"""
GPU = """\
## What operations and bytes say of GPUs

No GPU was at hand: computed, not measured. With 7 billion weights pruning alone saves next to nothing, as each frame's
pass reads all weights; several frames in a pass do.
"""


def table_text(rows: list[dict]) -> list[str]:
    builds = ', '.join(f'{name} {ms / 1e3:.1f} s' for name, ms in rows[0]['plain_builds'].items())
    lines = []
    for row in rows:
        error = [f'{row[key]:.4f}' if row[key] is not None else '' for key in ('stale', 'error', 'error_moving')]
        lines.append(
            (
                f'{row["what"]} ({row["input"]}, {row["frames"]})' if row['mode'] == 'plain' else '',
                row['mode'],
                f'{row["frame_ms"] / 1e3:.2f}',
                f'{row["p99_ms"] / 1e3:.2f}',
                f'{row["cost"]:.3f}',
                f'{row["vision_cost"]:.3f}',
                f'{row["recomputed"]:.0%}',
                f'{row["kept"]:.0%}',
                f'{row["first_token_ms"] / 1e3:.2f}',
                f'{row["tokens_per_second"]:.1f}',
                row['memory_mib'],
                row['remembers_frames'],
                *error,
                '' if row['retention'] is None else f'{row["retention"]:.3f}',
            )
        )
    plain = rows[0]
    frames = plain['remembers_frames']
    equal = ''.join(f'* {row["what"]}: {frames / row["cost"]:.0f}\n' for row in rows if row['mode'] == 'ours')
    return [
        TABLE.format(builds=builds),
        table(COLUMNS, lines),
        f'    {plain["command"]}\n',
        REREAD.format(frames=frames, once=frames * plain['frame_ms'] / 1e3, lines=equal),
    ]


def input_text(rows: list[dict]) -> list[str]:
    lines = [
        (
            row['size'],
            row['encoding'],
            f'{row["exact_ms"]:.1f}',
            f'{row["node_ms"]:.1f}',
            f'{row["exact_ms"] / row["node_ms"]:.1f}',
            f'{row["off_mean"]:g}',
            f'{row["off_p999"]:g}',
        )
        for row in rows
    ]
    return [
        INPUT.format(side='384 x 384'),
        table(('size', 'encoding', 'exact ms', 'node ms', 'times', 'off by, mean', 'p99.9'), lines),
        f'    {rows[0]["command"]}\n',
    ]


def roofline_text() -> list[str]:
    from prefill import print_roofline

    text = [GPU]
    for model in ('7b', '0.5b'):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            print_roofline(argparse.Namespace(model=model, memory_tokens=6272))
        text.append('\n'.join('    ' + line for line in printed.getvalue().splitlines()) + '\n')
    return [*text, '    python benchmarks/prefill.py --roofline --model 7b\n']
