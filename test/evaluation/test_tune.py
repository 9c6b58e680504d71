"""The search over settings: of a fake stream whose accuracy and cost are known functions of its settings."""

import dataclasses
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from evaluation.fake_bag import FakeBag, FakeModel, SeenStream

from stc_ros.__main__ import main
from stc_ros.evaluation import results, tune_command
from stc_ros.evaluation.settings_file import read_settings
from stc_ros.evaluation.tune import cheapest_within, failures, finished, open_study, pareto, search
from stc_ros.evaluation.tune_space import Space, make_space
from stc_ros.evaluation.tune_trial import Measured
from stc_ros.settings import Settings

optuna.logging.set_verbosity(optuna.logging.WARNING)
LIMITS = [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.93]  # prune ratio up to which each is answered right
SHOWN = 7  # of them in the search, the others held out


def accuracy(ratio, limits=tuple(LIMITS[:SHOWN])):
    return sum(ratio <= limit for limit in limits) / len(limits)


def cost(ratio, similarity):
    return 50 * (similarity**4 + round(1000 * (1 - ratio)) / 1000)


class Known(SeenStream):
    """Answers `right` to a question that names a limit which its prune ratio keeps."""

    def see(self, frame, stamp):
        kept = round(1000 * (1 - self.settings['prune_ratio']))
        part = 16 * self.settings['cache_similarity'] ** 4
        report = super().see(frame, stamp)
        return dataclasses.replace(
            report, visual_tokens=1000, visual_tokens_kept=kept, patches=16, patches_recomputed=part
        )

    def ask(self, question, max_new_tokens=None):
        answer = super().ask(question, max_new_tokens)
        self.says = 'right' if self.settings['prune_ratio'] <= float(question.split()[-1]) else 'wrong'
        return answer


@pytest.fixture
def png():
    """Of a test that looks at the picture, which takes half a second."""


@pytest.fixture
def tune(tmp_path, monkeypatch, request):
    """Runs `stc_ros tune` on a fake bag; `.began` are the prune ratios of the streams without controls."""
    lines = [f'  - {{at: {i / 10:.1f}, question: limit {limit}, expect: {{exact: right}}}}'
             for i, limit in enumerate(LIMITS)]  # fmt: skip
    (tmp_path / 'q.yaml').write_text('questions:\n' + '\n'.join(lines) + '\n')
    (tmp_path / 'bag').write_bytes(b'x')
    began = []

    def open_stream(model, settings):
        began.append(settings)
        return Known(settings)

    monkeypatch.setattr('stc_ros.io.bags.Bag', lambda paths: FakeBag([('/a', t / 2, 10 + t) for t in range(4)]))
    monkeypatch.setattr('stc_ros.stream.open_stream', open_stream)
    monkeypatch.setattr('stc_ros.evaluation.evaluate._model', lambda settings: FakeModel(opened=[]))
    monkeypatch.setattr('stc_ros.engine.scheduler.release_memory', lambda: None)  # 0.4 s each
    if 'png' not in request.fixturenames:
        monkeypatch.setattr(tune_command, 'draw', lambda found, file: True)
    monkeypatch.chdir(tmp_path)

    def run(*options, out='out', only=('--only', 'prune_ratio', '--only', 'cache_similarity')):
        common = ['tune', 'bag', '--questions', 'q.yaml', '--out', out, '--cost', 'operations']
        return main([*common, *only, *options])

    run.began, run.root = began, tmp_path
    return run


def trials(root, out='out'):
    return finished(optuna.load_study(study_name='tune', storage=f'sqlite:///{root / out / "study.db"}'))


def test_it_finds_cheaper_settings_that_answer_as_well_and_writes_them(png, tune, capsys):
    assert tune('--trials', '15') == 0
    found = trials(tune.root)
    assert len(found) == 15 and found[0].settings == Settings()
    for each in found:  # what was measured is what the stream does
        ratio, similarity = each.settings['prune_ratio'], each.settings['cache_similarity']
        assert each.accuracy == pytest.approx(accuracy(ratio), abs=1e-6) and each.n == SHOWN
        assert each.cost == pytest.approx(cost(ratio, similarity), abs=1e-3)
    front = pareto(found)
    for each in found:  # each is beaten, in both or as good in one, by one of the front, or stands on it
        assert any(f.cost <= each.cost and f.accuracy >= each.accuracy for f in front)
    best = cheapest_within(front, 0.02)
    assert best.accuracy > found[0].accuracy  # the defaults prune more than these questions bear
    files = {int(f.stem) for f in (tune.root / 'out' / 'pareto').iterdir()}
    assert files == {each.number for each in front}
    assert read_settings(tune.root / 'out' / 'best.yaml') == best.settings
    for each in front:
        assert read_settings(tune.root / 'out' / 'pareto' / f'{each.number}.yaml') == each.settings
    assert (tune.root / 'out' / 'pareto.png').read_bytes()[:4] == b'\x89PNG'
    said = capsys.readouterr().out
    assert f'{best.number} best' in said and '0 defaults' in said and 'best by luck' in said
    assert said.count('\n') < 40 and (tune.root / 'out' / 'pareto.md').read_text().startswith('| trial |')


def test_the_front_is_asked_what_was_held_out_beside_the_controls(tune, capsys):
    assert tune('--trials', '6', '--parameters', 'prune_ratio=0.7,0.8') == 0
    for each in {0, *(e.number for e in pareto(trials(tune.root)))}:
        lines = list(results.read_lines(tune.root / 'out' / 'holdout' / f'{each:03d}' / results.RESULT))
        asked = [line for line in lines if line['kind'] == 'question']
        assert [float(q['question'].split()[-1]) for q in asked] == LIMITS[SHOWN:] and asked[0]['controls']
    head = capsys.readouterr().out.splitlines()[0]
    assert 'held out' in head and 'last4' in head
    asked = [
        line for line in results.read_lines(tune.root / 'out/trials/000/result.jsonl') if line['kind'] == 'question'
    ]
    assert [float(q['question'].split()[-1]) for q in asked] == LIMITS[:SHOWN] and not asked[0]['controls']


def test_questions_of_another_file_can_be_held_out_or_none(tune, capsys):
    (tune.root / 'other.yaml').write_text('questions:\n  - {at: 1, question: limit 0.99, expect: {exact: right}}\n')
    assert tune('--trials', '2', '--holdout', 'other.yaml') == 0
    assert 'held out: 1.000 against 1.000 on 1 questions' in capsys.readouterr().out
    assert tune('--trials', '2', '--holdout', '0', out='none') == 0
    assert 'hold some out' in capsys.readouterr().out and not (tune.root / 'none' / 'holdout').exists()
    assert trials(tune.root, 'none')[0].n == len(LIMITS)


@pytest.mark.parametrize('dies_at', [0, 5])  # at the defaults, at what TPE proposes
def test_killed_in_the_midst_of_a_trial_it_proposes_what_it_would_have(tune, monkeypatch, dies_at):
    monkeypatch.setattr('stc_ros.evaluation.tune.RANDOM', 3)
    assert tune('--trials', '7', out='whole') == 0
    began, run_trial, calls = len(tune.began), tune_command.run_trial, []

    class Killed(BaseException):
        pass

    def die(jobs, cost):
        calls.append(jobs)
        if len(calls) == dies_at + 1:
            raise Killed
        return run_trial(jobs, cost)

    monkeypatch.setattr(tune_command, 'run_trial', die)
    with pytest.raises(Killed):
        tune('--trials', '7')
    assert len(calls) == dies_at + 1
    assert tune('--trials', '7') == 0
    one, other = trials(tune.root, 'whole'), trials(tune.root)
    assert one == other and len(one) == 7
    assert len(calls) == 7 + 1  # only that which was killed has begun twice
    assert len(tune.began) == 2 * began
    assert tune('--trials', '7') == 0 and len(calls) == 8
    assert tune('--trials', '8') == 0 and len(calls) == 9


def test_killed_while_settings_are_drawn_it_draws_them_again(tmp_path, monkeypatch):
    space, suggest, calls = make_space(Settings(), {}), Space.suggest, []

    class Killed(BaseException):
        pass

    def go_on(where):
        def submit(number, settings):
            return tune_command.Here().submit(lambda: Measured(number / 9, 10, settings['prune_ratio']))

        study = open_study(tmp_path / where, {})
        list(search(study, space, submit, trials=5, timeout=math.inf, at_once=1, sampler='tpe', seed=0))

    def die(self, trial):
        settings = suggest(self, trial)
        calls.append(settings)
        if len(calls) == 3:
            raise Killed
        return settings

    go_on('whole')
    monkeypatch.setattr(Space, 'suggest', die)
    with pytest.raises(Killed):
        go_on('killed')
    go_on('killed')
    one, other = (open_study(tmp_path / where, {}) for where in ('whole', 'killed'))
    assert finished(one) == finished(other) and len(finished(other)) == 5 and not failures(other)


def test_the_same_settings_are_not_evaluated_twice(tune):
    assert tune('--trials', '9', '--parameters', 'prune_ratio=0.1,0.4', only=('--only', 'prune_ratio')) == 0
    found = trials(tune.root)
    assert len(found) == 9 and len({each.same_as for each in found}) == 3
    assert len(list((tune.root / 'out' / 'trials').iterdir())) == 3
    assert all(each.accuracy == found[each.same_as].accuracy for each in found)


def test_a_search_of_something_else_is_not_gone_on_with(tune, capsys):
    assert tune('--trials', '2') == 0
    assert tune('--trials', '2', '--seed', '5') == 2
    assert 'out holds a search with other sampler' in capsys.readouterr().err
    text = (tune.root / 'q.yaml').read_text()
    (tune.root / 'q.yaml').write_text(text.replace('right', 'left'))
    assert tune('--trials', '2') == 2 and 'other questions' in capsys.readouterr().err


def test_wrong_input_is_named(tune, capsys, monkeypatch):
    for options, word in (
        (['--fix', 'prune_ratoi=0.5'], "no parameter 'prune_ratoi' (did you mean prune_ratio"),
        (['--parameters', 'prune_ratio=0.5..0.2'], 'the lower number first'),
        (['--parameters', 'prune_ratio=0.5..2'], 'prune_ratio must lie in [0, 0.95]'),
        (['--cacher', 'nonsense'], "no cacher 'nonsense'"),
        (['--only', 'narration.period'], '--parameters narration.period=LOW..HIGH'),
        (['--holdout', '1.5'], '--holdout 1.5'),
        (['--holdout', 'none.yaml'], 'none.yaml: cannot be read'),
    ):
        assert tune(*options) == 2 and word in capsys.readouterr().err
    assert not tune.began
    assert main(['tune', 'bag', '--out', 'x']) == 2 and 'no questions for bag' in capsys.readouterr().err
    monkeypatch.setitem(__import__('sys').modules, 'optuna', None)
    assert tune() == 2 and "pip install 'stc_ros[tune]'" in capsys.readouterr().err


def test_a_trial_that_fails_is_named_and_the_others_go_on(tune, capsys, monkeypatch):
    run_trial, calls = tune_command.run_trial, []

    def fail(jobs, cost):
        calls.append(jobs)
        return Measured(error='no memory') if len(calls) == 3 else run_trial(jobs, cost)

    monkeypatch.setattr(tune_command, 'run_trial', fail)
    assert tune('--trials', '5') == 2 and 'trial 2: no memory' in capsys.readouterr().err
    assert [each.number for each in trials(tune.root)] == [0, 1, 3, 4]
    assert tune('--trials', '5') == 2 and len(calls) == 5


def test_no_trial_begins_when_the_time_is_over(tune):
    assert tune('--trials', '50', '--timeout', '0.000001') == 0
    assert len(trials(tune.root)) == 1


def test_several_trials_run_at_once(tmp_path):
    study, space, meet = open_study(tmp_path, {}), make_space(Settings(), {}), threading.Barrier(3, timeout=20)

    def run(number, settings):
        meet.wait()  # three have to be under way
        return Measured(0.5, 10, float(number))

    with ThreadPoolExecutor(3) as pool:
        ended = list(search(study, space, lambda *given: pool.submit(run, *given), trials=6, timeout=math.inf,
                            at_once=3, sampler='tpe', seed=0))  # fmt: skip
    assert sorted(ended) == list(range(6)) == [each.number for each in finished(study)]


@pytest.mark.parametrize('sampler', ['tpe', 'nsga2'])
def test_every_sampler_learns(sampler):
    """The last trials are nearer to the best settings than the first, random ones."""
    study = optuna.create_study(directions=['maximize', 'minimize'])
    space = make_space(Settings(), {}, only=['prune_ratio', 'cache_similarity'])

    def off(settings):
        return abs(settings['prune_ratio'] - 0.3)

    def submit(number, settings):
        return tune_command.Here().submit(lambda: Measured(1 - off(settings), 10, off(settings)))

    list(search(study, space, submit, trials=70, timeout=math.inf, at_once=1, sampler=sampler, seed=0))
    found = [off(each.settings) for each in finished(study)]
    assert sum(found[-20:]) < 0.7 * sum(found[:20])
