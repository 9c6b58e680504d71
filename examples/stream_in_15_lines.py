"""Frames in, an answer out, without ROS: python examples/stream_in_15_lines.py [VIDEO]"""

import sys

from stc_ros.io.video import Video
from stc_ros.models import load_model
from stc_ros.stream import open_stream
from stc_ros.synthetic import record

settings = {'prune_ratio': 0.5}  # 'model': 'llava-hf/llava-onevision-qwen2-0.5b-ov-hf' for real pictures
stream = open_stream(load_model(settings), settings)
frames = Video(sys.argv[1]) if sys.argv[1:] else record('busy', seed=7, frames=24).frames  # uint8 [H, W, 3] each
for number, frame in enumerate(frames):
    report = stream.see(frame, round(number / getattr(frames, 'rate', 8.0) * 1e9))  # stamp in ns
    print(f'frame {number}: {report.patches_recomputed:.0f} of {report.patches} patches recomputed,', end=' ')
    print(f'{report.visual_tokens_kept} of {report.visual_tokens} visual tokens kept')
for piece in stream.ask('what is moving ?'):
    print(piece, end='', flush=True)
print()
