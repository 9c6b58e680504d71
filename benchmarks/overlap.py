"""What a frame costs when frames come without pause: in turn, and with each prefill beside the next frame's vision.

Streams behind full windows take turns in rounds of --round frames; a round's wall time over its frames is one
measurement. Takes two cores, one thread each (--threads 1, the default here), or a GPU.
"""

from __future__ import annotations

import sys
import time

from end_to_end import about, works_of
from measure import Row, Times, in_turn, input_name, load, machine, options, pictures, read, report
from prefill import open_streams


def main(arguments: list[str] | None = None) -> int:
    parser = options(__doc__, ('embedded', '0.5b', '7b', 'toy'), frames=400, quick=120)
    parser.set_defaults(threads=1)
    parser.add_argument('--round', type=int, default=20, metavar='N', help='frames of one measurement (20)')
    chosen = read(parser, arguments)
    if chosen.cpu_time:
        parser.error('two threads at work: CPU time would count both, leave --cpu-time out')
    if chosen.frames < 2 * chosen.round:
        parser.error('--frames must hold two rounds')
    from tqdm import tqdm

    from stc_ros.settings import Settings

    model = load(chosen)
    modes = {'plain': Settings({'cacher': 'none', 'pruner': 'none'}), 'incremental': Settings()}
    modes |= {f'{name} overlapped': (settings | {'expert.overlap': True}) for name, settings in modes.items()}
    streams = open_streams(model, modes)
    window = streams['plain'].memory.tokens
    times, traces = Times(model.device), {name: [] for name in modes}
    frames, rounds = pictures(chosen), chosen.frames // chosen.round
    for number in tqdm(range(rounds), desc='rounds', disable=None):
        shown = [frame for _, frame in zip(range(chosen.round), frames, strict=False)]
        for name in in_turn(modes, number):
            start = time.perf_counter()
            seen = [streams[name].see(frame, number * chosen.round + i) for i, frame in enumerate(shown)]
            streams[name].settle()
            if number:
                times.add(
                    name,
                    sum(r.patches_recomputed / r.patches for r in seen) / len(seen),
                    (time.perf_counter() - start) * 1e3 / len(seen),
                )
                traces[name] += [
                    {name: {'share': r.patches_recomputed / r.patches, 'kept': r.visual_tokens_kept}} for r in seen
                ]
    works = {name: works_of(model, modes[name]['cacher.method'], traces[name], name, window) for name in modes}
    rows = []
    for name, settings in modes.items():
        longest = max(works[name]['vision'], works[name]['prefill'])
        ideal = (longest if settings['expert.overlap'] else works[name]['frame']) / works['plain']['frame']
        rows.append(
            Row(
                f'{chosen.model} {chosen.dtype}',
                input_name(chosen),
                name,
                about(settings),
                machine=machine(chosen, model.device),
                ideal_ratio=round(ideal, 4),
                **times.figures(name),
            )
        )
        rows[-1].frames = len(traces[name])
    return report(rows, chosen)


if __name__ == '__main__':
    sys.exit(main())
