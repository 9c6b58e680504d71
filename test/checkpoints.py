"""Ways to damage or change a checkpoint, each a function of its folder, as a user may come by them."""

import json

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from stc_ros.models import load_model
from stc_ros.models.random import WORDS, random_tokenizer, random_weights
from stc_ros.settings import Settings

PROJECTOR, TOWER, TEXT = 'multi_modal_projector.', 'vision_tower.', 'language_model.model.'
MEAN, STD = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
VIDEO = {
    'do_convert_rgb': True,
    'do_normalize': True,
    'do_rescale': True,
    'do_resize': True,
    'do_sample_frames': False,
    'image_mean': MEAN,
    'image_std': STD,
    'resample': 3,
    'rescale_factor': 1 / 255,
    'return_metadata': False,
    'size': {'height': 24, 'width': 24},
    'video_processor_type': 'LlavaOnevisionVideoProcessor',
}


def load(folder, **settings):
    return load_model(Settings({'model.name': str(folder), 'model.device': 'cpu', **settings}))


def edit(folder, **values):
    """In config.json; `text` and `vision` go into their parts, None deletes."""
    edit_json(
        folder,
        'config.json',
        lambda config: (
            config['text_config'].update(values.pop('text', {})),
            config['vision_config'].update(values.pop('vision', {})),
            [config.pop(k, None) if v is None else config.update({k: v}) for k, v in values.items()],
        ),
    )


def edit_json(folder, name, change):
    content = json.loads((folder / name).read_text())
    change(content)
    write(folder, name, content)


def write(folder, name, content):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def rewrite(folder, change):
    """The weights, by name, as `change` makes them."""
    held = load_file(folder / 'model.safetensors')
    save_file(change(held), folder / 'model.safetensors', metadata={'format': 'pt'})


def drop(start):
    return lambda folder: rewrite(folder, lambda w: {k: v for k, v in w.items() if not k.startswith(start)})


def put(key, value):
    return lambda folder: rewrite(folder, lambda w: {**w, key: value(w) if callable(value) else value})


def spoil(key, value):
    def change(held):
        held[key].view(-1)[0] = value
        return held

    return lambda folder: rewrite(folder, change)


def truncate(folder):
    data = (folder / 'model.safetensors').read_bytes()
    (folder / 'model.safetensors').write_bytes(data[:-100])


def truncate_header(folder):
    (folder / 'model.safetensors').write_bytes((folder / 'model.safetensors').read_bytes()[:500])


def shard(folder):
    """The same weights in several files."""
    (folder / 'model.safetensors').unlink()
    random_weights().save_pretrained(folder, max_shard_size='100KB')
    return sorted(folder.glob('model-*.safetensors'))


def lose_a_shard(folder):
    shard(folder)[1].unlink()


def pickle(folder):
    torch.save(load_file(folder / 'model.safetensors'), folder / 'pytorch_model.bin')
    (folder / 'model.safetensors').unlink()


def bring_code(folder):
    edit(folder, auto_map={'AutoModelForCausalLM': 'evil.Model', 'AutoConfig': 'evil.Config'})
    (folder / 'evil.py').write_text('raise SystemExit("executed")')


def bring_a_tokenizers_code(folder):
    edit_json(
        folder,
        'tokenizer_config.json',
        lambda c: c.update(tokenizer_class='Evil', auto_map={'AutoTokenizer': ['evil.Evil', None]}),
    )
    (folder / 'evil.py').write_text('raise SystemExit("executed")')


def forget_chatml(folder):
    kept = {word: i for i, word in enumerate(w for w in WORDS if not w.startswith('<|im_'))}
    core = Tokenizer(models.WordLevel(kept, unk_token='<unk>'))
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token='<unk>').save_pretrained(folder)
    edit(folder, video_token_index=kept['<video>'])


def more_words(folder):
    tokenizer = random_tokenizer()
    tokenizer.add_tokens(['extra', 'words'])
    tokenizer.save_pretrained(folder)


def text_only(folder):
    config = json.loads((folder / 'config.json').read_text())['text_config']
    write(folder, 'config.json', {**config, 'architectures': ['Qwen2ForCausalLM']})


def processor(name='preprocessor_config.json', **values):
    content = {k: v for k, v in {**VIDEO, **values}.items() if v is not None}
    return lambda folder: write(folder, name, content)


def stc(**values):
    return lambda folder: write(folder, 'stc.json', values)


def of(change, **values):
    return lambda folder: change(folder, **values)


def text(name, content):
    return lambda folder: write(folder, name, content)
