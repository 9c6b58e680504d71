"""Checkpoints of Qwen2.5-VL and Qwen3-VL that would not run as they were trained, or of families that look alike."""

import json

import pytest
import random_families

from stc_ros.models import load_model
from stc_ros.models.base import ModelError

NAMES = ('qwen2_5_vl', 'qwen3_vl')
FAULTS = {
    'no processor': ('video_preprocessor_config.json', None, 'without its video processor'),
    'another patch': ('video_preprocessor_config.json', {'patch_size': 5}, 'patch_size is 5'),
    'no bounds': ('video_preprocessor_config.json', {'size': {'height': 32, 'width': 32}}, 'must bound'),
    'no mean': ('video_preprocessor_config.json', {'image_mean': None}, 'image_mean'),
    'a size between patches': ('stc.json', {'frame_size': [30, 48]}, r'multiples of 8.* write \[32, 48\]'),
    'sections of other heads': ('config.json', {'text_config.rope_parameters.mrope_section': [4, 4, 4]}, 'mrope_sec'),
    'a mixture of experts': ('config.json', {'model_type': 'qwen3_vl_moe'}, 'supported are'),
    'an older family': ('config.json', {'model_type': 'qwen2_vl'}, 'supported are'),
    'another tower': ('config.json', {'vision_config.model_type': 'siglip'}, 'vision tower'),
    'recurrent layers': ('config.json', {'text_config.model_type': 'qwen3_5_text'}, 'language model'),
    'quantised': ('config.json', {'quantization_config': {'quant_method': 'awq'}}, 'quantised'),
    'a sliding window': (
        'config.json',
        {'text_config.layer_types': ['full_attention', 'sliding_attention', 'full_attention']},
        'sliding_attention',
    ),
    'deepstack out of order': ('config.json', {'vision_config.deepstack_visual_indexes': [2, 0]}, 'deepstack'),
    'a table that is no square': ('config.json', {'vision_config.num_position_embeddings': 35}, 'no square'),
    'windows that hold nothing': ('config.json', {'vision_config.window_size': 4}, 'window_size'),
}
ONLY = {'deepstack out of order': 'qwen3_vl', 'a table that is no square': 'qwen3_vl'}
ONLY |= {'windows that hold nothing': 'qwen2_5_vl', 'a sliding window': 'qwen2_5_vl'}


@pytest.mark.parametrize(('name', 'fault'), [(n, f) for n in NAMES for f in FAULTS if ONLY.get(f, n) == n])
def test_what_does_not_fit_is_refused(name, fault, tmp_path):
    random_families.save(name, tmp_path)
    file, changes, said = FAULTS[fault]
    content = json.loads((tmp_path / file).read_text())
    for path, value in (changes or {}).items():
        *parts, last = path.split('.')
        into = content
        for part in parts:
            into = into[part]
        into[last] = value
    (tmp_path / file).write_text(json.dumps(content))
    if changes is None:
        (tmp_path / file).unlink()
    with pytest.raises(ModelError, match=said):
        load_model({'model.name': str(tmp_path), 'model.device': 'cpu'})
