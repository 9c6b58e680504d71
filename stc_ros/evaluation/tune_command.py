"""What `stc_ros tune` does from its options to its files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from stc_ros.evaluation.evaluate import InputError, size
from stc_ros.evaluation.make_jobs import check
from stc_ros.evaluation.recordings import Recording, choose_questions, find_recordings
from stc_ros.evaluation.report import as_markdown, as_text
from stc_ros.evaluation.run_jobs import run_jobs, worker_pool
from stc_ros.evaluation.settings_file import read_settings
from stc_ros.evaluation.tune import (
    Here,
    Trial,
    cheapest_within,
    failures,
    finished,
    first_trial,
    open_study,
    pareto,
    search,
)
from stc_ros.evaluation.tune_front import PICTURE, TABLE, Found, draw, held_out, rows, settings_of, verdict, write_files
from stc_ros.evaluation.tune_space import Space, make_space
from stc_ros.evaluation.tune_trial import Asked, Measured, make_jobs, measure, run_trial, run_trial_in_worker, split
from stc_ros.parameters import METHODS
from stc_ros.settings import Settings

HOLDOUT = 0.3  # of the questions
FEW = 30  # questions, below which a search says little


def tune(options: argparse.Namespace) -> list[str]:
    """Search, and write what was found -> what was wrong with the input all the same.

    Raises `InputError`, `BagError`, `FileError` or `SettingError` where there is nothing to search with.
    """
    recordings = find_recordings(options.bag, options.one)
    asked, held = read_questions(options, recordings)
    base = read_settings(options.settings) if options.settings else Settings()
    methods = {kind: [name.strip() for name in getattr(options, kind).split(',') if name.strip()] for kind in METHODS}
    space = make_space(base, methods, options.only, options.parameters, options.fix)
    study = open_study(options.out, _about(options, asked, held, space))
    n = sum(len(each.file.questions) for each in asked)
    print(f'searched, on {n} questions:\n  ' + '\n  '.join(space.describe()), file=sys.stderr)
    if n < FEW:
        print(f'tune: {n} questions are few: one answer more or less is {1 / n:.1%} of accuracy', file=sys.stderr)
    run_search(options, study, space, asked)
    trials = finished(study)
    front = pareto(trials)
    best = cheapest_within(front, options.within)
    found = Found(trials, front, best, space, options.cost, {})
    if held:
        found = Found(trials, front, best, space, options.cost, ask_held_out(options, found.shown, held))
    table, said = rows(found), verdict(found)
    files = write_files(found, options.out, ' '.join(['stc_ros tune', *(each.name for each in recordings)]))
    lines = [*settings_of(found), '', *said]
    text = '\n'.join([as_markdown(table), '', *(f'{line}  ' if line else '' for line in lines), ''])
    (options.out / TABLE).write_text(text, encoding='utf-8')
    print('\n'.join([as_text(table), '', *lines]))
    drawn = draw(found, options.out / PICTURE)
    print(f'\n{"; ".join(map(str, [*files[:1], options.out / TABLE, *[options.out / PICTURE] * drawn, *files[1:]]))}')
    if not drawn:
        print("tune: there is no picture without matplotlib: pip install 'stc_ros[tune]'", file=sys.stderr)
    wrong = [f'trial {number}: {why}' for number, why in failures(study).items()]
    return [*wrong, *measure([job.folder for job in _jobs(options, asked, 0, base)], options.cost).problems]


def read_questions(options: argparse.Namespace, recordings: Sequence[Recording]) -> tuple[list[Asked], list[Asked]]:
    """What is asked in the search, and what is held out, of each recording. Raises `InputError`."""
    options.no_controls = options.no_narration = False  # what `check` looks for: nothing of a file is refused
    files = choose_questions(recordings, options.questions)
    if missing := [each.name for each, file in zip(recordings, files) if file is None]:
        raise InputError(f'there are no questions for {", ".join(missing)}: give --questions')
    share, others = _holdout(options, recordings)
    parts = []
    for paths in (files, others):
        found, wrong = check(recordings, paths, options) if paths else ([], [])
        if wrong:
            raise InputError('\n'.join(wrong))
        parts.append(found)
    name = {each.name: each.name if len(recordings) > 1 else '' for each in recordings}
    asked, held = ([Asked(name[r.name], tuple(map(str, r.paths)), file) for r, file in found] for found in parts)
    if share:
        halves = [split(each.file, share) for each in asked]
        held = [Asked(each.name, each.bags, last) for each, (_, last) in zip(asked, halves)]
        asked = [Asked(each.name, each.bags, first) for each, (first, _) in zip(asked, halves)]
    if not sum(len(each.file.questions) for each in asked):
        raise InputError('there are no questions to tune on: add some, or hold out fewer (--holdout 0)')
    return asked, held


def run_search(options: argparse.Namespace, study, space: Space, asked: Sequence[Asked]) -> None:
    """All trials, with the time that is left."""
    from tqdm import tqdm

    def jobs(number: int, settings: Settings):
        return _jobs(options, asked, number, settings)

    at_once = options.jobs
    executor = worker_pool(at_once) if at_once > 1 else Here()

    def submit(number: int, settings: Settings) -> Future[Measured]:
        return executor.submit(run_trial_in_worker if at_once > 1 else run_trial, jobs(number, settings), options.cost)

    try:
        done = len(finished(study)) + len(failures(study))
        with tqdm(total=max(options.trials, done), initial=done, desc='trials', unit='trial', disable=None) as bar:
            first_trial(study, space, lambda number, settings: submit(number, settings).result())
            bar.update(not done)
            for _ in search(
                study, space, submit, trials=options.trials, timeout=options.timeout, at_once=at_once,
                sampler=options.sampler, seed=options.seed,
            ):  # fmt: skip
                bar.update()
                best = cheapest_within(pareto(finished(study)), options.within)
                bar.set_postfix(best=best.number, accuracy=f'{best.accuracy:.3f}', cost=f'{best.cost:.1f}')
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def ask_held_out(options: argparse.Namespace, shown: Sequence[Trial], held: Sequence[Asked]) -> dict:
    """By number the figures of these trials on the held-out questions, with controls. Raises `InputError`."""
    jobs = {
        each.number: make_jobs(
            held, each.settings, options.out / 'holdout' / f'{each.same_as:03d}', options.camera, True
        )  # fmt: skip
        for each in shown
    }
    print(f'the {len(jobs)} of the front are asked what was held out', file=sys.stderr)
    if failed := run_jobs([job for each in jobs.values() for job in each], options.jobs):
        raise InputError('\n'.join(f'held out: {title}: {why}' for title, why in failed.items()))
    return {number: held_out([job.folder for job in each]) for number, each in jobs.items()}


def _jobs(options: argparse.Namespace, asked: Sequence[Asked], number: int, settings: Settings):
    return make_jobs(asked, settings, options.out / 'trials' / f'{number:03d}', options.camera)


def _holdout(options: argparse.Namespace, recordings: Sequence[Recording]) -> tuple[float, list[Path | None]]:
    """A share, or else files of questions, one for each recording."""
    texts = options.holdout or [str(HOLDOUT)]
    try:
        (share,) = map(float, texts)
    except ValueError:
        return 0.0, choose_questions(recordings, [Path(text) for text in texts])
    if not 0 <= share < 1:
        raise InputError(f'--holdout {texts[0]}: a share from 0 to below 1, or a file of questions')
    return share, []


def _about(options: argparse.Namespace, asked: Sequence[Asked], held: Sequence[Asked], space: Space) -> dict:
    """What must be the same for a search to go on."""
    return {
        'bags': [each.bags for each in asked],
        'sizes of bags': [sum(size(Path(bag)) for bag in each.bags) for each in asked],
        'questions': [each.file.digest for each in (*asked, *held)],
        'cameras': options.camera,
        'settings': space.base.changed(),
        'space': space.describe(),
        'cost': options.cost,
        'sampler': [options.sampler, options.seed],
    }
