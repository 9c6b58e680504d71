"""Asks a model about a data set: `python -m stc_ros.evaluation.run --dataset synthetic`.

Every episode gets a stream of its own, opened with the given settings. Its frames are shown in order, and each question
is asked at its time, before any later frame. Beside the accuracy stand two controls, which tell what can be guessed:
`blank`, a stream that was shown grey frames, and `newest`, one that was shown the newest frame alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from stc_ros.evaluation.controls import GREY, answer
from stc_ros.evaluation.datasets.base import Dataset, Episode, Question, datasets
from stc_ros.parameter_spec import SettingError
from stc_ros.settings import Settings
from stc_ros.settings_export import add_arguments, add_options, from_arguments

VIEWS = ('shown', 'blank', 'newest')


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options, with `settings` and the data set, `data`, made of them."""
    parser = argparse.ArgumentParser(
        prog='python -m stc_ros.evaluation.run',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    names = datasets.names()
    parser.add_argument('--dataset', choices=names, default='synthetic', help='what is asked (synthetic)')
    parser.add_argument('--list', action='store_true', help='print the data sets as a table in Markdown, and end')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write a line of JSON there for every question')
    parser.add_argument('--no-controls', action='store_true', help='leave out blank and newest: a third of the time')
    for part in datasets:
        group = parser.add_argument_group(f'data set {part.name}', part.text)
        add_options(group, part.parameters.values())
    add_arguments(parser.add_argument_group('settings of the stream'))
    chosen = parser.parse_args(arguments)
    try:
        chosen.settings = from_arguments(chosen)
    except SettingError as error:
        parser.error(str(error))
    chosen.data = datasets.create(chosen.dataset, vars(chosen))
    return chosen


def list_datasets() -> str:
    """All data sets and their parameters, as a table in Markdown."""
    rows = ['| data set | what it asks | about | source | parameters |', '|---|---|---|---|---|']
    for part in datasets:
        own = ', '.join(f'`{name}` ({spec.default!r})' for name, spec in part.parameters.items())
        rows.append(f'| `{part.name}` | {part.text} | {part.scope} | {part.source} | {own} |')
    return '\n'.join(rows)


def run(model, data: Dataset, settings: Settings, controls: bool = True) -> Iterator[dict]:
    """Ask everything -> a row for each question: what was asked, and answer and score by view of `VIEWS`."""
    for episode in data.episodes():
        for question, answers in ask_episode(model, episode, settings, VIEWS if controls else VIEWS[:1]):
            yield {
                'episode': episode.name,
                'stamp': question.stamp,
                'question': question.text,
                'expected': question.expected,
                'tags': list(question.tags),
                'answers': answers,
                'scores': {view: float(data.score(question, answer)) for view, answer in answers.items()},
            }


def ask_episode(
    model, episode: Episode, settings: Settings, views: tuple[str, ...]
) -> Iterator[tuple[Question, dict[str, str]]]:
    """Show an episode's frames once, and ask each question at its time -> it and the answer by view."""
    import numpy as np

    from stc_ros.stream import open_stream

    streams = {view: open_stream(model, settings) for view in views}
    waiting, latest = list(episode.questions), None

    def due(until: int | None) -> Iterator[tuple[Question, dict[str, str]]]:
        """Ask what is due before the frame of time `until`; None: all that is left."""
        shown = False  # whether the newest frame has been shown to the stream that sees nothing else
        while waiting and (until is None or waiting[0].stamp < until):
            question = waiting.pop(0)
            if 'newest' in streams and latest is not None and not shown:
                streams['newest'].reset()
                streams['newest'].see(latest[1], latest[0])
                shown = True
            yield question, {view: answer(stream, question.text) for view, stream in streams.items()}

    for stamp, frame in episode.frames:
        yield from due(stamp)
        streams['shown'].see(frame, stamp)
        if 'blank' in streams:
            streams['blank'].see(np.full_like(frame, GREY), stamp)
        latest = stamp, frame
    yield from due(None)


def accuracy(rows: list[dict]) -> list[list[str]]:
    """A table: the mean score by tag, with the number of questions, and over all of them."""
    by_tag: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        for tag in row['tags']:
            by_tag[tag].append(row['scores'])
    by_tag['all'] = [row['scores'] for row in rows]
    views = [view for view in VIEWS if all(view in row['scores'] for row in rows)]
    lines = [['tag', 'n', *('accuracy' if view == 'shown' else view for view in views)]]
    for tag, scores in by_tag.items():
        means = [sum(s[view] for s in scores) / max(len(scores), 1) for view in views]
        lines.append([tag, str(len(scores)), *(f'{mean:.3f}' for mean in means)])
    return lines


def main(arguments: list[str] | None = None) -> int:
    chosen = read_arguments(arguments)
    if chosen.list:
        print(list_datasets())
        return 0
    # imported this late, so that --help and a mistyped option are answered at once
    from tqdm import tqdm
    from transformers.utils.logging import disable_progress_bar

    from stc_ros.evaluation.report import as_text
    from stc_ros.models import load_model, share_cores_fairly
    from stc_ros.models.base import ModelError

    disable_progress_bar()
    try:
        model = load_model(chosen.settings)
    except (ImportError, ModelError) as error:
        print(f'run: {error}', file=sys.stderr)
        return 1
    share_cores_fairly(model)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text('')
    rows = []
    for row in tqdm(run(model, chosen.data, chosen.settings, not chosen.no_controls), desc='questions', disable=None):
        rows.append(row)
        if chosen.json:
            with chosen.json.open('a') as file:
                file.write(json.dumps(row) + '\n')
    print(f'\n{chosen.dataset}, {chosen.settings["model.name"] or "the embedded model"}, {chosen.settings}\n')
    print(as_text(accuracy(rows)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
