"""The bars of gpu.py, held against its rows. Imports no torch."""

from __future__ import annotations

FRAME_MS, FRAME_LATER, TOKEN_MS, TOKEN_LATER = 7.5, 5.0, 32.0, 20.0
STEADY, MEMORY, GAIN, CLOCKS = 1.15, 0.1, 0.95, (0.7, 1.05)
FOUR = 4  # cameras
PARTS = ('memory', 'frames', 'first tokens', 'memory, four cameras', 'four cameras')


def find(rows: list[dict], what: str, name: str, cameras: int) -> dict:
    """The row of the default settings; {} where there is none."""
    wanted = what, name, 'default', cameras
    return next((r for r in rows if (r['what'], r['name'], r['mode'], r['cameras']) == wanted), {})


def bars(rows: list[dict], models: list[str], gpu: bool) -> list[tuple[str, str, bool | None]]:
    """What is asked for, what was measured, and whether that is held (None: not measured).

    A frame's is its mean, as what several frames wait for falls on one of them. gpu: peak memory, too.
    """
    found: list[tuple[str, str, bool | None]] = []

    def most(what: str, value: float | None, bar: float, unit: str, later: float | None = None, more: str = '') -> None:
        text = f'{"-" if value is None else f"{value:.2f}"}{unit}, bar {bar:g}'
        if later is not None:
            text += f', later {later:g}' + ('' if value is None or value > later else ' (held, too)')
        found.append((what, text + more, None if value is None else value <= bar))

    for name in models:
        one, four = (find(rows, 'frames', name, cameras) for cameras in (1, FOUR))
        most(f'{name}, vision + pruner + prefill of a frame', one.get('mean_ms'), FRAME_MS, ' ms', FRAME_LATER)
        most(f'{name}, time to first token', one.get('first_token_ms'), TOKEN_MS, ' ms', TOKEN_LATER)
        kinds = [(kind, one.get(f'p99_to_p50_{kind}_pass')) for kind in ('without', 'with')]
        told = ''.join(f'; {kind} a pass {value:g}' for kind, value in kinds if value is not None)
        most(f'{name}, p99 / p50 outside dense frames', one.get('p99_to_p50'), STEADY, '', more=told)
        gains = [1 / row['ratio_to_plain'] if row else None for row in (one, four)]
        held = None if None in gains else gains[1] > 1 and gains[1] >= GAIN * gains[0]
        text = ' and '.join('-' if gain is None else f'{gain:.2f}' for gain in gains)
        found.append((f'{name}, gain with one camera and with four', f'{text}, bar {GAIN:g} of it and above 1', held))
        for cameras in (1, FOUR) if gpu else ():
            row = find(rows, 'memory', name, cameras)
            share = row['peak_mib'] / row['needed_mib'] if row.get('peak_mib') else None
            text = '-' if share is None else f'{row["peak_mib"]:.0f} of {row["needed_mib"]:.0f} MiB, {share:.3f}'
            held = None if share is None else abs(share - 1) <= MEMORY
            found.append((f'{name}, peak memory, cameras: {cameras}', f'{text}, bar 1 ± {MEMORY:g}', held))
        clocks = [row['clocks'] for row in rows if row['what'] == 'frames' and row['name'] == name]
        held = all(CLOCKS[0] <= clock <= CLOCKS[1] for clock in clocks) if clocks else None
        text = f'{min(clocks):.2f} to {max(clocks):.2f}' if clocks else '-'
        found.append(
            (f'{name}, stages by events, of the wall clock', f'{text}, bar {CLOCKS[0]:g} to {CLOCKS[1]:g}', held)
        )
    return found
