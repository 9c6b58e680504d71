"""Asks a model about a data set: `python -m stc_ros.evaluation.run --dataset synthetic`.

Every episode gets a stream of its own, opened with the given settings. Its frames are shown in order, and each question
is asked at its time, before any later frame. Beside the accuracy stand three controls, which tell what can be had
without a memory: `blank`, a stream that was shown a grey frame, `newest`, one that was shown the newest frame alone,
and `last4`, one that was shown the last four frames whole, with cacher and pruner off.

With --json, the same command goes on where a killed one was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stc_ros.evaluation.dataset_ask import SHOWN, ask_episode
from stc_ros.evaluation.dataset_rows import RowFile, RowsError, name_run
from stc_ros.evaluation.dataset_table import metrics, table
from stc_ros.evaluation.datasets.base import Dataset, DatasetError, EpisodeError, datasets
from stc_ros.parameter_spec import SettingError
from stc_ros.settings import Settings
from stc_ros.settings_export import add_arguments, add_options, from_arguments

MOST_LINES = 20  # of problems, and of notes, that are printed


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
    parser.add_argument('--no-controls', action='store_true', help='leave out blank, newest and last4: less than half '
                        'the time')  # fmt: skip
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


def run(
    model: Any, data: Dataset, settings: Settings, rows: RowFile, problems: list[str], controls: bool = True
) -> Iterator[dict]:
    """Ask everything that `rows` has not -> a row for each question: answer and scores by view, scores by metric.

    What of an episode cannot be shown is added to `problems`. Raises `DatasetError`.
    """
    for episode in data.episodes():
        if finished := rows.finished(episode):
            yield from finished
            continue
        asked = 0
        try:
            for question, answers in ask_episode(model, episode, settings, controls):
                asked += 1
                yield rows.add(
                    {
                        'episode': episode.name,
                        'id': question.id,
                        'stamp': question.stamp,
                        'question': question.text,
                        'expected': question.expected,
                        'tags': list(question.tags),
                        'answers': answers,
                        'scores': {view: _by_metric(data.score(question, said)) for view, said in answers.items()},
                    }
                )
        except EpisodeError as error:
            left = len(episode.questions) - asked
            problems.append(f'{error}; {left} of {len(episode.questions)} questions were not asked')
    rows.close()


def _by_metric(score: float | Mapping[str, float]) -> dict[str, float]:
    found = score if isinstance(score, Mapping) else {'strict': score}
    return {metric: float(value) for metric, value in found.items()}


def main(arguments: list[str] | None = None) -> int:
    """-> 0; 1 where the model cannot be loaded; 2 where something of the data cannot be used: the rest was asked."""
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

    data, settings, controls = chosen.data, chosen.settings, not chosen.no_controls
    try:
        total = data.total() if hasattr(data, 'total') else None
        rows = RowFile(chosen.json, _name(chosen))
        disable_progress_bar()
        model = load_model(settings)
    except (DatasetError, RowsError) as error:
        print(f'run: {error}', file=sys.stderr)
        return 2
    except (ImportError, ModelError) as error:
        print(f'run: {error}', file=sys.stderr)
        return 1
    share_cores_fairly(model)
    found: list[dict] = []
    problems: list[str] = []
    try:
        with tqdm(total=total, desc='questions', unit='question', disable=None) as bar:
            for row in run(model, data, settings, rows, problems, controls):
                found.append(row)
                bar.set_postfix_str(row['episode'][-40:], refresh=False)
                bar.update()
    except DatasetError as error:
        print(f'run: {error}', file=sys.stderr)
        return 2
    problems = [*getattr(data, 'problems', ()), *problems]
    print(f'\n{chosen.dataset}, {settings["model.name"] or "the embedded model"}, {settings}')
    for metric in metrics(found):
        print('\n' + as_text(table(found, metric, getattr(data, 'totals', None))))
    if silent := sum(not row['answers'][SHOWN].strip() for row in found):
        print(f'\n{silent} of {len(found)} answers are empty; they count as wrong')
    _print_lines('left out or done otherwise', getattr(data, 'notes', ()))
    _print_lines('problems', problems)
    return 2 if problems else 0


def _name(chosen: argparse.Namespace) -> str:
    own = next(part for part in datasets if part.name == chosen.dataset).parameters
    return name_run(
        dataset=chosen.dataset,
        parameters={name: vars(chosen)[name] for name in own},
        settings=chosen.settings.changed(),
        controls=not chosen.no_controls,
    )


def _print_lines(title: str, lines: list[str]) -> None:
    if lines:
        print('\n'.join([f'\n{len(lines)} {title}:', *(f'  {line}' for line in lines[:MOST_LINES])]))
        if len(lines) > MOST_LINES:
            print(f'  and {len(lines) - MOST_LINES} more')


if __name__ == '__main__':
    sys.exit(main())
