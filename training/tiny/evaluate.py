"""Measures a checkpoint, pixels to answer: python -m training.tiny.evaluate FOLDER --questions 500.

Accuracy per type with 95 % intervals, each beside two controls: blank frames, and the newest frame alone.
"""

import argparse
import json
import math
import random
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import LlavaOnevisionForConditionalGeneration

from stc_ros.synthetic import PROFILES
from stc_ros.synthetic.forms import TYPES
from stc_ros.synthetic.narration import PROMPT, Score, score, tell
from stc_ros.synthetic.questions import ask_about
from stc_ros.synthetic.seeds import TEST, TUNE
from training.tiny import FOLDER, forward
from training.tiny.architecture import TOKENS
from training.tiny.clips import SINCE, record_clip
from training.tiny.tokenizer import Coder

FRAMES = 32
MOMENTS = (11, 21, 31)
PER_TYPE = 4  # questions of each type at each moment
LONGEST_NARRATION = 120  # tokens
SEEDS = {'tune': TUNE.start + 500_000, 'test': TEST.start + 500_000}


def interval(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not n:
        return 0.0, 1.0
    p, z = right / n, 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return middle - half, middle + half


class Reader:
    """The model's prefix of a clip, and answers behind it."""

    def __init__(self, model, dtype: torch.dtype):
        self.coder, self.dtype = Coder(), dtype
        self.w = {k: v.detach() for k, v in forward.gather_weights(model, dtype).items()}
        self.head = torch.tensor(self.coder.head)

    @torch.no_grad()
    def features(self, frames) -> torch.Tensor:
        """uint8 [T, S, S, 3] to visual tokens [T, TOKENS, D]."""
        return forward.project(
            self.w, forward.see_patches(self.w, forward.normalise(torch.from_numpy(frames), self.dtype))
        )

    @torch.no_grad()
    def read(self, features: torch.Tensor, first: int):
        """Reads frames first.. of a stream; returns the keys and values of every layer."""
        frames = features.shape[0]
        x = torch.cat([forward.embed(self.w, self.head), features.flatten(0, 1)])[None]
        places = len(self.head) + first * TOKENS + torch.arange(frames * TOKENS)
        return forward.read_prefix(self.w, x, torch.cat([torch.arange(len(self.head)), places])[None])[0]

    @torch.no_grad()
    def predict(self, caches, t: int, seen: int, rows: list[list[int]]) -> list[list[int]]:
        """After frame t, with `seen` frames of the prefix visible: for each row of ids, the token that follows each."""
        visible_to = len(self.head) + seen * TOKENS
        caches = [(k[:, :, :visible_to], v[:, :, :visible_to]) for k, v in caches]
        size = max(map(len, rows))
        ids = torch.tensor([row + [self.coder.pad] * (size - len(row)) for row in rows])[None]
        x = torch.cat([self.w[forward.NEWLINE].expand(1, len(rows), 1, -1), forward.embed(self.w, ids)], 2)
        places = (len(self.head) + (t + 1) * TOKENS + torch.arange(size + 1)).expand(1, len(rows), -1)
        visible = torch.ones(1, len(rows), visible_to, dtype=torch.bool)
        states, _ = forward.read_pieces(self.w, caches, x, places, visible)
        return forward.name_words(self.w, states)[0, :, 1:].argmax(-1).tolist()

    def check(self, caches, t: int, seen: int, questions) -> list[bool]:
        """Whether the greedy answer to each question is exactly right: every token of the right answer comes first."""
        asked = [(self.coder.question(q.text), self.coder.answer(q.answer)) for q in questions]
        said = self.predict(caches, t, seen, [ask + answer for ask, answer in asked])
        return [row[len(a) - 1 : len(a) + len(b) - 1] == b for row, (a, b) in zip(said, asked, strict=True)]

    def tell(self, caches, t: int, seen: int, text: str) -> str:
        """The greedy answer to one question, of at most LONGEST_NARRATION words."""
        words = {i: w for w, i in self.coder.ids.items()}
        ids, said = self.coder.question(text), []
        while len(said) < LONGEST_NARRATION:
            token = self.predict(caches, t, seen, [ids + said])[0][-1]
            if token == self.coder.end:
                break
            said.append(token)
        return ' '.join(words[i] for i in said)


def measure(folder: Path, questions: int, seeds: str, dtype: torch.dtype, first: int = 0, controls: bool = True):
    """Yields a report after each stream, of all so far.

    Streams of FRAMES frames of all profiles until every type has `questions` questions; narration at their end.
    """
    reader = Reader(LlavaOnevisionForConditionalGeneration.from_pretrained(folder), dtype)
    views = ('plain', 'blank', 'newest') if controls else ('plain',)
    right = {name: dict.fromkeys(views, 0) for name in TYPES}
    count, forms = dict.fromkeys(TYPES, 0), {}
    narrated, narrations = Score(), 0
    bar = tqdm(total=questions * len(TYPES), desc='questions')
    number = first
    while min(count.values()) < questions:
        seed = SEEDS[seeds] + number
        clip = record_clip(PROFILES[number % len(PROFILES)], seed, FRAMES)
        number += 1
        features = reader.features(clip.frames)
        grey = reader.features(clip.frames[:1] * 0 + 127)
        caches = reader.read(features, 0)
        blank = reader.read(grey.expand(FRAMES, -1, -1), 0)
        draw = random.Random(seed)
        for t in MOMENTS:
            short = [name for name in TYPES if count[name] < questions]
            asked = ask_about(clip, t, draw, PER_TYPE * len(short), types=short) if short else []
            if not asked:
                continue
            good = {'plain': reader.check(caches, t, t + 1, asked)}
            if controls:
                good['blank'] = reader.check(blank, t, t + 1, asked)
                good['newest'] = reader.check(reader.read(features[t : t + 1], t), t, 1, asked)
            for i, q in enumerate(asked):
                count[q.type] += 1
                bar.update(count[q.type] <= questions)
                for view in views:
                    right[q.type][view] += good[view][i]
                n, so_far = forms.get(q.form, (0, 0))
                forms[q.form] = (n + 1, so_far + good['plain'][i])
        since = SINCE[number % len(SINCE)]
        for t in MOMENTS[1:]:
            said = reader.tell(caches, t, t + 1, PROMPT.format(frames=since))
            narrated = narrated + score(said, tell(clip, t, t - since))
            narrations += 1
        types = {}
        for name in TYPES:
            n, plain = count[name], right[name]['plain']
            types[name] = {'n': n, 'interval': interval(plain, n)} | {v: right[name][v] / max(n, 1) for v in views}
        narration = {'n': narrations, 'object_f1': narrated.object_f1, 'clause_f1': narrated.clause_f1}
        by_form = {name: [n, good / n] for name, (n, good) in sorted(forms.items())}
        yield {'types': types, 'narration': narration, 'forms': by_form, 'streams': number - first}
    bar.close()


def print_table(report: dict) -> None:
    for name, row in report['types'].items():
        low, high = row['interval']
        controls = '  '.join(f'{v} {row[v]:.3f}' for v in ('blank', 'newest') if v in row)
        print(f'{name:12} n {row["n"]:5}  {row["plain"]:.3f} ({low:.3f}-{high:.3f})  {controls}')
    found = report['narration']
    print(f'narration    n {found["n"]:5}  object F1 {found["object_f1"]:.3f}  clause F1 {found["clause_f1"]:.3f}')


def main() -> None:
    parser = argparse.ArgumentParser(prog='python -m training.tiny.evaluate', description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, nargs='?', default=FOLDER, help="the model's folder")
    parser.add_argument('--questions', type=int, default=500, help='fewest questions of each type')
    parser.add_argument('--seeds', choices=tuple(SEEDS), default='test', help='which seed range to draw streams from')
    parser.add_argument('--first', type=int, default=0, help='number of the first stream, to share the work')
    parser.add_argument('--dtype', choices=('bfloat16', 'float32'), default='bfloat16', help='to compute in')
    parser.add_argument('--json', type=Path, help='write the report there too')
    args = parser.parse_args()
    for report in measure(args.folder, args.questions, args.seeds, getattr(torch, args.dtype), args.first):
        if args.json:
            args.json.write_text(json.dumps(report, indent=1) + '\n')
    print_table(report)


if __name__ == '__main__':
    main()
