"""The frames that questions are about: of their cameras and times, of other topics' events, of bags that are broken."""

import numpy as np
import pytest
from evaluation.fake_bag import START, FakeBag
from PIL import Image

from stc_ros.evaluation.labelling import Labelling
from stc_ros.evaluation.question_pictures import save_frames
from stc_ros.io.bag_writer import BagWriter
from stc_ros.io.bags import Bag


def test_several_cameras_and_events_of_other_topics(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        for n in range(10):
            stamp = 1_700_000_000 * 10**9 + n * 10**8
            for camera, level in (('/left', 0), ('/right', 200)):
                writer.image(camera, stamp, np.full((32, 32, 3), level + n, np.uint8), 'x', 'jpeg')
            writer.write('/door', 'std_msgs/msg/Bool', stamp + 1, writer.make('std_msgs/Bool', n >= 4))
    text = (
        'questions:\n'
        '  - on: {topic: /door, field: data, equals: true, edge: true}\n'
        '    camera: /right/compressed\n'
        '    question: a ?\n'
        '    proposed: b\n'
        '  - {at: 0.3, camera: /left/compressed, question: c, proposed: d}\n'
        '  - {at: 0.4, camera: /none, question: e, proposed: f}\n'
        '  - {at: 99, camera: /left/compressed, question: g, proposed: h}\n'
    )
    (tmp_path / 'q.yaml').write_text(text)
    with Bag([tmp_path / 'bag']) as bag, Labelling(bag, tmp_path / 'q.yaml') as labelling:
        seen = [
            [Image.open(path).getpixel((9, 9))[0] for _, path in labelling.pictures(row)] for row in labelling.rows()
        ]
        assert seen[0] == pytest.approx([204], abs=2) and seen[1] == pytest.approx([3], abs=2) and not seen[2]
        assert ['no topic /none' in row.problem for row in labelling.rows()] == [False, False, True, False]
        assert 'outside of the bag' in labelling.rows()[3].problem
        labelling.label(0, {'kind': 'contains', 'value': 'x\ny'}, labelling.digest)
        assert (tmp_path / 'q.yaml').read_text() == text.replace('proposed: b', 'expect: {contains: [x, y]}')


def test_of_a_broken_bag_there_is_what_came_before(tmp_path, capsys):
    bag = FakeBag([('/a', n, 40 * n) for n in range(4)], ends='it is cut off')
    found = save_frames(bag, [('/a', START + n * 10**9) for n in (1, 9)], tmp_path)
    kept = {(stamp - START, back): Image.open(path).getpixel((0, 0))[0] for (_, stamp, back), path in found.items()}
    assert kept == {(10**9, 0.0): 40, (10**9, 1.0): 0, (9 * 10**9, 8.0): 40}  # not of 5 s on
    assert 'it is cut off' in capsys.readouterr().err
