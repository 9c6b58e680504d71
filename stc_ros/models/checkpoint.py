"""A checkpoint's files: where they lie, and what is wrong with them that can be found before any weight is read.

Only JSON, tokenizer files and safetensors are read; nothing that came with a checkpoint is ever executed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from stc_ros.models.base import ModelError

EXAMPLE = 'llava-hf/llava-onevision-qwen2-0.5b-ov-hf'
WEIGHTS, INDEX = 'model.safetensors', 'model.safetensors.index.json'
ABOUT = ('*.json', '*.jinja', '*.txt', '*.model')  # what is asked of a hub before its gigabytes
JSON_FILES = (
    'config.json',
    'generation_config.json',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'processor_config.json',
    'preprocessor_config.json',
    'video_preprocessor_config.json',
)
TOKENIZERS = ('tokenizer.json', 'vocab.json', 'tokenizer.model')  # one of them holds the vocabulary
LARGEST = 16 << 20  # bytes of a file that describes a model; of a vocabulary eight times as many
LONGEST_HEADER = 100_000_000  # bytes of a safetensors header, as its own readers allow
POINTER = b'version https://git-lfs'
AGAIN = 'download it again, completely'


def find_folder(source: str) -> Path:
    """A hub id or local folder -> a folder, which of a hub's model lacks the weights yet. Raises `ModelError`."""
    try:
        local = Path(source).expanduser()
        if local.exists():
            if not (local / 'config.json').is_file():
                raise ModelError(f'{local} is no model folder: it holds no config.json')
            return local
    except ModelError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # no such home, no permission, a name that cannot be one
        raise ModelError(f'{source!r} cannot be a model folder: {error}; give another') from None
    if source.startswith(('/', '.', '~')) or source.count('/') != 1:
        raise ModelError(f'there is no model folder {local}; give an existing folder, or a hub id such as {EXAMPLE}')
    return _download(source, ABOUT)


def find_family(source: str, folder: Path, known: tuple[str, ...]) -> str:
    """The model_type in its config.json. Raises `ModelError` for one that is not `known`."""
    kind = read_json(folder / 'config.json').get('model_type')
    if kind in known:
        return kind
    said = f'names the model_type {kind!r}' if kind else 'names no model_type'
    raise ModelError(
        f'{source} is of no model family that can be run: its config.json {said}; supported are '
        f"{', '.join(map(repr, known))}. Take a checkpoint in transformers' format, such as {EXAMPLE}"
    )


def find_weights(source: str, folder: Path) -> int:
    """See that `folder` holds `source`'s tokenizer and weights; download those of a hub -> how many numbers.

    Raises `ModelError`.
    """
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise ModelError(f'{source} holds no {TOKENIZERS[0]}: without its tokenizer it is not complete, {AGAIN}')
    for name in TOKENIZERS:
        _refuse_pointer(folder / name)
    if not Path(source).expanduser().exists():
        _download(source, (*ABOUT, 'model*.safetensors'), revision=folder.name)  # the folder's name is its commit
    if (folder / 'adapter_config.json').is_file():
        raise ModelError(
            f'{source} holds an adapter (adapter_config.json): merge it into its model first, with '
            "peft's merge_and_unload, and save that"
        )
    if (folder / WEIGHTS).is_file():
        shards = [WEIGHTS]
    elif (folder / INDEX).is_file():
        shards = _list_shards(folder)
    else:
        others = sorted(p.name for kind in ('*.bin', '*.pt', '*.pth', '*.gguf') for p in folder.glob(kind))
        held = f'only {others[0]}, ' if others else ''
        raise ModelError(
            f'{source} holds no {WEIGHTS}, {held}and only safetensors are read, since pickled weights can '
            "execute code: is it complete? If so, save it with transformers' save_pretrained"
        )
    return sum(_count_numbers(folder / name) for name in shards)


def read_files(folder: Path) -> dict:
    """config.json's content, when all that describes the model can be read and brings no code. Raises `ModelError`."""
    for pattern in ABOUT:
        for path in folder.glob(pattern):
            _refuse_large(path, (8 if path.name in TOKENIZERS else 1) * LARGEST)
    contents = {name: read_json(folder / name) for name in JSON_FILES if (folder / name).is_file()}
    for name, content in contents.items():
        if _has(content, 'auto_map'):
            raise ModelError(
                f'{folder} brings Python code of its own (auto_map in {name}), which is never executed: '
                'take a checkpoint that was converted for transformers, without remote code'
            )
    return contents['config.json']


def read_processor(folder: Path) -> tuple[dict | None, str]:
    """How frames become pixels, and the file that says so; (None, '') where none does. Raises `ModelError`.

    The first of these is taken whole, as transformers 5 takes it for videos: what processor_config.json holds for
    videos, video_preprocessor_config.json, preprocessor_config.json. Before the last comes video_processor/, where
    conversions of 2024 put theirs, and behind it what processor_config.json holds for images.
    """
    nested = read_json(folder / 'processor_config.json') if (folder / 'processor_config.json').is_file() else {}
    for name, part in (
        ('processor_config.json', 'video_processor'),
        ('video_preprocessor_config.json', ''),
        ('video_processor/preprocessor_config.json', ''),
        ('preprocessor_config.json', ''),
        ('processor_config.json', 'image_processor'),
    ):
        if part and part in nested:
            if not isinstance(nested[part], dict):
                raise ModelError(f'"{part}" in {folder / name} is no JSON object; {AGAIN}')
            return nested[part], f'{name} ({part})'
        if not part and (folder / name).is_file():
            return read_json(folder / name), name
    return None, ''


def read_json(path: Path) -> dict:
    """A JSON object. Raises `ModelError`."""
    _refuse_pointer(path)
    _refuse_large(path, LARGEST)
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f'{path} is not valid JSON ({error}): correct it, or {AGAIN}') from None
    if not isinstance(content, dict):
        raise ModelError(f'{path} must hold a JSON object, not {type(content).__name__}: correct it, or {AGAIN}')
    return content


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _download(source: str, patterns: tuple[str, ...], revision: str | None = None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:  # the hub raises a dozen types for what is one thing to a user
        raise ModelError(
            f'cannot get {source} from the hub: {first_line(error)} (is the name right, is there a '
            'network, and, for a gated model, has `hf auth login` been done?)'
        ) from error


def _list_shards(folder: Path) -> list[str]:
    places = read_json(folder / INDEX).get('weight_map')
    if not isinstance(places, dict) or not places or not all(isinstance(p, str) for p in places.values()):
        raise ModelError(f'{folder / INDEX} names no files (weight_map): {AGAIN}')
    shards = sorted(set(places.values()))
    if missing := [name for name in shards if Path(name).name != name or not (folder / name).is_file()]:
        raise ModelError(
            f'{folder} lacks {", ".join(missing)}, {len(missing)} of the {len(shards)} files that hold '
            f'its weights: {AGAIN}'
        )
    return shards


def _count_numbers(path: Path) -> int:
    """A safetensors file begins with the length of its header, which tells each tensor's shape and place."""
    _refuse_pointer(path)
    size = path.stat().st_size
    try:
        with path.open('rb') as file:
            length = int.from_bytes(file.read(8), 'little')
            tensors = json.loads(file.read(length)) if 0 < length <= min(size - 8, LONGEST_HEADER) else {}
        tensors.pop('__metadata__', None)
        ends = [tensor['data_offsets'][1] for tensor in tensors.values()]
        count = sum(math.prod(tensor['shape']) for tensor in tensors.values())
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelError(f'{path} is no readable safetensors file ({first_line(error)}): {AGAIN}') from None
    if not ends or 8 + length + max(ends) != size:
        promised = 8 + length + max(ends, default=0)
        raise ModelError(f'{path} is damaged, it has {size} bytes where its header needs {promised}: {AGAIN}')
    return count


def _refuse_large(path: Path, most: int) -> None:
    """Before any of it is read."""
    if path.is_file() and (size := path.stat().st_size) > most:
        raise ModelError(f'{path} has {size >> 20} MiB, where at most {most >> 20} MiB are read: {AGAIN}')


def _refuse_pointer(path: Path) -> None:
    if path.is_file():
        with path.open('rb') as file:
            if file.read(len(POINTER)) == POINTER:
                raise ModelError(f'{path} is only a Git LFS pointer: run git lfs pull in its folder')


def _has(content, key: str) -> bool:
    """Whether `key`, of any value but null, stands anywhere in it."""
    if isinstance(content, dict):
        return content.get(key) is not None or any(_has(v, key) for v in content.values())
    return isinstance(content, list) and any(_has(v, key) for v in content)


def read_template(folder: Path) -> str | None:
    """The chat template of chat_template.json, as transformers 4 wrote it for processors; others the tokenizer has."""
    old = folder / 'chat_template.json'
    if (folder / 'chat_template.jinja').is_file() or not old.is_file():
        return None
    template = read_json(old).get('chat_template')
    return template if isinstance(template, str) else None
