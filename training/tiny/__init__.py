"""The embedded model: a LLaVA-OneVision of about five million parameters, trained from scratch on synthetic worlds."""

from pathlib import Path

FOLDER = Path(__file__).parent  # config.json, model.safetensors, tokenizer.json, stc.json
