"""The training of the eye's projector and language model, on a shard whose features are made up."""

import json

import pytest
import torch
from safetensors.torch import load_file

from stc_ros.models import EMBEDDED
from stc_ros.models.real_eye import WEIGHTS, take_over
from stc_ros.models.real_eye.projector import FEATURES, GRID, HIDDEN, TOKEN, Projector
from stc_ros.synthetic import PROFILES
from stc_ros.synthetic.backdrop import EVALUATED, LEARNED
from stc_ros.synthetic.seeds import TRAIN
from training.real_eye import stage_language, stage_projector, train
from training.real_eye.shards import FIRST_SEED, FIRST_STILL, TUNED, find_shards, path_of, save_shard
from training.tiny.clips import make_clip
from training.tiny.shards import CLIP_SEEDS
from training.tiny.tokenizer import Coder

FRAMES = 4


@pytest.fixture(scope='module')
def shard():
    """Two clips; the target is a function of the features, as it is when a real tower sees the same frames."""
    rows = [make_clip(PROFILES[i], 100 + i, FRAMES, Coder())[1] for i in range(2)]
    made = {key: torch.stack([torch.from_numpy(row[key]) for row in rows]) for key in rows[0]}
    torch.manual_seed(0)
    patches = torch.randn(2, FRAMES, GRID * GRID, FEATURES)
    with torch.no_grad():
        target = Projector()(patches) * 10
    return made | {'patches': patches.bfloat16(), 'target': target.bfloat16()}


def test_what_is_learned_from_chosen_by_and_measured_on_never_mixes():
    assert LEARNED[1] <= TUNED[0] < TUNED[1] <= EVALUATED[0]
    assert CLIP_SEEDS < FIRST_SEED < FIRST_STILL < TRAIN.stop


def test_the_projector_comes_nearer_to_what_the_embedded_model_sees(shard, tmp_path, monkeypatch):
    monkeypatch.setattr(stage_projector, 'BATCH', 256)
    projector = Projector()
    readings = stage_projector.run(projector, [shard], tmp_path, 40, 3e-3)
    log = [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()]
    assert log[-1]['error'] < 0.9 * log[0]['error']
    assert set(stage_projector.measure(projector, readings, [shard])) == {'error', 'colour', 'shape'}


def test_tokens_of_objects_are_learned_from_and_a_few_empty_ones(shard):
    data = stage_projector.Tokens([shard], empty_share=0.2)
    full = shard['covered'].any(1)
    assert data.full.sum() == full.sum() and 0.1 < (~data.full).sum() / (~full).sum() < 0.3
    assert ((data.words >= 0).all(1) <= data.full).all()
    assert data.patches.shape[1:] == (4, FEATURES) and data.target.shape[1:] == (TOKEN,)


def test_language_model_and_projector_learn_together_and_go_on_where_they_were(shard, tmp_path):
    from transformers import LlavaOnevisionForConditionalGeneration

    def start():
        torch.manual_seed(1)
        return LlavaOnevisionForConditionalGeneration.from_pretrained(EMBEDDED, dtype=torch.float32), Projector()

    pool = tmp_path / 'pool'
    pool.mkdir()
    save_shard(shard, path_of(pool, 13))
    assert [p.name for p in find_shards(pool)] == ['clips-000013.pt']
    course = stage_language.Course(tmp_path, pool, 1, 1e-3)
    model, projector = start()
    before = projector.linear_1.weight.clone()
    stage_language.run(model, projector, [shard], course, lambda *both: train.export(*both, tmp_path / 'export'))
    assert not torch.equal(projector.linear_1.weight, before)
    stored = load_file(tmp_path / 'export' / WEIGHTS)
    assert stored['projector.linear_2.weight'].shape == (HIDDEN, HIDDEN)
    assert not any('vision' in name for name in stored) and {v.dtype for v in stored.values()} == {torch.bfloat16}
    again, other = start()
    stage_language.run(again, other, [shard], course, lambda *both: None)  # it has done its steps
    assert torch.equal(other.linear_1.weight, projector.linear_1.weight)
    take_over(again, stored)
    name = 'model.language_model.layers.3.mlp.up_proj.weight'
    assert torch.equal(dict(again.named_parameters())[name].bfloat16(), stored[name])
