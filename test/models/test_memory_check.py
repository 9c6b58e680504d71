"""A model that does not fit is refused before its weights are read; one that would at other settings says which."""

import json
import shutil

import pytest
import torch
from checkpoints import edit, load

from stc_ros.__main__ import main
from stc_ros.models import checkpoint, load_checkpoint, memory_free
from stc_ros.models.base import ModelError
from stc_ros.models.memory_free import free_on_machine
from stc_ros.models.memory_needed import MIB


@pytest.fixture
def folder(toy, tmp_path):
    return shutil.copytree(toy, tmp_path / 'model')


@pytest.fixture
def free(monkeypatch):
    def set_to(mib):
        monkeypatch.setattr(memory_free, 'free_on', lambda device: None if mib is None else int(mib * MIB))

    return set_to


def test_it_is_refused_before_the_weights_are_looked_at(folder, free, monkeypatch):
    def read(*_):
        raise AssertionError('weights were looked at')

    monkeypatch.setattr(load_checkpoint, 'find_weights', read)
    free(0.1)
    with pytest.raises(ModelError, match=r'needs about \d+ MiB .*weights 0.*and 0 MiB are free: take a smaller model'):
        load(folder)
    free(1000)
    with pytest.raises(AssertionError):  # the control
        load(folder)


def test_what_would_fit_is_said_and_the_model_loaded(folder, free):
    edit(folder, text={'max_position_embeddings': 32768})
    whole = load(folder)
    assert whole.notes == load_checkpoint.NO_PROCESSOR_NOTE
    free(9)
    warned = load(folder)
    assert 'in float32 needs about' in warned.notes and warned.notes.endswith('would fit')
    tokens = int(warned.notes.split('memory.max_tokens:=')[1].split()[0])
    assert load(folder, **{'memory.max_tokens': tokens}).notes == whole.notes
    assert 'would fit' in load(folder, **{'memory.max_tokens': tokens * 2}).notes


def test_memory_that_cannot_be_told_is_no_reason_to_refuse(folder, free):
    free(None)
    assert load(folder)


def test_a_checkpoint_without_sizes_is_refused_by_its_family(folder, free):
    free(1)
    edit(folder, text={'hidden_size': 'wide'})
    with pytest.raises(ModelError, match='config.json contradicts itself|config.json holds what cannot be'):
        load(folder)


MEMINFO = 'MemTotal: 8000000 kB\nMemAvailable: 2097152 kB\nSwapFree: 1048576 kB\n'
CONTAINER = {'/sys/fs/cgroup/memory.max': '1073741824\n', '/sys/fs/cgroup/memory.current': '536870912\n'}
STAT = {'/sys/fs/cgroup/memory.stat': 'anon 1\ninactive_file 134217728\n'}


@pytest.mark.parametrize(
    ('files', 'swap', 'mib'),
    [
        ({}, False, 2048),
        ({}, True, 3072),
        (CONTAINER, False, 512),
        (CONTAINER | STAT, False, 640),
        ({'/sys/fs/cgroup/memory.max': 'max\n', '/sys/fs/cgroup/memory.current': '5\n'}, False, 2048),
        ({'/proc/meminfo': ''}, False, None),
    ],
)
def test_what_is_free_is_read(files, swap, mib):
    given = {'/proc/meminfo': MEMINFO} | files
    free = free_on_machine(lambda name: given.get(name, ''), swap)
    assert free is None if mib is None else free == mib * MIB


def test_this_machine_has_some_left():
    assert memory_free.free_on(torch.device('cpu')) > 50 * MIB


def test_the_command_lists_families_and_tells_what_one_needs(folder, capsys):
    assert main(['models']) == 0
    said = capsys.readouterr().out
    assert 'llava_onevision' in said and 'arXiv 2408.03326' in said
    assert main(['models', str(folder)]) == 0 and 'it fits in' in capsys.readouterr().out
    assert main(['models', str(folder), '--json']) == 0
    about = json.loads(capsys.readouterr().out)
    assert about['fits'] and about['family'] == 'llava_onevision'
    assert about['visual_tokens'] == 9 and about['mib']['float32']['total'] >= about['mib']['bfloat16']['total']


def test_the_command_says_why_one_is_refused(folder, capsys):
    assert main(['models', str(folder / 'nowhere')]) == 1 and 'refused: there is no model' in capsys.readouterr().out
    from stc_ros.cli_models import examine
    from stc_ros.settings import Settings

    settings = Settings({'model.device': 'cpu'})
    assert 'refused' not in examine(str(folder), settings)
    (folder / 'model.safetensors').unlink()
    assert 'holds no model.safetensors' in examine(str(folder), settings)['refused']
    edit(folder, model_type='qwen2_vl')
    assert "'qwen2_vl'" in examine(str(folder), settings)['refused']
    assert 'no model folder' in examine(str(folder / 'nowhere'), settings)['refused']


def test_of_a_hub_only_what_describes_a_model_is_downloaded(folder, monkeypatch):
    from stc_ros.cli_models import examine
    from stc_ros.settings import Settings

    (folder / 'model.safetensors').unlink()
    asked = []
    monkeypatch.setattr(checkpoint, '_download', lambda source, patterns, **_: asked.append(patterns) or folder)
    about = examine('some/model', Settings({'model.device': 'cpu'}))
    assert about['fits'] and asked == [checkpoint.ABOUT]
