"""Tells a sink what was heard of the node, in order of the stream's time, with the bag's pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stc_ros.engine.questions import Error
from stc_ros.evaluation.evaluate import Job, Plan
from stc_ros.evaluation.heard_frame import HeardFrame
from stc_ros.evaluation.realtime_metrics import COUNTS, AskRecord, CameraRecord
from stc_ros.evaluation.replay import to_frame
from stc_ros.evaluation.replay_sink import Asked, Planned, ReplaySink
from stc_ros.io.bags import Bag, BagFrame

if TYPE_CHECKING:
    from stc_ros.ros import player as ros

WATCHED, ASKED, NARRATED, LOGGED = range(4)  # what is told first, of one time


class Teller:
    """`tell` calls the sink, and notes in `cameras` and `asked` what the metrics are made of."""

    def __init__(
        self, bag: Bag, planned: Plan, job: Job, sink: ReplaySink, player: ros.Player, asks: Sequence[ros.Asked]
    ):
        from stc_ros.ros import heard

        self._heard, self._bag, self._planned, self._job, self._sink = heard, bag, planned, job, sink
        self.cameras = {topic: CameraRecord(bag.start_ns, each.sent) for topic, each in player.heard.items()}
        self.asked: list[AskRecord] = []
        self._stats = {
            (topic, heard.header_stamp(data)): (at, data)
            for topic, each in player.heard.items()
            for at, data in each.stats
        }
        self._newest: dict[str, int] = {}  # stamp of each camera's newest frame that can be used
        self._due = sorted(self._entries(player, asks), key=lambda entry: entry[:2])[::-1]
        asked = (entry for entry in self._due if entry[1] == ASKED)
        self._needed = Counter((camera, reply.last_stamp) for _, _, camera, (_, reply, _) in asked)
        self._shown: dict[tuple[str, int], HeardFrame] = {}  # frames that an answer to come rests on

    def tell(self) -> None:
        """Raises what reading the bag raises; what was due until then is told."""
        try:
            for frame in self._bag.frames(self._planned.topics):
                self._until(frame.stamp)
                self._frame(frame)
        finally:
            self._until(None)

    def _entries(self, player: ros.Player, asks: Sequence[ros.Asked]) -> list[tuple[int, int, str, tuple[Any, ...]]]:
        """(stamp, what, camera, the rest) of all but frames. An answer comes behind the newest frame that it knows."""
        found = []
        for planned, ask in zip(self._planned.questions, asks, strict=True):
            reply = self._heard.to_reply(ask.response, self._job.realtime)
            stamp = max(planned.stamp, reply.last_stamp)
            found.append((stamp, ASKED, planned.camera, (planned, reply, ask.seconds)))
        for topic, each in player.heard.items():
            for span, text in map(self._heard.to_narration, each.narrations):
                if text:  # an empty one takes a text back, after a reset
                    found.append((span.last_stamp, NARRATED, topic, (span, text)))
        topics = {camera.name: topic for topic, camera in player.cameras.items()}
        for stamp, camera, name, text in map(self._heard.to_event, player.events):
            found.append((stamp, WATCHED, topics[camera], (stamp, name, text)))
        first = next(iter(player.heard))
        for at, error, text in player.log:
            stamp = self._bag.start_ns + int(at * 1e9)
            found.append((stamp, LOGGED, first, (stamp, *_event(error, text))))
        return found

    def _until(self, stamp: int | None) -> None:
        """Tell what lies before a frame of that stamp; None: all."""
        while self._due and (stamp is None or self._due[-1][0] < stamp):
            _, what, camera, values = self._due.pop()
            (self._sink.event, self._ask, self._sink.narrated, self._sink.event)[what](camera, *values)

    def _frame(self, frame: BagFrame) -> None:
        camera, stamp = frame.topic, frame.stamp
        self._sink.received(camera, stamp)
        self._sink.progress(stamp)
        if frame.picture is None:
            self._sink.invalid(camera, stamp, frame.error_kind, frame.error)
            return
        self._newest[camera] = stamp
        if (camera, stamp) not in self._stats:  # dropped
            return
        at, data = self._stats.pop((camera, stamp))
        stats, record = self._heard.to_stats(data), self.cameras[camera]
        record.done.append((stamp, at))
        record.count(**{name: getattr(stats, f'frames_{name}') for name in COUNTS})
        event = HeardFrame(
            frame=to_frame(frame),
            report=self._heard.to_report(stats),
            settings=self._job.settings,
            queue_ms=stats.queue_ms,
            total_ms=stats.total_ms,
            age_ms=1e3 * (at - record.seconds(stamp)),
        )
        if self._needed[camera, stamp]:
            self._shown[camera, stamp] = event
        self._sink.frame(camera, event)

    def _ask(self, camera: str, planned: Planned, reply: Any, seconds: float) -> None:
        error = '' if reply.error is Error.NONE else reply.error.name
        behind = reply.last_stamp < self._newest.get(camera, 0)
        deadline = planned.question.deadline
        self.asked.append(AskRecord(seconds, reply.time_to_first_token, error, behind, deadline))
        rests_on = camera, reply.last_stamp
        self._sink.asked(Asked(planned, reply, seconds, self._shown.get(rests_on)))
        self._needed[rests_on] -= 1
        if not self._needed[rests_on]:
            self._shown.pop(rests_on, None)  # a picture may be large


def _event(error: bool, text: str) -> tuple[str, str]:
    """Name and text of a line of the node's log, as an evaluation without a clock calls it."""
    from stc_ros.ros.log_texts import INVALID, RESET

    if text.startswith(RESET):
        return 'reset', text.removeprefix(RESET)
    return ('failure' if error and INVALID not in text else 'warning'), text
