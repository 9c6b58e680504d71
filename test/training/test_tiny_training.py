"""The training of the embedded model: schedule, batches, and that a killed run goes on as if it had not been."""

import json
from queue import Empty
from types import SimpleNamespace

import pytest
import torch

from stc_ros.synthetic.seeds import TEST, TRAIN, TUNE
from training.tiny import forward, losses, stage_language, stage_tower
from training.tiny.architecture import configure, create, deepen
from training.tiny.checkpoint import find_checkpoints, load_newest, save_checkpoint
from training.tiny.export import export_model
from training.tiny.feature_extractor import FeatureExtractor
from training.tiny.optimise import Optimiser, schedule, split_parameters
from training.tiny.shards import build_shard, path_of, save_shard
from training.tiny.stage_tower import draw_batch
from training.tiny.tokenizer import Coder, list_words

CONFIG = configure({word: i for i, word in enumerate(list_words())})
HEAD = torch.tensor(Coder().head)


def make_parts(seed=0):
    model = create(CONFIG, seed)
    heads = losses.HistoryHeads(CONFIG.text_config.hidden_size)
    named = [(n, p) for n, p in model.named_parameters() if n.startswith(forward.TEXT) or n == forward.NEWLINE]
    matrices, others = split_parameters(named, (forward.TEXT,))
    return model, heads, Optimiser(matrices, others + list(heads.parameters()), 1e-3)


def take_steps(parts, pool, first, last):
    model, heads, optimiser = parts
    course = stage_language.Course(pool, pool, pool, 3, 1e-3, narrated=1.0)
    found = []
    for step in range(first, last):
        loss, *_ = stage_language.train_step(model, heads, stage_language._draw(course, step), HEAD, torch.float32)
        loss.backward()
        optimiser.step(1.0)
        found.append(loss.item())
    return found


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path):
    pool = tmp_path / 'pool'
    pool.mkdir()
    model = create(CONFIG, 1)
    shard = build_shard(FeatureExtractor(model, 'cpu'), 900, 8, 6)
    for number in range(stage_language.shards_for(3)[1] + 1):
        save_shard(shard, path_of(pool, number))
    torch.manual_seed(5)
    whole = make_parts()
    losses_whole = take_steps(whole, pool, 0, 3)
    torch.manual_seed(5)
    killed = make_parts()
    take_steps(killed, pool, 0, 2)
    save_checkpoint(tmp_path, 'language', 2, killed[0], killed[2], killed[1])
    again = make_parts(seed=9)
    assert load_newest(tmp_path, 'language', again[0], again[2], again[1]) == 2
    assert take_steps(again, pool, 2, 3) == losses_whole[2:]
    for a, b in zip(whole[0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(a, b)


def test_heads_that_know_nothing_do_not_pull_at_the_model():
    heads = losses.HistoryHeads(8)
    states = torch.randn(5, 8, requires_grad=True)
    torch.nn.functional.cross_entropy(heads.census(states)[:, :4], torch.tensor([0, 1, 2, 3, 0])).backward()
    assert not states.grad.any() and heads.census.weight.grad.any()


def test_a_language_model_is_not_taken_up_with_another_tower(tmp_path):
    """Its features are all that it knows: as after a trial, then a tower trained for longer in the same folder."""
    parts = make_parts(seed=1)
    save_checkpoint(tmp_path, 'language', 2, parts[0], parts[2], parts[1])
    course = stage_language.Course(tmp_path, tmp_path / 'pool', tmp_path / 'export', 2, 1e-3)
    stage_language.run(create(CONFIG, 1), course)
    with pytest.raises(SystemExit, match='another tower'):
        stage_language.run(create(CONFIG, 2), course)


def test_a_trainer_whose_feeder_has_died_says_so(monkeypatch):
    queue = SimpleNamespace(get=lambda timeout: (_ for _ in ()).throw(Empty))
    with pytest.raises(RuntimeError, match='start again'):
        stage_tower._take(queue, SimpleNamespace(is_alive=lambda: False))


def test_only_the_two_newest_checkpoints_stay(tmp_path):
    model, heads, optimiser = make_parts()
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, 'tower', step, model, optimiser, heads)
    assert [path.stem for path in find_checkpoints(tmp_path, 'tower')] == ['tower-0000002', 'tower-0000003']
    assert load_newest(tmp_path, 'language', model) == 0


def test_schedule_rises_holds_and_falls():
    shares = [schedule(step, 1000, warm=50, hold=0.6) for step in range(1000)]
    assert shares[0] == 1 / 50 and shares[60] == shares[599] == 1.0
    assert all(a >= b for a, b in zip(shares[600:], shares[601:], strict=False)) and shares[-1] < 0.03


def test_every_parameter_of_the_language_model_is_trained_once():
    model, _, optimiser = make_parts()
    held = [id(p) for part in optimiser.parts for group in part.param_groups for p in group['params']]
    assert len(held) == len(set(held))
    trained = {id(p) for n, p in model.named_parameters() if n.startswith(forward.TEXT) or n == forward.NEWLINE}
    assert trained < set(held)


def test_tower_batches_repeat_and_hold_all_profiles():
    batch, again = draw_batch(3, 16, TRAIN), draw_batch(3, 16, TRAIN)
    assert all((batch[key] == again[key]).all() for key in batch)
    assert batch['frames'].shape == (16, 112, 112, 3)
    assert (batch['frames'] != draw_batch(4, 16, TRAIN)['frames']).any()


def test_a_deepened_model_computes_what_it_did():
    shallow = configure({word: i for i, word in enumerate(list_words())})
    shallow.text_config.num_hidden_layers, shallow.text_config.layer_types = 6, None
    shallow = create(type(shallow).from_dict(shallow.to_dict()), 2)
    deep = deepen(shallow)
    assert len(deep.model.language_model.layers) == CONFIG.text_config.num_hidden_layers > 6
    ids = torch.arange(5, 40)[None]
    assert torch.equal(deep(input_ids=ids).logits, shallow(input_ids=ids).logits)
    new = deep.model.language_model.layers[-1].self_attn
    assert new.q_proj.weight.abs().sum() > 0  # they can learn where to look at once
    assert deepen(deep) is deep


def test_seed_ranges_are_apart():
    ranges = sorted((TRAIN, TUNE, TEST), key=lambda r: r.start)
    assert all(a.stop <= b.start for a, b in zip(ranges, ranges[1:], strict=False))


def test_an_export_loads_with_equal_weights_and_replaces_the_last_one(tmp_path):
    from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration

    folder = tmp_path / 'export'
    export_model(create(CONFIG, 3), folder)
    model = create(CONFIG, 4)
    export_model(model, folder)
    loaded = LlavaOnevisionForConditionalGeneration.from_pretrained(folder)
    for (name, a), b in zip(model.named_parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a.bfloat16(), b), name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20e6
    ids = AutoTokenizer.from_pretrained(folder).encode('red star', add_special_tokens=False)
    assert ids == Coder().encode('red star')
    assert [path.name for path in tmp_path.iterdir()] == ['export']


def test_an_export_deletes_nothing_that_is_no_model(tmp_path):
    model = create(CONFIG, 0)
    for name in ('run', 'notes.md'):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).mkdir() if name == 'run' else (folder / name).write_text('kept')
        with pytest.raises(FileExistsError, match=name):
            export_model(model, folder)
        assert (folder / name).exists()


def test_the_tower_goes_on_with_heads_fitted_first_and_stays_near_what_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_tower, 'HEADS_ALONE', 2)
    monkeypatch.setattr(stage_tower, 'CONFIRM_FRAMES', 8)
    model = create(CONFIG, 3)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}

    def changed():
        return {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}

    stage_tower.run(model, tmp_path, 2, 8, 1e-3, 'cpu', again=True)
    assert not changed()
    stage_tower.run(model, tmp_path, 4, 8, 1e-3, 'cpu', again=True)
    assert changed() and all(n.startswith((forward.VISION, forward.PROJECTOR)) for n in changed())
    assert len(find_checkpoints(tmp_path, 'again')) == 2 and not find_checkpoints(tmp_path, 'tower')
    lines = [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()]
    first, last = (line for line in lines if line['stage'] == 'again-tune')
    assert first['gone.empty'] == first['gone.alone'] == 0 < last['gone.alone'] < 1
