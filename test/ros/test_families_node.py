"""Every model family behind the node: a small checkpoint, a camera that shows a clip, a question over DDS."""

import itertools

import pytest
from models import random_families
from robot import picture, robot_fixture  # noqa: F401
from sensor_msgs.msg import Image

from stc_ros.io.video import Video
from stc_ros.models import load_model, model_families
from stc_ros.msg import StreamStats
from stc_ros.stream import open_stream
from stc_ros.synthetic import record
from stc_ros.synthetic.backdrop import CLIPS

FRAMES = 12


def clip():
    """Real pictures where there are some beside the repository, else of a synthetic world."""
    found = sorted(CLIPS.glob('*.mp4'))
    frames = Video(str(found[0]), 160) if found else record('busy', seed=1, frames=FRAMES).frames
    return [frame.copy() for frame in itertools.islice(frames, FRAMES)]


@pytest.mark.parametrize('family', model_families.names())
def test_the_node_starts_on_it_sees_a_clip_and_answers(robot, ros, family, tmp_path):
    random_families.save(family, tmp_path)
    parameters = {'model.name': str(tmp_path), 'model.device': 'cpu', 'memory.max_tokens': 200, 'prune_ratio': 0.5}
    r = robot(lambda settings: open_stream(load_model(settings), settings), **parameters)
    r.until_active()
    stats = r.listen(StreamStats, 'stc_stream/stats', 50)
    camera = ros.node.create_publisher(Image, 'image', 1)
    assert ros.spin_until(lambda: camera.get_subscription_count() > 0)
    for number, frame in enumerate(clip(), 1):
        camera.publish(picture(frame, ros.node.get_clock().now().to_msg()))
        assert ros.spin_until(lambda number=number: len(stats) >= number), number
    assert stats[-1].frames_processed == FRAMES and stats[-1].frames_invalid == 0
    said = r.ask('what is moving ?', max_new_tokens=5)
    assert said.error_code == said.NONE, said.error_msg
    assert said.frames_processed == FRAMES
