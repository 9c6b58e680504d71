"""A checkpoint as a Hugging Face folder that `from_pretrained` loads: weights, configuration, tokenizer, prompts."""

import copy
import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from stc_ros.models.embedded import RECORDED
from stc_ros.models.families import llava_onevision
from stc_ros.self_test import reference_logits
from stc_ros.synthetic.narration import EVENT, PROMPT
from training.tiny.architecture import IMAGE
from training.tiny.tokenizer import save_tokenizer

CERTAINTY = 0.4  # of what is narrated with less probability, more is wrong than right
PROMPTS = {
    'narration': PROMPT,
    'frames': [8, 16, 32],  # what {frames} may be
    'certainty': CERTAINTY,
    'event': EVENT,
    'yes_no': '{condition}',  # its questions are answered with yes or no as they are
    'questions': ['is there a circle ?', 'how many red objects are there ?', 'what entered last ?'],
}
KINDS = ('.json', '.safetensors', '.jinja')  # of the files that are written
PIXELS = {'size': {'height': IMAGE, 'width': IMAGE}, 'resample': 2, 'image_mean': [0.5] * 3, 'image_std': [0.5] * 3}


def export_model(model, folder: Path) -> None:
    """Writes the folder anew, whole or not at all. Raises FileExistsError when it holds anything but a model."""
    if strange := [p.name for p in folder.glob('*') if p.is_dir() or p.suffix not in KINDS]:
        raise FileExistsError(f'{folder} holds {strange[0]}, which writing it anew would delete: name another folder')
    part, old = folder.with_name(folder.name + '.part'), folder.with_name(folder.name + '.old')
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    stored = copy.deepcopy(model).to(torch.bfloat16)  # the numbers that training computed with
    stored.config.text_config.dtype = stored.config.vision_config.dtype = torch.bfloat16
    stored.save_pretrained(part)
    save_tokenizer(part)
    (part / 'stc.json').write_text(json.dumps(PROMPTS, indent=2) + '\n')
    (part / 'preprocessor_config.json').write_text(json.dumps(PIXELS, indent=2) + '\n')
    record(part)
    if folder.exists():
        os.replace(folder, old)
    os.replace(part, folder)
    shutil.rmtree(old, ignore_errors=True)


def record(folder: Path) -> None:
    """Write down what transformers computes of a model, with which the self-test of the embedded one compares."""
    model = llava_onevision.load(str(folder), torch.device('cpu'), torch.float32)
    save_file({'logits': reference_logits(model)}, folder / RECORDED)
