"""How long a question waits for the first word of its answer, behind a full window.

Each mode is a stream of its own that sees the same pictures behind a window full from the beginning, and is asked after
every frame: what waits for its prefill then runs with the question. `full latest frame`: the question reads the newest
frame anew, unpruned, which is what the default did up to version 0.1, whatever the model's size. There is no ideal (0).
"""

from __future__ import annotations

import sys

from end_to_end import about
from measure import Row, Times, in_turn, input_name, load, machine, options, pictures, read, report
from prefill import open_streams

QUESTION = 'what is moving ?'


def main(arguments: list[str] | None = None) -> int:
    parser = options(__doc__, ('0.5b', 'embedded', '7b', 'toy'), frames=40, quick=10)
    chosen = read(parser, arguments)
    if chosen.frames < 2:
        parser.error('--frames must be at least 2: the first warms up')
    from tqdm import tqdm

    from stc_ros import timing
    from stc_ros.settings import Settings

    model = load(chosen)
    modes = {
        'plain': Settings({'cacher.method': 'none', 'pruner.method': 'none'}),
        'default': Settings(),
        'full latest frame': Settings({'query.full_latest_frame': 'always'}),
    }
    streams = open_streams(model, modes)
    times = Times(model.device)
    for number, frame in enumerate(tqdm(pictures(chosen), total=chosen.frames, desc='frames', disable=None)):
        for name in in_turn(modes, number):
            stream = streams[name]
            stream.see(frame, number)
            start = timing.now()
            list(stream.ask(QUESTION, 1))
            ms = (timing.now() - start) * 1e3
            whole = stream.latest_tokens(model.visual_tokens) is not None
            if number:
                times.add(name, whole, ms)
    rows = [
        Row(
            f'{chosen.model} {chosen.dtype}',
            input_name(chosen),
            name,
            f'{about(settings)}, window {streams[name].memory.tokens}'.lstrip(', '),
            ideal_ratio=0.0,
            machine=machine(chosen, model.device),
            **times.figures(name),
        )
        for name, settings in modes.items()
    ]
    return report(rows, chosen)


if __name__ == '__main__':
    sys.exit(main())
