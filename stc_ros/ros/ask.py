"""The service `ask` and the action `ask_stream`: a request in, exactly one typed reply out, before its deadline."""

from __future__ import annotations

import functools
import time

from rclpy.action import CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile
from rclpy.task import Future

from stc_ros.action import AskStream
from stc_ros.engine.questions import MAX_CHARACTERS, Error, Question, Reply
from stc_ros.parameter_spec import shown, specs
from stc_ros.parameters import StreamParameters
from stc_ros.ros.ask_cameras import Gathering, combine, label
from stc_ros.ros.ask_service import Origin, OriginActionServer, OriginService
from stc_ros.ros.camera_names import LONGEST_NAME
from stc_ros.ros.humble import introspect
from stc_ros.ros.messages import fill_answer
from stc_ros.srv import Ask

SERVICE_DEPTH = 200  # the default of 10 loses requests that come at once, without a word
LENGTH = (1, specs(StreamParameters)['query.max_new_tokens'].high)
TIMEOUT_S = (0.0, 3600.0)  # that a request may ask for
LEAST_S = 0.1  # in which there may be an answer; what is left of a planner's budget may be less
EVERY_PIECE = QoSProfile(depth=LENGTH[1])  # of an answer, for a reader who is held up
MARGIN_S = 0.1  # time that a reply may take on its way; less for short timeouts
# A client that is BUSY may ask again at once, and each client's reader gets the replies to all: bursts overrun it.
BUSY_S, BUSY_APART_S, BUSY_MOST_S = 0.1, 0.02, 1.5  # after which BUSY is replied, after the one before, at most


class AskServer:
    """Serves questions for a `StreamNode`. Coroutines wait for the worker, so that the executor never does."""

    def __init__(self, node):
        self._node = node
        self._patience = Clock(clock_type=ClockType.STEADY_TIME)  # real time, also in simulation
        self._goals: dict[bytes, list[Question]] = {}
        self.open = 0  # requests without a reply so far
        # A coroutine holds its group until it ends: questions must not share one with anything else.
        self._group = ReentrantCallbackGroup()
        self._busy_at = 0.0  # s, monotonic: when the last BUSY is replied
        self._paced: set[Future] = set()  # of those that wait until then
        self._service = OriginService(node, Ask, 'ask', self._serve, self._group, SERVICE_DEPTH)
        self._action = OriginActionServer(
            node,
            AskStream,
            'ask_stream',
            self._execute,
            callback_group=self._group,
            cancel_callback=self._cancel,
            goal_service_qos_profile=QoSProfile(depth=SERVICE_DEPTH),
            result_service_qos_profile=QoSProfile(depth=SERVICE_DEPTH),
            feedback_pub_qos_profile=EVERY_PIECE,
        )
        if node.settings['query.introspection']:
            deep = QoSProfile(depth=SERVICE_DEPTH)
            able = [introspect(each, node.get_clock(), deep) for each in (self._service, self._action)]
            if not any(able):
                node.get_logger().warning('query.introspection has no effect: ROS before Iron cannot')

    def destroy(self) -> None:
        self._action.destroy()
        self._service.destroy()

    def hurry(self) -> None:
        """Reply at once to those who wait for a BUSY. From any thread."""
        for over in tuple(self._paced):
            over.set_result(None)

    async def _serve(self, request: Ask.Request, origin: Origin) -> Ask.Response:
        return fill_answer(Ask.Response(), await self._replies_to(request, origin))

    async def _execute(self, goal) -> AskStream.Result:
        identity = bytes(goal.goal_id.uuid)

        def publish(piece: str, tokens: int) -> None:
            goal.publish_feedback(AskStream.Feedback(text=piece, tokens=tokens))

        try:
            origin = self._action.origin_of(goal)
            replies = await self._replies_to(goal.request, origin, publish, identity, goal.is_cancel_requested)
        finally:
            self._goals.pop(identity, None)
        error = combine(replies).error
        if error is Error.NONE:
            goal.succeed()
        elif error is Error.CANCELED:
            goal.canceled()
        else:
            goal.abort()
        return fill_answer(AskStream.Result(), replies)

    def _cancel(self, goal) -> CancelResponse:
        for question in self._goals.get(bytes(goal.goal_id.uuid), ()):
            self._node.worker.engine.end(question, Error.CANCELED)
        return CancelResponse.ACCEPT

    async def _replies_to(
        self, request, origin: Origin, on_piece=None, identity: bytes | None = None, canceled: bool = False
    ) -> dict[str, Reply]:
        """Ask one camera, or all -> the reply of each."""
        node, worker = self._node, self._node.worker
        executor = node.executor
        replies = Future(executor=executor)

        def on_all(found: dict[str, Reply]) -> None:
            replies.set_result(found)
            executor.wake()  # the coroutine goes on when the executor looks at it again

        length = request.max_new_tokens or node.settings['query.max_new_tokens']
        timeout = request.timeout.sec + request.timeout.nanosec / 1e9 or node.settings['query.timeout']
        cameras = [request.camera[: LONGEST_NAME + 1]] if request.camera else list(node.cameras)  # the reply names them
        gathering = Gathering(cameras, on_all)
        questions = []
        for camera in cameras:
            pieces = label(camera, on_piece, camera == cameras[0]) if on_piece and len(cameras) > 1 else on_piece
            take = functools.partial(gathering.take, camera)
            about = {'camera': camera, 'timeout': timeout, 'client': origin.client, 'arrived': origin.arrived}
            questions.append(Question(request.question, length, take, pieces, **about))
        left = origin.arrived + timeout - time.monotonic()
        if refusal := (Error.CANCELED, '') if canceled else self._refusal(request, timeout, left):
            for question in questions:
                worker.engine.end(question, *refusal)
            return await replies
        if identity:
            self._goals[identity] = questions
        for question in questions:
            worker.ask(question)
        self.open += 1
        late = f'{timeout:g} s passed before the answer was complete'

        def on_deadline() -> None:
            for question in questions:
                worker.engine.end(question, Error.TIMEOUT, late)

        deadline = node.create_timer(
            max(0.0, left - min(MARGIN_S, timeout / 4)),
            on_deadline,
            callback_group=ReentrantCallbackGroup(),  # its own: a group never forgets what was in it
            clock=self._patience,
        )
        try:
            found = await replies
            if any(reply.error is Error.BUSY for reply in found.values()):
                await self._pace(left / 2)
            return found
        finally:
            self.open -= 1
            node.destroy_timer(deadline)

    async def _pace(self, most: float) -> None:
        """Wait until the next BUSY may be replied, `most` seconds at most."""
        node, over, now = self._node, Future(executor=self._node.executor), time.monotonic()
        self._busy_at = min(now + min(BUSY_MOST_S, most), max(now + BUSY_S, self._busy_at + BUSY_APART_S))

        def on_time() -> None:
            over.done() or over.set_result(None)  # a timer comes again and again
            node.executor.wake()

        self._paced.add(over)
        timer = node.create_timer(
            self._busy_at - now, on_time, callback_group=ReentrantCallbackGroup(), clock=self._patience
        )
        try:
            await over
        finally:
            self._paced.discard(over)
            node.destroy_timer(timer)

    def _refusal(self, request, timeout: float, left: float) -> tuple[Error, str] | None:
        """Why a request is not even queued."""
        limits = {'timeout': (timeout, 's', *TIMEOUT_S), 'max_new_tokens': (request.max_new_tokens, 'tokens', *LENGTH)}
        for name, (value, unit, low, high) in limits.items():
            if value and not low <= value <= high:
                return Error.INVALID_REQUEST, (
                    f'{name} must lie in [{low:g}, {high:g}] {unit}, or be 0 for the default; it is {value:g}'
                )
        if left < LEAST_S:
            return Error.TIMEOUT, f'{max(left, 0):.2g} s are left: too little for an answer'
        if request.camera and request.camera not in self._node.cameras:
            known = ', '.join(self._node.cameras)
            return Error.INVALID_REQUEST, f'there is no camera {shown(request.camera)}; there are: {known}'
        if len(request.question) > MAX_CHARACTERS:  # before anything looks at it, or copies it
            return Error.QUESTION_TOO_LONG, (
                f'the question has {len(request.question)} characters; at most {MAX_CHARACTERS} are read'
            )
        if not request.question.strip():
            return Error.EMPTY_QUESTION, ''
        if not self._node.worker.alive:
            return None  # the worker says why it cannot
        return None if self._node.active else (Error.INACTIVE, '')
