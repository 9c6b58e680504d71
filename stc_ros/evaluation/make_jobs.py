"""What is run where: a job for each recording under each settings file, checked before a model is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from stc_ros.evaluation.evaluate import InputError, Job, plan
from stc_ros.evaluation.questions import QuestionFile, QuestionFileError, read_questions
from stc_ros.evaluation.recordings import Recording, choose_questions
from stc_ros.evaluation.settings_file import read_settings
from stc_ros.io import bags
from stc_ros.settings import Settings


def make_jobs(options: argparse.Namespace, recordings: Sequence[Recording]) -> tuple[list[Job], list[str]]:
    """The jobs, and what is wrong with recordings and settings files that have none. Raises `InputError` if all are."""
    try:
        files = choose_questions(recordings, options.questions)
    except ValueError as error:
        raise InputError(str(error)) from None
    settings, wrong = read_all_settings(options.settings)
    asked, wrong_recordings = check(recordings, files, options)
    wrong += wrong_recordings
    if not settings or not asked:
        raise InputError('\n'.join(wrong))
    several = len(recordings) > 1
    watches = {'watch.file': str(options.watches)} if options.watches else {}
    return [
        Job(
            bags=tuple(map(str, recording.paths)),
            cameras=tuple(options.camera),
            file=file,
            name=name,
            settings=each | watches,
            folder=options.out / recording.name / name if several else options.out / name,
            controls=not options.no_controls,
            narrate=not options.no_narration,
            with_bag=not options.no_bag,
            recording=recording.name if several else '',
        )
        for recording, file in asked
        for name, each in settings.items()
    ], wrong


def read_all_settings(paths: Iterable[Path]) -> tuple[dict[str, Settings], list[str]]:
    """Settings by the name of their file, the defaults where there is none; and what is wrong with the others."""
    settings: dict[str, Settings] = {}
    wrong: list[str] = []
    for path in paths:
        if path.stem in settings:
            raise InputError(f'two settings files are called {path.stem!r}, as their results would be: rename one')
        try:
            settings[path.stem] = read_settings(path)
        except QuestionFileError as error:
            wrong.append(str(error))
    return settings or ({} if wrong else {'default': Settings()}), wrong


def check(
    recordings: Sequence[Recording], files: Sequence[Path | None], options: argparse.Namespace
) -> tuple[list[tuple[Recording, QuestionFile]], list[str]]:
    """Each recording that can be evaluated, with its questions; and what is wrong with the others."""
    from tqdm import tqdm

    found, wrong, known = [], [], {None: QuestionFile()}
    for recording, path in zip(tqdm(recordings, 'check', disable=None if len(recordings) > 10 else True), files):
        try:
            if path not in known:
                known[path] = read_questions(path)
            file = known[path]
            check_options(file, options)
            with bags.Bag(recording.paths) as bag:
                plan(bag, options.camera, file)
        except (QuestionFileError, bags.BagError, InputError) as error:
            wrong.append(str(error))
        else:
            found.append((recording, file))
    return found, list(dict.fromkeys(wrong))


def check_options(file: QuestionFile, options: argparse.Namespace) -> None:
    """Raises `InputError` where a question file requires what an option leaves out."""
    if options.no_controls and any(each.metric == 'gain' for each in file.requirements):
        raise InputError(f'{file.file} requires a gain over the controls: leave out --no-controls')
    if options.no_narration and (file.narration or any(each.metric == 'narration' for each in file.requirements)):
        raise InputError(f'{file.file} expects narrations: leave out --no-narration')
