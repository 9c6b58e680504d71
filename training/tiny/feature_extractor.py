"""A clip's visual tokens for training: as the plain tower sees them, and as a stream does that reuses features."""

import copy

import numpy as np
import torch

from stc_ros.models.families.llava_onevision import build
from stc_ros.parameters import StreamParameters, cachers
from stc_ros.settings import Settings
from stc_ros.vision.encode import encode_frame
from stc_ros.vision.scene_change import is_cut, thumbnail
from training.tiny import forward
from training.tiny.export import PIXELS
from training.tiny.tokenizer import build_tokenizer


class FeatureExtractor:
    """The tower of a Hugging Face model, which is left as it is, on `device`: plain, and behind the default cacher."""

    def __init__(self, model, device: str):
        model = copy.deepcopy(model).to(device)
        self.weights = {k: v.detach() for k, v in forward.gather_weights(model, prefix='model.').items()}
        self.model = build(model, build_tokenizer(), PIXELS, name='embedded')

    @torch.no_grad()
    def see(self, pixels: np.ndarray) -> torch.Tensor:
        """Visual tokens of frames uint8 [T, S, S, 3]: bfloat16 [T, TOKENS, D]."""
        seen = forward.normalise(torch.from_numpy(pixels).to(self.model.device))
        return forward.project(self.weights, forward.see_patches(self.weights, seen)).cpu()

    @torch.inference_mode()
    def see_late(self, pixels: np.ndarray) -> torch.Tensor:
        """As `see`, in a stream with the default settings, which reuses what has not changed."""
        parameters, cacher, last, rows = StreamParameters(), cachers.create(Settings()['cacher.method']), None, []
        for frame in pixels:
            image = self.model.pixels.resize(frame)
            thumb = thumbnail(image)
            cut, last = is_cut(thumb, last, parameters.scene_change), thumb
            features = encode_frame(self.model, cacher, image, parameters.cache_similarity, refresh=cut)
            rows.append(rows[-1] if features is None else features.tokens.bfloat16().cpu())
        return torch.stack(rows)
