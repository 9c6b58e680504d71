"""Trains the embedded model: a LLaVA-OneVision of about five million parameters, from scratch on synthetic worlds."""

from stc_ros.models import EMBEDDED

FOLDER = EMBEDDED  # config.json, model.safetensors, tokenizer.json, stc.json
