"""A model folder is data: nothing in it is executed, and nothing in it is read that is larger than it can be."""

import json
import os
import pickle
import shutil

import pytest
import torch
from checkpoints import edit_json, load, stc, write
from transformers import AutoTokenizer

from stc_ros.models.base import ModelError
from stc_ros.models.checkpoint import LARGEST

MAPS = {
    'config.json': {'AutoConfig': 'evil.Evil', 'AutoModel': 'evil.Evil', 'AutoModelForCausalLM': 'evil.Evil'},
    'tokenizer_config.json': {'AutoTokenizer': ['evil.Evil', 'evil.Evil']},
    'processor_config.json': {'AutoProcessor': 'evil.Evil'},
    'preprocessor_config.json': {'AutoImageProcessor': 'evil.Evil', 'AutoProcessor': 'evil.Evil'},
    'video_preprocessor_config.json': {'AutoVideoProcessor': 'evil.Evil'},
    'video_processor/preprocessor_config.json': {'AutoVideoProcessor': 'evil.Evil'},
    'generation_config.json': {'AutoModel': 'evil.Evil'},
    'special_tokens_map.json': {'AutoTokenizer': ['evil.Evil', None]},
}


@pytest.fixture
def folder(toy, tmp_path):
    return shutil.copytree(toy, tmp_path / 'model')


@pytest.fixture
def trap(folder, tmp_path):
    """A module beside the weights that writes a file as soon as it is imported; whether it has."""
    written = tmp_path / 'executed'
    code = (
        f'import pathlib; pathlib.Path({str(written)!r}).write_text("!")\n'
        'from transformers import PreTrainedTokenizerFast\n'
        'class Evil(PreTrainedTokenizerFast):\n    pass\n'
    )
    (folder / 'evil.py').write_text(code)
    (folder / 'custom_generate').mkdir()
    (folder / 'custom_generate' / 'generate.py').write_text(code)
    return written.exists


def bring(folder, name):
    if (folder / name).is_file():
        edit_json(folder, name, lambda c: c.update(auto_map=MAPS[name]))
    else:
        write(folder, name, {'auto_map': MAPS[name]})
    if name == 'tokenizer_config.json':
        edit_json(folder, name, lambda c: c.update(tokenizer_class='Evil'))


@pytest.mark.parametrize('name', MAPS)
def test_code_that_a_folder_brings_is_not_executed(folder, trap, name):
    load(folder)  # with the code lying there, but nobody naming it
    bring(folder, name)
    try:
        load(folder)
    except ModelError as error:
        assert 'auto_map' in str(error) or 'preprocessor_config.json' in str(error)
    assert not trap()


def test_the_trap_would_go_off(folder, trap):
    """The control: what transformers does where remote code is trusted."""
    bring(folder, 'tokenizer_config.json')
    AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    assert trap()


def test_remote_code_is_refused_wherever_transformers_is_called(folder, trap, monkeypatch):
    from transformers import LlavaOnevisionForConditionalGeneration as Model

    asked = []
    for cls in (AutoTokenizer, Model):
        real = cls.from_pretrained
        spy = lambda *a, real=real, **k: asked.append(k) or real(*a, **k)  # noqa: E731
        monkeypatch.setattr(cls, 'from_pretrained', spy)
    load(folder)
    assert len(asked) == 2
    assert all(k['trust_remote_code'] is False and k['local_files_only'] is True for k in asked)
    assert asked[1]['use_safetensors'] is True


class Bomb:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f'touch {self.file}',)


@pytest.mark.parametrize('name', ['pytorch_model.bin', 'model.pt', 'consolidated.00.pth'])
def test_pickled_weights_are_refused_unread(folder, tmp_path, name):
    (folder / 'model.safetensors').unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / 'executed')))
    with pytest.raises(ModelError, match=f'only {name}, and only safetensors are read.*save_pretrained'):
        load(folder)
    assert not (tmp_path / 'executed').exists()
    with open(folder / name, 'rb') as file:  # the control
        pickle.load(file)
    assert (tmp_path / 'executed').exists()


def test_a_pickle_beside_safetensors_is_not_read(folder, tmp_path):
    (folder / 'pytorch_model.bin').write_bytes(pickle.dumps(Bomb(tmp_path / 'executed')))
    assert load(folder) and not (tmp_path / 'executed').exists()


@pytest.mark.parametrize(
    ('name', 'size'),
    [
        ('config.json', LARGEST + 1),
        ('stc.json', LARGEST + 1),
        ('generation_config.json', LARGEST + 1),
        ('chat_template.jinja', LARGEST + 1),
        ('added_tokens.json', LARGEST + 1),
        ('tokenizer.json', 8 * LARGEST + 1),
        ('vocab.txt', LARGEST + 1),
    ],
)
def test_a_file_that_is_too_large_is_refused_unread(folder, name, size):
    with (folder / name).open('wb') as file:
        file.truncate(size)  # takes no space
    with pytest.raises(ModelError, match=rf'{name} has \d+ MiB, where at most'):
        load(folder)


@pytest.mark.parametrize('length', [2**63, 2**40, 10**9, 0])
def test_a_header_that_lies_about_its_length_is_refused(folder, length):
    data = (folder / 'model.safetensors').read_bytes()
    (folder / 'model.safetensors').write_bytes(length.to_bytes(8, 'little') + data[8:])
    with pytest.raises(ModelError, match='model.safetensors is damaged'):
        load(folder)


@pytest.mark.parametrize('name', ['../outside.safetensors', '/etc/passwd', 'sub/model.safetensors'])
def test_an_index_names_no_file_outside_of_the_folder(folder, name):
    (folder / 'model.safetensors').rename(folder.parent / 'outside.safetensors')
    write(folder, 'model.safetensors.index.json', {'weight_map': {'lm_head.weight': name}})
    with pytest.raises(ModelError, match='lacks'):
        load(folder)


def test_json_that_nests_without_end_is_refused(folder):
    (folder / 'stc.json').write_text('[' * 200_000)
    with pytest.raises(ModelError, match='stc.json is not valid JSON'):
        load(folder)


WRONG = [None, True, 7, -1.5, 'x', [], ['x', 3], {}, {'a': 'b'}, [[]], 'x' * 5000, ['x'] * 5000]
RIGHT = {'narration': ['x'], 'event': ['x'], 'questions': [], 'certainty': [], 'frames': [], 'max_positions': []}


@pytest.mark.parametrize('key', ['narration', 'frames', 'certainty', 'event', 'questions', 'chat', 'max_positions'])
def test_a_wrong_type_in_stc_json_is_refused_when_the_model_is_loaded(folder, key):
    """And not when the worker comes to its first narration (it died of it once)."""
    for value in WRONG:
        if key in RIGHT and value in RIGHT[key]:
            continue
        stc(**{key: value})(folder)
        with pytest.raises(ModelError, match=f'"{key}" in stc.json') as refusal:
            load(folder)
        assert len(str(refusal.value)) < 700


def test_the_embedded_model_reads_its_stc_json_as_strictly(tmp_path):
    from stc_ros.models import EMBEDDED, embedded

    folder = shutil.copytree(EMBEDDED, tmp_path / 'model', ignore=shutil.ignore_patterns('*.py', '__pycache__'))
    (folder / 'stc.json').write_text(json.dumps({'frames': 'many'}))
    with pytest.raises(ModelError, match='"frames" in stc.json'):
        embedded.load(folder, torch.device('cpu'), torch.float32)
