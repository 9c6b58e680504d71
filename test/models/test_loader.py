"""The loader refuses what would not run as it was trained, and says why."""

import re
import shutil

import pytest
import torch
import transformers
from checkpoints import (
    PROJECTOR,
    TEXT,
    TOWER,
    bring_a_tokenizers_code,
    bring_code,
    drop,
    edit,
    edit_json,
    forget_chatml,
    load,
    lose_a_shard,
    more_words,
    of,
    pickle,
    processor,
    put,
    shard,
    spoil,
    stc,
    text,
    text_only,
    truncate,
    truncate_header,
    write,
)

from stc_ros.models.base import ModelError

SUCH = 'such as llava-hf/'
AGAIN = 'download it again'
CASES = {  # what is done to a good checkpoint: words of the cause, words of the remedy
    'no projector': (drop(PROJECTOR), 'lacks weights, 4 of its projector', 'Download it again'),
    'half a projector': (drop(PROJECTOR + 'linear_2.bias'), 'lacks weights, 1 of its projector', 'again'),
    'no tower': (drop(TOWER), r'\d\d of its vision tower \(model.vision_tower.embeddings', 'Download it again'),
    'no layer of the tower': (drop(TOWER + 'encoder.layers.1.'), '16 of its vision tower', 'convert it again'),
    'no language model': (drop('language_model.'), r'of its language model', 'Download it again'),
    'no layer of the language model': (drop(TEXT + 'layers.2.'), 'of its language model', 'convert it again'),
    'no embeddings': (drop(TEXT + 'embed_tokens'), '1 of its language model', 'again'),
    'no head': (drop('language_model.lm_head'), r'1 of its language model \(lm_head.weight\)', 'again'),
    'no newline': (drop('image_newline'), '1 of its newline', 'again'),
    'other sizes of weights': (
        put(PROJECTOR + 'linear_1.weight', torch.zeros(48, 16)),
        r'1 of its projector .*\[48, 16\] where \[48, 32\]',
        'config.json that belongs to them',
    ),
    'a wider tower than its weights': (of(edit, vision={'hidden_size': 64}), 'contradict config', 'belongs to them'),
    'a smaller vocabulary than its weights': (of(edit, text={'vocab_size': 40}), 'contradict', 'belongs to them'),
    'more layers than its config': (
        of(edit, text={'num_hidden_layers': 2, 'layer_types': ['full_attention'] * 2}),
        'for which config.json has no place, 12 of its language model',
        'belongs to them',
    ),
    'a far larger config': (
        of(edit, text={'hidden_size': 2048, 'intermediate_size': 200_000}),
        'at least 3.7 billion weights, of which 0.0 are there',
        'config.json that belongs',
    ),
    'a third projector layer': (put(PROJECTOR + 'linear_3.weight', torch.zeros(2)), '1 of its projector', 'belongs to'),
    'nan': (spoil(PROJECTOR + 'linear_1.bias', float('nan')), 'weights are not finite, 1 of its projector', AGAIN),
    'infinity': (spoil(TOWER + 'encoder.layers.0.mlp.fc1.weight', float('inf')), 'not finite, 1 of its vision', AGAIN),
    'truncated': (truncate, r'model.safetensors is damaged, it has \d+ bytes where its header needs', AGAIN),
    'truncated in its header': (truncate_header, 'model.safetensors is damaged', AGAIN),
    'no safetensors': (text('model.safetensors', 'hello'), 'model.safetensors is damaged', AGAIN),
    'empty weights': (text('model.safetensors', ''), 'model.safetensors is damaged', AGAIN),
    'lfs pointer': (text('model.safetensors', 'version https://git-lfs.github.com/spec/v1\n'), 'Git LFS', 'lfs pull'),
    'lost shard': (lose_a_shard, r'lacks model-00002-of-\d+.safetensors, 1 of the', AGAIN),
    'index of nothing': (lambda f: (shard(f), write(f, 'model.safetensors.index.json', {})), 'names no files', AGAIN),
    'no weights': (lambda f: (f / 'model.safetensors').unlink(), 'holds no model.safetensors', 'is it complete'),
    'pickled': (pickle, 'only pytorch_model.bin, and only safetensors', 'save_pretrained'),
    'adapter': (text('adapter_config.json', {'peft_type': 'LORA'}), 'adapter', 'merge'),
    **{
        kind: (of(edit, model_type=kind), f"model_type '{kind}'", SUCH)
        for kind in ('llava', 'llava_next', 'llava_next_video', 'qwen2_vl', 'video_llava', 'llava_onevision1_5')
    },
    'text only': (text_only, "model_type 'qwen2'", SUCH),
    'no model_type': (of(edit, model_type=None), 'names no model_type', SUCH),
    'siglip2': (of(edit, vision={'model_type': 'siglip2_vision_model'}), "'siglip2_vision_model'", SUCH),
    'llama': (of(edit, text={'model_type': 'llama'}), "language model of the model_type 'llama'", SUCH),
    'recurrent': (of(edit, text={'model_type': 'qwen3_next'}), "'qwen3_next'", SUCH),
    'no text_config': (lambda f: edit_json(f, 'config.json', lambda c: c.pop('text_config')), 'text_config', SUCH),
    'sliding': (
        of(edit, text={'use_sliding_window': True, 'sliding_window': 16, 'max_window_layers': 1, 'layer_types': None}),
        'sliding_attention',
        'only full_attention',
    ),
    'linear attention': (
        of(edit, text={'layer_types': ['linear_attention'] + ['full_attention'] * 2}),
        'linear_attention',
        'only full_attention',
    ),
    'another activation': (of(edit, text={'hidden_act': 'gelu'}), "'gelu'", 'only silu'),
    'dynamic rotation': (
        of(edit, text={'rope_parameters': {'rope_type': 'dynamic', 'rope_theta': 1e4, 'factor': 2.0}}),
        "rope_type 'dynamic'",
        'another checkpoint',
    ),
    'quantised': (
        of(edit, quantization_config={'quant_method': 'awq', 'bits': 4}),
        'saved quantised .awq.',
        'bfloat16',
    ),
    'grid of newlines': (of(edit, mm_newline_position='grid'), "mm_newline_position 'grid'", SUCH),
    'code': (bring_code, 'auto_map in config.json.*never executed', 'without remote code'),
    "a tokenizer's code": (bring_a_tokenizers_code, 'auto_map in tokenizer_config.json', 'without remote code'),
    'several vision layers': (of(edit, vision_feature_layer=[-2, -1]), 'several vision layers', SUCH),
    'a layer too far': (of(edit, vision_feature_layer=-5), 'vision_feature_layer -5 is none of', 'Correct it'),
    'no such selection': (of(edit, vision_feature_select_strategy='default'), 'does not fit a siglip', "'full' does"),
    'heads that do not divide': (
        of(edit, text={'num_attention_heads': 5}),
        'hidden_size 48 .* cannot be divided',
        'Correct it',
    ),
    'patches larger than the image': (of(edit, vision={'image_size': 3}), 'image_size 3 is less', 'Correct it'),
    'image_size as a list': (of(edit, vision={'image_size': [24, 24]}), 'image_size', 'Correct it'),
    'a size in words': (of(edit, text={'hidden_size': 'wide'}), 'hidden_size', 'Correct it'),
    'too few positions': (of(edit, text={'max_position_embeddings': 20}), 'max_position_embeddings', 'correct it'),
    'two words with one id': (
        lambda f: edit_json(f, 'tokenizer.json', lambda c: c['model']['vocab'].update(left=8)),
        'gives an id to two tokens',
        'tokenizer that belongs',
    ),
    "another model's tokenizer": (of(edit, video_token_index=7), 'not 7 to <video>', 'tokenizer that belongs'),
    'more words than embeddings': (more_words, r'ids up to \d+, its language model only', 'tokenizer that belongs'),
    'no chatml': (forget_chatml, 'does not know .*im_start', 'give its "chat" format in stc.json'),
    'no tokenizer': (lambda f: (f / 'tokenizer.json').unlink(), 'holds no tokenizer.json', AGAIN),
    'broken tokenizer': (text('tokenizer.json', '{"model": '), 'cannot read the tokenizer', AGAIN),
    'no end': (
        lambda f: (
            forget_chatml(f),
            write(f, 'generation_config.json', {'eos_token_id': None}),
            stc(chat={'prefix': 'user', 'suffix': '{question}'})(f),
        ),
        'eos_token_id',
        'give the id',
    ),
    'end in words': (text('generation_config.json', {'eos_token_id': 'end'}), 'eos_token_id', 'give the id|complete'),
    **{
        f'{said} in {name}': (text(name, content), f'{name} {says}', 'correct it, or download')
        for name in (
            'config.json',
            'generation_config.json',
            'tokenizer_config.json',
            'processor_config.json',
            'video_preprocessor_config.json',
            'video_processor/preprocessor_config.json',
            'stc.json',
        )
        for said, content, says in (('nothing', '', 'is not valid JSON'), ('a list', '[1]', 'must hold a JSON object'))
    },
    'half a config': (text('config.json', '{"model_type": "llava_on'), 'config.json is not valid JSON', 'correct it'),
    'a processor of nothing': (text('processor_config.json', {'video_processor': None}), '"video_processor"', AGAIN),
    'another size': (
        processor(size={'height': 30, 'width': 24}),
        'size is 30 x 24, but the tower takes 24 x 24',
        'correct the wrong one',
    ),
    'another number as size': (processor(size=384), 'size is 384 x 384', 'correct the wrong one'),
    'a size by one edge': (processor(size={'shortest_edge': 24}), "size is {'shortest_edge': 24}", 'write {"height"'),
    'a crop': (processor(do_center_crop=True, crop_size={'height': 20, 'width': 20}), 'do_center_crop', 'set it to'),
    'no resize': (processor(do_resize=False), 'do_resize is false', 'set it to true'),
    'lanczos': (processor(resample=1), 'resample 1 is not supported', 'choose 2'),
    'no mean': (processor(image_mean=None), 'image_mean is None', 'write them'),
    'a mean in words': (processor(image_mean=['a', 'b', 'c']), 'image_mean is', 'write them'),
    'no deviation': (processor(image_std=[0.5, 0, 0.5]), 'image_std is', 'correct it'),
    'a factor in words': (processor(rescale_factor='1/255'), "rescale_factor is '1/255'", 'correct it'),
    'a switch in words': (processor(do_normalize='no'), "do_normalize is 'no'", 'true or false'),
    'certainty in words': (stc(certainty='high'), '"certainty" in stc.json must be a number from 0 to 1', 'correct it'),
    'certainty above 1': (stc(certainty=40), '"certainty"', 'correct it'),
    'frames in words': (stc(frames='x'), '"frames" in stc.json must be a list of whole numbers', 'correct it'),
    'frames in parts': (stc(frames=[8.5]), '"frames" in stc.json', 'correct it'),
    'one question': (stc(questions='what ?'), '"questions" in stc.json must be a list', 'correct it'),
    'narration as a list': (stc(narration=['what ?']), '"narration" in stc.json must be a text', 'correct it'),
    'a bad pattern': (stc(event='it (fell'), '"event" in stc.json is no regular expression', 'correct it'),
    'an unknown key': (stc(narations='x'), "unknown key 'narations'", 'remove or correct it'),
    'half a chat': (stc(chat={'prefix': 'user'}), '"chat" in stc.json must be "template"', 'correct it'),
    'a chat without question': (
        stc(chat={'prefix': 'user', 'suffix': 'assistant'}),
        'must hold {question} once',
        'correct "chat"',
    ),
    'a chat of nothing': (stc(chat={'prefix': '', 'suffix': '{question}'}), 'no token before the first', '"prefix"'),
    'no template': (stc(chat='template'), 'there is none', 'prefix and a suffix'),
    'a template without video': (
        lambda f: (stc(chat='template')(f), write(f, 'chat_template.jinja', "{{ messages[0]['content'][1]['text'] }}")),
        '<video> 0 times',
        'a prefix and',
    ),
    'a template for text': (
        lambda f: (stc(chat='template')(f), write(f, 'chat_template.jinja', "{{ 'user ' + messages[0]['content'] }}")),
        'cannot show a video',
        'a prefix',
    ),
    'too many positions': (stc(max_positions=4000), '"max_positions" in stc.json is 4000', 'write a number from'),
    'hardly any positions': (stc(max_positions=12), '"max_positions" in stc.json is 12', 'write a number from'),
}


@pytest.fixture
def folder(toy, tmp_path):
    return shutil.copytree(toy, tmp_path / 'model')


@pytest.mark.parametrize('case', CASES)
def test_it_is_refused_with_cause_and_remedy(folder, case):
    damage, cause, remedy = CASES[case]
    if case == 'two words with one id' and transformers.__version__.startswith('5.17.'):
        pytest.skip('of such words this transformers loses one before anybody sees both')
    damage(folder)
    with pytest.raises(ModelError, match=cause) as refusal:
        load(folder)
    message = str(refusal.value)
    assert re.search(remedy, message), message
    assert str(folder) in message and '\n' not in message and len(message) < 700


def test_weights_too_large_for_float16_are_refused(folder):
    put(PROJECTOR + 'linear_1.bias', torch.full((48,), 1e6))(folder)
    assert load(folder).dtype == torch.float32
    with pytest.raises(ModelError, match='does not fit float16.*set model.dtype to bfloat16'):
        load(folder, **{'model.dtype': 'float16'})


def test_a_name_that_is_no_path_is_reported():
    with pytest.raises(ModelError, match='cannot be a model folder'):
        load('~nobody-of-this-name/model')


def test_of_a_hub_the_weights_come_last(folder, monkeypatch):
    asked = []

    def download(source, allow_patterns, revision=None):
        asked.append((source, revision, any('safetensors' in p for p in allow_patterns)))
        return str(folder)

    monkeypatch.setattr('huggingface_hub.snapshot_download', download)
    assert load('some/model').name == 'some/model'
    assert asked == [('some/model', None, False), ('some/model', folder.name, True)]
    edit(folder, model_type='llava_next')
    with pytest.raises(ModelError, match="some/model is of no model family that can be run.*'llava_next'"):
        load('some/model')
    assert len(asked) == 3 and not asked[-1][-1]


def test_a_hub_that_does_not_answer_is_reported(monkeypatch):
    def download(*_, **__):
        raise OSError('no route\nto host')

    monkeypatch.setattr('huggingface_hub.snapshot_download', download)
    with pytest.raises(ModelError, match='cannot get some/model from the hub: no route .is the name right'):
        load('some/model')
