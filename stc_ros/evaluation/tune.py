"""The search of `stc_ros tune`: Optuna proposes settings, each is evaluated, accuracy and cost are noted in a file.

The study stands in OUT/study.db, every trial's results in OUT/trials/NUMBER. Killed, it goes on: finished trials are
not repeated, one in the midst of which it was killed is taken up again, with its settings, under its number. The
optimizer's draws depend on the seed, the trial's number and the finished trials alone, so that a search that was killed
proposes what it would have otherwise (with one process, and a cost that does not depend on the clock).
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stc_ros.evaluation.evaluate import InputError
from stc_ros.evaluation.run_jobs import KILLED
from stc_ros.evaluation.tune_space import Space
from stc_ros.evaluation.tune_trial import Measured
from stc_ros.settings import Settings

STUDY, NAME = 'study.db', 'tune'
SAMPLERS = ('tpe', 'nsga2')
RANDOM = 10  # trials before TPE has anything to go by
SETTINGS, ABOUT = 'settings', 'about'  # attributes of a trial, and of the study


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished one. same_as: the number of the first one of these settings, whose results it has."""

    number: int
    settings: Settings
    accuracy: float
    cost: float
    n: int  # questions
    same_as: int


def open_study(out: Path, about: Mapping[str, Any]) -> Any:
    """The study in `out`, a new one or one to go on with. about: what has to be the same for that.

    Raises `InputError` where Optuna is not installed, or where the study is one of something else.
    """
    try:
        import optuna
    except ImportError:
        raise InputError("tune needs Optuna, which is not installed: pip install 'stc_ros[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f'sqlite:///{(out / STUDY).resolve()}',
        study_name=NAME,
        directions=('maximize', 'minimize'),
        load_if_exists=True,
    )
    text = {name: json.dumps(value, sort_keys=True, default=str) for name, value in about.items()}
    if ABOUT not in study.user_attrs:
        study.set_user_attr(ABOUT, text)
    was = study.user_attrs[ABOUT]
    if other := [name for name in text if was.get(name) != text[name]]:
        raise InputError(
            f'{out} holds a search with other {" and ".join(other)} ({was.get(other[0])}, not {text[other[0]]}): '
            'give another --out, or remove that folder'
        )
    return study


def finished(study: Any) -> list[Trial]:
    """All trials that have figures, in order."""
    from optuna.trial import TrialState

    notes = study.user_attrs
    return [
        Trial(each.number, Settings(each.user_attrs[SETTINGS]), *each.values, **notes[_note(each.number)])
        for each in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ]


def failures(study: Any) -> dict[int, str]:
    """By number, why trials have no figures."""
    from optuna.trial import TrialState

    failed, notes = study.get_trials(deepcopy=False, states=(TrialState.FAIL,)), study.user_attrs
    return {each.number: notes[_note(each.number)] for each in failed}


def first_trial(study: Any, space: Space, run: Callable[[int, Settings], Measured]) -> None:
    """Evaluate the base, as trial 0, unless it has been. Raises `InputError` where it cannot be."""
    from optuna.trial import create_trial

    if study.get_trials(deepcopy=False):
        return
    found = run(0, space.base)
    if found.error:
        raise InputError(found.error)
    values, distributions = space.position(space.base)
    settings = {SETTINGS: space.base.changed()}
    study.set_user_attr(_note(0), {'n': found.n, 'same_as': 0})
    study.add_trial(
        create_trial(
            params=values, distributions=distributions, values=(found.accuracy, found.cost), user_attrs=settings
        )
    )


def search(
    study: Any,
    space: Space,
    submit: Callable[[int, Settings], Future[Measured]],
    *,
    trials: int,
    timeout: float,
    at_once: int,
    sampler: str,
    seed: int,
) -> Iterator[int]:
    """Go on until there are so many trials or the time is over -> the number of each as it ends.

    Raises `InputError` where a process was killed; what it did is taken up again by the next call.
    """
    end = time.monotonic() + timeout
    again = deque(_left_over(study))
    running: dict[Future[Measured], int] = {}
    while True:
        while len(running) < at_once and (again or (len(study.get_trials(deepcopy=False)) < trials)):
            if again:
                number, settings = again.popleft()
            elif time.monotonic() >= end:
                break
            else:
                number, settings = _propose(study, space, sampler, seed)
            if same := next((each for each in finished(study) if each.settings == settings), None):
                _tell(study, number, Measured(same.accuracy, same.n, same.cost), same.number)
                yield number
            else:
                running[submit(number, settings)] = number
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            number = running.pop(future)
            try:
                _tell(study, number, future.result())
            except BrokenProcessPool:
                raise InputError(KILLED) from None
            yield number


class Here(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **named))
        return future


def pareto(trials: list[Trial]) -> list[Trial]:
    """Those to which no other is as good at less cost, or better at the same: the cheapest first."""
    front: list[Trial] = []
    for each in sorted(trials, key=lambda t: (t.cost, -t.accuracy, t.number)):
        if not front or each.accuracy > front[-1].accuracy:
            front.append(each)
    return front


def cheapest_within(front: list[Trial], within: float) -> Trial:
    """The cheapest whose accuracy is at most `within` below the best."""
    best = max(each.accuracy for each in front)
    return min((each for each in front if each.accuracy >= best - within - 1e-9), key=lambda each: each.cost)


def _propose(study: Any, space: Space, sampler: str, seed: int) -> tuple[int, Settings]:
    """A new trial. It is drawn in a copy of the study and enters the study whole, so that a kill leaves no half one."""
    import optuna

    trials = study.get_trials(deepcopy=False)
    copy = optuna.create_study(directions=study.directions, sampler=_sampler(sampler, seed + len(trials)))
    copy.add_trials(trials)
    settings = space.suggest(copy.ask())
    drawn = copy.get_trials(deepcopy=False)[-1]
    study.add_trial(
        optuna.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=drawn.params,
            distributions=drawn.distributions,
            user_attrs={SETTINGS: settings.changed()},
            system_attrs=drawn.system_attrs,
        )
    )
    return len(trials), settings


def _left_over(study: Any) -> list[tuple[int, Settings]]:
    """Trials that had begun when the search was killed."""
    from optuna.trial import TrialState

    begun = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [(each.number, Settings(each.user_attrs[SETTINGS])) for each in begun]


def _tell(study: Any, number: int, found: Measured, same_as: int | None = None) -> None:
    from optuna.trial import TrialState

    if found.error:
        study.set_user_attr(_note(number), found.error)
        study.tell(number, state=TrialState.FAIL)
        return
    study.set_user_attr(_note(number), {'n': found.n, 'same_as': number if same_as is None else same_as})
    study.tell(number, (found.accuracy, found.cost))


def _note(number: int) -> str:
    """The study's attribute that says of a trial what Optuna has no place for."""
    return f'trial {number}'


def _sampler(name: str, seed: int) -> Any:
    import optuna

    if name == 'nsga2':
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM)
