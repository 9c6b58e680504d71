"""Several threads that load models at once, as several nodes in one process do."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from stc_ros.models import load_model


@pytest.mark.parametrize('_', range(3))
def test_models_loaded_at_once_have_each_its_own_dtype(toy, _):
    """While transformers loads, torch's default dtype is the model's, in all threads."""
    wanted = ['float32', 'bfloat16'] * 2
    with ThreadPoolExecutor(len(wanted)) as threads:
        models = list(threads.map(lambda dtype: load_model({'model.name': str(toy), 'model.dtype': dtype}), wanted))
    for model, dtype in zip(models, wanted):
        assert {p.dtype for p in model.weights.parameters()} == {getattr(torch, dtype)}
        assert not any(p.is_meta for p in model.weights.parameters())
    assert torch.get_default_dtype() == torch.float32
