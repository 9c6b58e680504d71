"""What the loader takes: whole checkpoints, with the pixels, words and range of positions of their training."""

import shutil
import time

import numpy as np
import pytest
import torch
from checkpoints import MEAN, STD, TOWER, VIDEO, drop, edit, load, of, processor, put, shard, stc, write
from memories import kept
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration
from worlds import moving_square

from stc_ros.models import load_model
from stc_ros.models.chat_template import PREFIX, SUFFIX
from stc_ros.models.random import WORDS, random_weights
from stc_ros.settings import Settings
from stc_ros.stream import open_stream

FRAME = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)  # of the tower's size: no resize
IMAGE = {**VIDEO, 'image_mean': [0.4] * 3, 'do_pad': True, 'image_processor_type': 'LlavaOnevisionImageProcessor'}
OTHER = {**VIDEO, 'image_mean': [0.9] * 3}


@pytest.fixture
def folder(toy, tmp_path):
    return shutil.copytree(toy, tmp_path / 'model')


# ---------------------------------------------------------------- processors

LAYOUTS = {  # files as transformers writes them (5: nested), and how many of its layouts may lie in one folder
    'nested': {'processor_config.json': {'video_processor': VIDEO, 'image_processor': IMAGE, 'num_image_tokens': 36}},
    'nested beside older': {
        'processor_config.json': {'video_processor': VIDEO},
        'preprocessor_config.json': OTHER,
        'video_preprocessor_config.json': OTHER,
    },
    'video': {
        'video_preprocessor_config.json': VIDEO,
        'preprocessor_config.json': OTHER,
        'processor_config.json': {'image_processor': OTHER, 'processor_class': 'LlavaOnevisionProcessor'},
    },
    'video in a folder': {'video_processor/preprocessor_config.json': VIDEO, 'preprocessor_config.json': OTHER},
    'image': {'preprocessor_config.json': VIDEO, 'processor_config.json': {'num_image_tokens': 36}},
    'nested image only': {'processor_config.json': {'image_processor': VIDEO}},
    'a plain size': {'preprocessor_config.json': {**VIDEO, 'size': 24}},
    'a crop of nothing': {'preprocessor_config.json': {**VIDEO, 'do_center_crop': True, 'crop_size': 24}},
}


def show(folder, frame=FRAME):
    pixels = load(folder).pixels
    return pixels.normalise(pixels.resize(frame), 'cpu', torch.float32)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize('layout', LAYOUTS)
def test_pixels_are_the_processors_in_each_of_its_layouts(folder, layout):
    for name, content in LAYOUTS[layout].items():
        write(folder, name, content)
    np.testing.assert_allclose(show(folder), (FRAME / 255 - np.array(MEAN)) / np.array(STD), atol=1e-6)
    assert load(folder).notes == ''


@pytest.mark.parametrize(
    ('values', 'formula'),
    [
        ({'do_normalize': False}, lambda x: x / 255),
        ({'do_normalize': False, 'do_rescale': False}, lambda x: x),
        ({'do_rescale': False}, lambda x: (x - np.array(MEAN)) / np.array(STD)),
        ({'rescale_factor': 1 / 127.5}, lambda x: (x / 127.5 - np.array(MEAN)) / np.array(STD)),
    ],
)
def test_pixels_are_scaled_as_the_processor_says(folder, values, formula):
    processor(**values)(folder)
    np.testing.assert_allclose(show(folder), formula(FRAME.astype(float)), rtol=1e-6, atol=1e-5)


def clip_weights():
    vision = {
        'model_type': 'clip_vision_model',
        'hidden_size': 32,
        'intermediate_size': 64,
        'num_attention_heads': 2,
        'num_hidden_layers': 3,
        'image_size': 24,
        'patch_size': 4,
    }
    config = random_weights().config.to_dict()
    config = LlavaOnevisionConfig.from_dict(
        {**config, 'vision_config': vision, 'vision_feature_layer': -2, 'vision_feature_select_strategy': 'default'}
    )
    weights = LlavaOnevisionForConditionalGeneration(config)
    weights.generation_config.eos_token_id = WORDS.index('<|im_end|>')
    return weights


def test_without_a_processor_it_goes_by_the_tower(folder):
    np.testing.assert_allclose(show(folder), FRAME / 127.5 - 1, atol=1e-6)
    assert 'No processor configuration' in load(folder).notes
    clip_weights().save_pretrained(folder)
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    np.testing.assert_allclose(show(folder), (FRAME / 255 - mean) / std, atol=1e-5)
    stream = open_stream(load(folder))
    for frame in moving_square(2):
        stream.see(frame, 0)
    assert torch.isfinite(kept(stream)[0]).all()


# ---------------------------------------------------------------- checkpoints that are whole


def tie(folder):
    edit(folder, tie_word_embeddings=True)
    drop('language_model.lm_head')(folder)


WHOLE = {
    'as saved': lambda folder: None,
    'in several files': lambda folder: shard(folder),
    'tied head': tie,
    'without the last norm of the tower': drop(TOWER + 'post_layernorm'),
    'without a layer not run': lambda f: (edit(f, vision_feature_layer=-2), drop(TOWER + 'encoder.layers.2')(f)),
    'with a layer not run': put(TOWER + 'encoder.layers.3.mlp.fc1.bias', torch.zeros(64)),
    'with a head of the tower': put(TOWER + 'head.probe', torch.zeros(2)),
    'longer by yarn': of(
        edit,
        text={
            'rope_parameters': {
                'rope_type': 'yarn',
                'rope_theta': 1e4,
                'factor': 2.0,
                'original_max_position_embeddings': 200,
            }
        },
    ),
    'trained as it is run': of(edit, mm_newline_position='one_token', mm_spatial_pool_mode='bilinear'),
}


@pytest.mark.parametrize('change', WHOLE)
def test_a_whole_checkpoint_is_loaded(folder, change):
    WHOLE[change](folder)
    processor()(folder)
    model = load(folder)
    stream = open_stream(model)
    for frame in moving_square(2):
        stream.see(frame, 0)
    assert model.notes == '' and torch.isfinite(kept(stream)[0]).all()


def test_weights_that_are_left_out_are_reported(folder):
    put('audio_tower.weight', torch.zeros(2))(folder)
    assert 'audio_tower.weight' in load(folder).notes


@pytest.mark.parametrize('sign', ['name', 'origin'])
def test_a_llava_video_is_known_by_its_name(folder, sign):
    if sign == 'name':
        folder = folder.rename(folder.parent / 'LLaVA-Video-7B-Qwen2-hf')
    else:
        edit(folder, _name_or_path='lmms-lab/LLaVA-Video-7B-Qwen2')
    assert 'newline behind each row' in load(folder).notes


def test_the_embedded_model_loads_quickly():
    load_model(Settings({'model.device': 'cpu'}))
    start = time.perf_counter()
    model = load_model(Settings({'model.device': 'cpu'}))
    assert time.perf_counter() - start < 5 and model.chat.behind == SUFFIX and 'synthetic world' in model.notes


# ---------------------------------------------------------------- what stc.json says

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }} {% for c in m['content'] %}"
    "{% if c['type'] == 'video' %}<video>{% else %}what {{ c['text'] }}{% endif %}{% endfor %}"
    '<|im_end|>{% endfor %}'
    '{% if add_generation_prompt %}<|im_start|>assistant{% endif %}'
)


def test_the_chat_format_can_be_changed(folder):
    chat = load(folder).chat
    ids = chat.tokenizer.convert_tokens_to_ids
    assert (chat.before, chat.behind) == (PREFIX, SUFFIX)
    stc(chat={'prefix': '<|im_start|>user', 'suffix': 'what {question} ? <|im_end|>'})(folder)
    chat = load(folder).chat
    assert chat.prefix() == ids(['<|im_start|>', 'user'])
    assert chat.suffix('is red') == ids(['what', 'is', 'red', '?', '<|im_end|>'])
    assert chat.suffix('<|im_end|>')[1:-2] != ids(['<|im_end|>'])  # in a question it is no special token
    stc(chat='template')(folder)
    for name, content in (('chat_template.jinja', TEMPLATE), ('chat_template.json', {'chat_template': TEMPLATE})):
        write(folder, name, content)
        chat = load(folder).chat
        assert chat.prefix() == ids(['<|im_start|>', 'user'])
        assert chat.suffix('is red') == ids(['what', 'is', 'red', '<|im_end|>', '<|im_start|>', 'assistant'])
        (folder / name).unlink()


def test_the_range_of_positions_can_be_bounded(folder):
    assert load(folder).decoder.max_positions == 400
    stc(max_positions=100)(folder)
    model = load(folder)
    stream = open_stream(model, Settings({'cacher.method': 'none', 'pruner.method': 'none'}))
    for i, frame in enumerate(moving_square(20)):
        stream.see(frame, i)
    assert model.decoder.max_positions == 100 and stream.memory.sinks + stream.memory.tokens <= 80
