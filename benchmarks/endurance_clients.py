"""Whoever asks a node during benchmarks/endurance.py, and what came of it."""

from __future__ import annotations

import collections
import time
from dataclasses import dataclass, field

BACK_S = 60.0  # in which a node is active again by itself after a fault
LATE_S = 0.5  # behind a question's deadline, on a machine that does other things, too
PARAMETERS = (
    *(('prune_ratio', value) for value in (0.0, 0.5, 0.9, 7.0)),
    *(('cache_similarity', value) for value in (0.9, 1.0)),
    *(('pruner.method', value) for value in ('delta', 'stc', 'none', 'nonsense')),
    *(('cacher.method', value) for value in ('incremental', 'none')),
    ('narration.period', 0.2),
    ('query.max_queue', 4),
    ('query.max_queue', 32),
)
WATCHES = ('is anything moving ?', 'there is a red circle', '', 'x' * 5000)  # two of them are right
THRESHOLDS = (0.0, 0.6, 7.0)  # the last is not


@dataclass
class Tally:
    """What has happened, and what should not have."""

    frames: int = 0
    done: collections.Counter = field(default_factory=collections.Counter)  # by what was done to the node
    codes: collections.Counter = field(default_factory=collections.Counter)  # by the names of the replies' codes
    counts: collections.Counter = field(default_factory=collections.Counter)  # of frames, between two resets each
    latest_s: float = 0.0  # reply, counted from its deadline
    resident: list[float] = field(default_factory=list)  # MiB
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def text(self) -> str:
        def listed(counter) -> str:
            return ', '.join(f'{name} {count}' for name, count in counter.most_common()) or 'none'

        first, last = self.resident[len(self.resident) // 10], self.resident[-1]
        return '\n'.join(
            [
                f'{self.frames} frames in {self.seconds:.0f} s',
                f'injected: {listed(self.done)}',
                f'replies: {listed(self.codes)}; the latest {self.latest_s:+.2f} s from its deadline',
                f'resident memory {first:.0f} MiB after a tenth, {last:.0f} MiB at the end',
                *(f'WRONG: {each}' for each in self.wrong),
                *(() if self.wrong else ('every question was answered once, and the counters add up',)),
            ]
        )


class Clients:
    """Whoever asks the node, from a ROS node and a thread of their own."""

    def __init__(self, node, context, tally: Tally):
        import rclpy
        from lifecycle_msgs.srv import ChangeState
        from rcl_interfaces.srv import SetParameters
        from rclpy.action import ActionClient
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile
        from std_srvs.srv import Trigger

        from stc_ros.action import AskStream
        from stc_ros.msg import WatchEvent
        from stc_ros.srv import Ask, Watch

        self.node, self.tally = node, tally
        self.own = rclpy.create_node('endurance', context=context)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.own)
        deep = QoSProfile(depth=200)
        self.ask = self.own.create_client(Ask, 'ask', qos_profile=deep)
        self.stream = ActionClient(
            self.own, AskStream, 'ask_stream', goal_service_qos_profile=deep, result_service_qos_profile=deep
        )
        self.parameters = self.own.create_client(SetParameters, 'stc_stream/set_parameters', qos_profile=deep)
        self.reset = self.own.create_client(Trigger, 'stc_stream/reset', qos_profile=deep)
        self.change = self.own.create_client(ChangeState, 'stc_stream/change_state', qos_profile=deep)
        self.watch = self.own.create_client(Watch, 'stc_stream/watch', qos_profile=deep)
        self.own.create_subscription(WatchEvent, 'stc_stream/events', self._on_event, deep)
        self.open: dict[int, str] = {}  # calls without a reply
        self.asked = 0
        everything = (self.ask, self.parameters, self.reset, self.change, self.watch)
        if not self.until(
            lambda: all(c.service_is_ready() for c in everything) and self.stream.server_is_ready(), BACK_S
        ):
            tally.wrong.append('a service was not there in a minute')

    def until(self, condition, seconds: float) -> bool:
        """Spin until it holds; whether it did in time. Spins once at least."""
        end = time.monotonic() + seconds
        while True:
            self.executor.spin_once(timeout_sec=0.001)
            if condition():
                return True
            if time.monotonic() > end:
                return False

    def act(self, what: str | None, rng) -> None:
        """Do something to the node."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter
        from std_srvs.srv import Trigger

        from stc_ros.action import AskStream
        from stc_ros.srv import Ask

        if what is None:
            return
        self.tally.done[what] += 1
        timeout = float(rng.choice([0.05, 0.5, 2.0, 5.0]))
        about = {'question': 'what is moving ?' * int(rng.choice([1, 1, 1, 0, 300])), 'max_new_tokens': 8}
        if what == 'ask':
            request = Ask.Request(**about)
            set_timeout(request, timeout)
            self._await(what, self.ask.call_async(request), timeout)
        elif what in ('stream', 'cancel'):
            goal = AskStream.Goal(**about)
            set_timeout(goal, timeout)
            self._stream(what, goal, timeout)
        elif what == 'parameter':
            name, value = PARAMETERS[int(rng.integers(len(PARAMETERS)))]
            given = [Parameter(name, value=value).to_parameter_msg()]
            self._await(what, self.parameters.call_async(SetParameters.Request(parameters=given)), BACK_S)
        elif what == 'watch':
            self._await(what, self.watch.call_async(watch_request(rng)), BACK_S)
        elif what == 'reset':
            self._await(what, self.reset.call_async(Trigger.Request()), BACK_S)
        elif what == 'pause':
            for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
                request = ChangeState.Request()
                request.transition.id = transition
                done = self.change.call_async(request)
                if not self.until(done.done, BACK_S):
                    self.tally.wrong.append(f'frame {self.tally.frames}: no reply to transition {transition}')

    def _await(self, what: str, future, timeout: float) -> None:
        self.asked += 1
        number, sent = self.asked, time.monotonic()
        self.open[number] = f'{what} of frame {self.tally.frames}'

        def on_reply(done) -> None:
            if self.open.pop(number, None) is None:
                self.tally.wrong.append(f'{what} was answered twice')
            if what == 'watch' and not (done.result().success or done.result().message):
                self.tally.wrong.append('a watch was refused without a reason')
            if what in ('ask', 'stream', 'cancel'):
                result = done.result()
                self._note(result if what == 'ask' else result.result, time.monotonic() - sent - timeout)

        future.add_done_callback(on_reply)

    def _stream(self, what: str, goal, timeout: float) -> None:
        def on_accepted(done) -> None:
            handle = done.result()
            if not handle.accepted:
                self.tally.wrong.append('a goal was not accepted')
                return
            self._await(what, handle.get_result_async(), timeout)
            if what == 'cancel':
                handle.cancel_goal_async()

        self.stream.send_goal_async(goal).add_done_callback(on_accepted)

    def _on_event(self, event) -> None:
        self.tally.done['events of watches'] += 1
        if not (event.watch and 0 <= event.probability <= 1):
            self.tally.wrong.append(f'event of {event.watch!r} with probability {event.probability}')

    def _note(self, reply, late: float) -> None:
        from stc_ros.engine.questions import Error

        self.tally.codes[next(e.name for e in Error if getattr(type(reply), e.name) == reply.error_code)] += 1
        self.tally.latest_s = max(self.tally.latest_s, late) if self.tally.latest_s else late
        if late > LATE_S:
            self.tally.wrong.append(f'frame {self.tally.frames}: a reply came {late:.2f} s behind its deadline')
        if bool(reply.error_code) != bool(reply.error_msg):
            self.tally.wrong.append(f'code {reply.error_code} with the message {reply.error_msg!r}')

    def check_counters(self, camera) -> None:
        """Received is the sum of the others once nothing is under way."""
        session = camera.session
        if session is None or not self.until(lambda: not session.slot.waits and not self.node.worker.busy_since, 5.0):
            return  # it is being replaced
        c = session.slot.counts()
        if c.received != c.processed + c.dropped + c.invalid + c.failed:
            self.tally.wrong.append(f'frame {self.tally.frames}: the counters do not add up: {c}')

    def finish(self) -> None:
        if not self.until(lambda: not self.open, BACK_S):
            self.tally.wrong.append(
                f'{len(self.open)} calls without a reply: {", ".join(list(self.open.values())[:5])}'
            )

    def close(self) -> None:
        self.executor.shutdown()
        self.own.destroy_node()


def watch_request(rng):
    """One of four watches is added (sometimes a wrong one), replaced, listed or removed."""
    from stc_ros.srv import Watch

    request = Watch.Request(command=int(rng.choice([Watch.Request.ADD, Watch.Request.ADD, Watch.Request.REMOVE, 0, 9])))
    request.watch.name = f'w{rng.integers(4)}'
    request.watch.condition = WATCHES[int(rng.integers(len(WATCHES)))]
    request.watch.threshold = float(rng.choice(THRESHOLDS))
    return request


def set_timeout(request, seconds: float) -> None:
    request.timeout.sec, request.timeout.nanosec = int(seconds), int(seconds % 1 * 1e9)
