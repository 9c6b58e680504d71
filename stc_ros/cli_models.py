"""List the model families that are run, or tell what a folder or hub id needs, and whether it would be refused.

Of a hub id only the few files that describe it are downloaded, not its weights.

Exit code: 0; 1 where the model is refused, or does not fit into the memory that is free; 2 for settings that are none.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from stc_ros.models.memory_needed import DECIDE
from stc_ros.settings import Settings
from stc_ros.settings_export import add_arguments, from_arguments


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        'models',
        help='list model families, or tell what a model needs',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('model', nargs='?', default='', metavar='FOLDER|ID', help='a model; default: list families')
    parser.add_argument('--json', action='store_true', help='as JSON')
    add_arguments(parser.add_argument_group('settings of the node'), DECIDE)


def run(options: argparse.Namespace) -> int:
    if not options.model:
        found = families()
        print(json.dumps(found, indent=2) if options.json else _list(found))
        return 0
    about = examine(options.model, from_arguments(options))
    print(json.dumps(about, indent=2) if options.json else _tell(about))
    return int(bool(about.get('refused')) or not about.get('fits', True))


def families() -> list[dict[str, str]]:
    """Each that is registered: the model_type of its config.json, what it is, its parts, and where it was published."""
    from stc_ros.models import model_families

    return [
        {'model_type': part.name, 'text': part.text, 'parts': part.scope, 'source': part.source}
        for part in model_families
    ]


def examine(name: str, settings: Settings) -> dict[str, Any]:
    """What a model needs; `refused`: why it would not be loaded."""
    import torch

    from stc_ros.models import model_families, pick_device
    from stc_ros.models.base import ModelError
    from stc_ros.models.checkpoint import find_family, find_folder, find_weights
    from stc_ros.models.memory_free import free_on, too_much
    from stc_ros.models.memory_needed import ITEMSIZE, MIB, reckon

    about: dict[str, Any] = {'model': name}
    try:
        device = pick_device(settings['model.device'])
        folder = find_folder(name)
        about['family'] = find_family(name, folder, model_families.names())
        family = model_families.create(about['family'])
        sizes = family.examine(name, folder)
        if Path(name).expanduser().exists():  # the weights of a hub's are not here
            find_weights(name, folder)
    except ModelError as error:
        return about | {'refused': str(error)}
    dtype = settings['model.dtype']
    if dtype == 'auto':
        dtype = 'float32' if device.type == 'cpu' else 'bfloat16'
    free = free_on(device)
    about |= {
        'weights': sizes.weights,
        'visual_tokens': sizes.visual_tokens,
        'max_positions': sizes.max_positions,
        'device': str(device),
        'dtype': dtype,
        'mib': {each: reckon(sizes, settings, each, device.type).table() for each in ITEMSIZE if each != 'float16'},
        'free_mib': None if free is None else round(free / MIB),
    }
    if device.type == 'cuda':
        about['gpu'] = torch.cuda.get_device_name(device)
    if free is None:
        return about
    _, said = too_much(name, sizes, settings, dtype, device.type, free)
    return about | {'fits': not said, 'memory': said}


def _list(found: list[dict[str, str]]) -> str:
    lines = ['model_type in config.json, and what it is:', '']
    for each in found:
        lines += [f'  {each["model_type"]}', f'      {each["text"]} ({each["parts"]}; {each["source"]})']
    return '\n'.join(
        [
            *lines,
            '',
            'run so far: small models of each with random weights, on CPUs, against transformers; see docs/models.md',
            "without a name: the embedded model, which knows coloured shapes; 'real-eye': it behind a real tower.",
            'what one needs: stc_ros models FOLDER|ID',
        ]
    )


def _tell(about: dict[str, Any]) -> str:
    if why := about.get('refused'):
        return f'refused: {why}'
    parts = ('weights', 'memory', 'answer', 'vision', 'activations', 'runtime', 'total')
    lines = [
        f'{about["model"]}: {about["family"]}, {about["weights"] / 1e6:,.1f} million weights, {about["visual_tokens"]} '
        f'visual tokens a frame, {about["max_positions"]} positions',
        '',
        'MiB, reckoned  ' + ''.join(f'{part:>12}' for part in parts),
        *(f'{dtype:<15}' + ''.join(f'{mib[part]:>12}' for part in parts) for dtype, mib in about['mib'].items()),
        '',
    ]
    free = 'cannot be told' if about['free_mib'] is None else f'{about["free_mib"]} MiB'
    lines.append(f'free on {about["device"]}: {free}')
    if 'fits' in about:
        lines.append(about['memory'] or f'it fits in {about["dtype"]}')
    return '\n'.join(lines)
