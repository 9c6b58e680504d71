"""How well and at what cost watches tell when something happens, on worlds that know the truth about every frame.

    ./dev bench watches [--quick] [--json FILE]

Both are measured at the same settings, the defaults, on the engine's own watches. Seeds were never used in training;
the defaults were chosen with --tune, on other seeds. Beside them stand `blank`, a stream that is shown grey frames, and
`ask every frame`, the plain way: each condition asked at each frame that shows something new, and yes where that is
likelier than no; both must fail.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from tables import table
from tqdm import tqdm

from stc_ros.engine.events import EventSink, Frame
from stc_ros.engine.scheduler import Engine
from stc_ros.evaluation.episodes import FRAME_NS, draw_streams
from stc_ros.evaluation.watch_measures import Tally, count
from stc_ros.io.picture import Picture
from stc_ros.models import load_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic import record
from stc_ros.synthetic.forms import FORMS
from stc_ros.synthetic.view import View
from stc_ros.watches.lookup import Watches
from stc_ros.watches.rule import Change, Watch

YES_NO = ('is_there', 'is_there_shape', 'is_moving', 'did_leave', 'was_there')
ANSWERED = {'count_moving': 'zero', 'count_shape': 'two', 'colour_of_shape': 'red'}  # a condition: this answer
KINDS = (*YES_NO, *ANSWERED)
MOST = 4  # conditions of one kind in one stream
ASKED = {  # the plain way
    'watch.threshold': 0.5,
    'watch.rearm': 0.5,
    'watch.looks': 1,
    'watch.max_rate': 0.0,
    'watch.whole_frame': True,
    'watch.correct_bias': False,
}
TEN = (
    'is there a red circle ?',
    'is there a blue star ?',
    'is there a triangle ?',
    'is any object moving ?',
    'is the green square moving ?',
    'did a yellow cross leave ?',
    'was there a cyan ring before ?',
    'how many objects are moving ? = zero',
    'how many squares are there ? = two',
    'what is the color of the star ? = red',
)
WARM_UP, BLOCK = 8, 12  # frames; of which a share is taken: a whole number of looks


def conditions_of(clip) -> dict[str, dict[str, list]]:
    """By kind the conditions that can be asked of a clip, each with its truth per frame."""
    found: dict[str, dict[str, list]] = {kind: {} for kind in KINDS}
    for t in range(len(clip)):
        view = View(clip, t)
        for kind in KINDS:
            form = FORMS[kind]
            for slots, answer, _, _ in form.cases(view):
                right = ANSWERED.get(kind)
                text = form.wording.format(**slots) + (f' = {right}' if right else '')
                truth = found[kind].setdefault(text, [None] * len(clip))
                truth[t] = answer == (right or 'yes')
    for kind, texts in found.items():  # those that become true first, then those that never do
        order = sorted(texts, key=lambda text: (not any(texts[text]), -sum(v is not None for v in texts[text]), text))
        found[kind] = {text: texts[text] for text in order[:MOST]}
    return found


class Rig:
    """Watches on an engine of their own; `rises` holds the frames at which each has risen."""

    def __init__(self, model, settings: Settings, texts):
        self.rises: list[list[int]] = [[] for _ in texts]
        self.engine = Engine(lambda _: model, open_stream, decode, Failures())
        self.engine.load(settings)
        self.engine.open('camera', settings)
        asked = [Watch(str(i), text, '', threshold=0, rearm=0, looks=0) for i, text in enumerate(texts)]
        Watches(self.engine, self.note).add(asked)

    def see(self, image: np.ndarray, number: int) -> None:
        self.engine.put('camera', (image, (number + 1) * FRAME_NS))
        while self.engine.step():
            pass

    def note(self, session, event) -> None:
        if event.change is Change.RISING:
            self.rises[int(event.watch.name)].append(event.frame.frame.stamp // FRAME_NS - 1)


class Failures(EventSink):
    """None is expected."""

    def failed(self, session, where, error):
        raise error


def decode(message) -> Frame:
    image, stamp = message
    return Frame(None, stamp, Picture(image, (0, 1, 2), lambda: image))


def watch_stream(model, profile: str, seed: int, frames: int, runs: dict) -> dict[str, list]:
    """By run a list of (kind, truth, frames at which the watch rose)."""
    clip = record(profile, seed, frames)
    asked = [(kind, text, truth) for kind, of in conditions_of(clip).items() for text, truth in of.items()]
    found = {}
    for name, settings in runs.items():
        rig = Rig(model, settings, [text for _, text, _ in asked])
        for t, frame in enumerate(clip.frames):
            rig.see(np.full_like(frame, 128) if name.endswith('blank') else frame, t)
        found[name] = [(kind, truth, rises) for (kind, _, truth), rises in zip(asked, rig.rises)]
    return found


def score(cases: list) -> dict[str, Tally]:
    """By kind and for all."""
    tallies = {kind: Tally() for kind in (*KINDS, 'all')}
    for kind, truth, rises in cases:
        for name in (kind, 'all'):
            count(tallies[name], truth, rises, FRAME_NS / 1e9)
    return tallies


def row(name: str, tally: Tally) -> dict:
    delays = tally.delays or [float('nan')]
    return {
        'of': name,
        'onsets': tally.onsets,
        'f1': round(tally.f1, 3),
        'delay_median_s': round(float(np.median(delays)), 3),
        'delay_p95_s': round(float(np.percentile(delays, 95)), 3),
        'early': round(tally.early / max(tally.fires, 1), 4),
        'duplicates': round(tally.duplicates / max(tally.fires, 1), 4),
        'false_alarms_per_hour': round(tally.false_alarms / max(tally.hours, 1e-9), 2),
        'hours': round(tally.hours, 2),
    }


def cost(model, settings: Settings, frames: int = 160) -> list[dict]:
    """CPU time of a frame with 1 and 10 watches beyond one without, in turns on the same frames.

    As a share of the frame, the median over blocks of frames, because other programs slow down single frames.
    """
    clip = record('busy', draw_streams('busy', 1, 99)[0][1], frames)
    rigs = {
        (n, how): Rig(model, of, TEN[:n])
        for n, how, of in (
            (0, '', settings),
            (1, 'default', settings),
            (10, 'default', settings),
            (1, 'ask every frame', settings | ASKED),
            (10, 'ask every frame', settings | ASKED),
        )
    }
    times: dict[tuple, list[float]] = {each: [] for each in rigs}
    for t, frame in enumerate(clip.frames):
        for each, rig in rigs.items():
            began = time.process_time()
            rig.see(frame, t)
            times[each].append((time.process_time() - began) * 1e3)
    sums = {each: np.add.reduceat(of[WARM_UP:], range(0, frames - WARM_UP, BLOCK)) for each, of in times.items()}
    return [
        {
            'watches': n,
            'how': how,
            'ms_mean': round(float(np.mean(of[WARM_UP:])), 2),
            'ms_p99': round(float(np.percentile(of[WARM_UP:], 99)), 2),
            'more_than_a_frame': round(float(np.median(sums[n, how] / sums[0, ''])) - 1, 3),
        }
        for (n, how), of in times.items()
    ]


def show(rows: list[dict]) -> None:
    print(table(list(rows[0]), [[str(value) for value in row.values()] for row in rows]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='a stream of each profile')
    parser.add_argument('--streams', type=int, default=8, help='of each profile (8)')
    parser.add_argument('--frames', type=int, default=160, help='of a stream (160)')
    parser.add_argument('--tune', action='store_true', help='the seeds for tuning, without controls')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE', help='a parameter: watch.looks=3')
    parser.add_argument('--only', choices=('quality', 'cost'), help='measure one of the two; the other stays in --json')
    parser.add_argument('--kept', type=Path, metavar='FILE', help='keeps what was found: the same command goes on')
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    given = {name: json.loads(value) for name, _, value in (each.partition('=') for each in options.set)}
    model, settings = load_model(Settings()), Settings({'watch.max_watches': MOST * len(KINDS)} | given)
    runs = {'watches': settings}
    if not options.tune:
        runs |= {'control: blank': settings, 'ask every frame': settings | ASKED}
    result = json.loads(options.json.read_text()) if options.only and options.json and options.json.exists() else {}
    if options.only != 'cost':
        kept = json.loads(options.kept.read_text()) if options.kept and options.kept.exists() else {}
        drawn = draw_streams('all', 1 if options.quick else options.streams, 0, tune=options.tune)
        for profile, seed in tqdm(drawn, desc='streams', disable=None):
            if (name := f'{profile}/{seed}') not in kept:
                kept[name] = watch_stream(model, profile, seed, options.frames, runs)
                if options.kept:
                    options.kept.write_text(json.dumps(kept))
        cases = {run: [case for profile, seed in drawn for case in kept[f'{profile}/{seed}'][run]] for run in runs}
        rows = [row(kind, tally) for kind, tally in score(cases['watches']).items()]
        rows += [row(run, score(of)['all']) for run, of in cases.items() if run != 'watches']
        show(rows)
        result['rows'] = rows
    if options.only != 'quality':
        result['cost'] = cost(model, settings)
        show(result['cost'])
    if options.json:
        result['machine'] = platform.processor() or platform.machine()
        options.json.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
