"""What quantised weights cost and save: accuracy, narration, milliseconds and bytes, beside the plain weights'.

The questions of ./dev quality about the same seeded streams, plain (cacher and pruner none) and with the usual
settings. Times are CPU time on one thread; the models take turns at every frame, which is shown plain; tokens are those
of an answer behind the last. MiB are of the matrices in the layers of vision tower and language model.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout, installed or not

import torch

from stc_ros.evaluation.conditions import Condition, plain
from stc_ros.evaluation.episodes import Plan, draw_streams
from stc_ros.evaluation.measure import measure_all
from stc_ros.evaluation.summary import accuracy
from stc_ros.models import REAL_EYE, load_model
from stc_ros.models.base import ModelError, VideoModel
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from stc_ros.synthetic import PROFILES, World
from stc_ros.synthetic.backdrop import find_clips
from stc_ros.synthetic.narration import Score

TOKENS = 16  # of the answer that is timed


def layer_bytes(model: VideoModel) -> int:
    """Of every matrix in the layers."""
    total = 0
    for block in (*model.decoder.blocks, *model.tower.blocks):
        held = [getattr(block, field.name) for field in fields(block)]
        for part in (m for one in held if isinstance(one, torch.nn.Module) for m in one.modules()):
            if hasattr(part, 'in_features'):
                total += matrix_bytes(part, model.dtype.itemsize)
    return total


def matrix_bytes(linear: torch.nn.Module, itemsize: int) -> int:
    weight = getattr(linear, 'weight', None)
    if hasattr(weight, 'tensor_data_names'):  # torchao's: the numbers, their scales, their zeros
        return sum(getattr(weight, name).nbytes for name in weight.tensor_data_names)
    return linear.in_features * linear.out_features * itemsize


def times(models: dict[str, VideoModel], frames: int) -> dict[str, tuple[float, float]]:
    """Milliseconds of a frame and of a token of an answer, medians."""
    off = plain(Settings({'expert.prefill_batch': 0, 'query.full_latest_frame': 'never'}))
    streams = {name: open_stream(model, off) for name, model in models.items()}
    world, spent = World('busy', seed=7), {name: [] for name in models}
    for number in range(frames):
        frame = world.render(224)
        world.step()
        for name in list(models)[:: 1 if number % 2 else -1]:
            began = time.process_time()
            streams[name].see(frame, number * 200_000_000)
            spent[name].append(time.process_time() - began)
    found = {}
    for name, stream in streams.items():
        tokens = []
        for _ in range(3):
            began, said = time.process_time(), sum(1 for _ in stream.ask('what do you see ?', TOKENS))
            tokens.append((time.process_time() - began) / max(1, said))
        found[name] = 1e3 * statistics.median(spent[name][1:]), 1e3 * statistics.median(tokens)
    return found


def answers(model: VideoModel, chosen: argparse.Namespace, plan: Plan) -> dict[str, float]:
    """Right answers, mean over all questions, and clauses of narration, plain and with the usual settings."""
    usual = Settings()
    conditions = [Condition('plain', plain(usual), narrates=True), Condition('settings', usual, narrates=True)]
    outcome = measure_all(model, draw_streams(chosen.profile, chosen.streams, chosen.seed), plan, conditions)
    found = {'questions': int(outcome.asked.sum())}
    for name in ('plain', 'settings'):
        found[name] = float((accuracy(outcome.right(name), outcome.asked) * outcome.asked.sum(0)).sum())
        found[name] /= found['questions']
        found[f'clauses_{name}'] = sum((t.narration for t in outcome.tallies[name]), Score()).clause_f1
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='', choices=('', REAL_EYE), help='"": the embedded one')
    parser.add_argument('--dtype', choices=('float32', 'bfloat16'), default='float32', help='of what is not quantised')
    parser.add_argument('--quantise', nargs='+', default=['none', 'int8', 'int4'], help='none int8 int4')
    parser.add_argument('--streams', type=int, default=2, help='of each profile (2)')
    parser.add_argument('--profile', choices=('all', *PROFILES), default='all', help='which streams (all)')
    parser.add_argument('--seed', type=int, default=0, help='of the streams (0)')
    parser.add_argument('--frames', type=int, default=12, help='that are timed (12)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there, too')
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    plan = Plan()
    if chosen.model == REAL_EYE:
        from stc_ros.models.real_eye import SIDE

        plan = Plan(size=SIDE, backdrop=find_clips())
    settings = {'model.name': chosen.model, 'model.device': 'cpu', 'model.dtype': chosen.dtype}
    try:
        models = {how: load_model(settings | {'model.quantise': how}) for how in chosen.quantise}
    except (ImportError, ModelError) as error:
        print(f'quantised: {error}', file=sys.stderr)
        return 2
    spent, rows = times(models, chosen.frames), []
    for how, model in models.items():
        row = {'model': chosen.model or 'embedded', 'dtype': chosen.dtype, 'quantise': how}
        row |= {'mib': layer_bytes(model) / 2**20, 'frame_ms': spent[how][0], 'token_ms': spent[how][1]}
        row |= answers(model, chosen, plan) if chosen.streams else {}
        if not rows:
            print(
                f'{row["model"]}, {chosen.dtype}, {chosen.streams} streams a profile ({chosen.profile}), {chosen.seed=}'
            )
            print('| ' + ' | '.join(list(row)[2:]) + ' |\n|' + '---|' * (len(row) - 2))
        values = list(row.values())[2:]
        print('| ' + ' | '.join(f'{v:.3f}' if isinstance(v, float) else str(v) for v in values) + ' |', flush=True)
        rows.append(row)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
