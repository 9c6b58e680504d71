"""A condition for a behaviour tree: "is the door open ?" as a leaf that never blocks a tick.

`SeesThat` does what a py_trees behaviour does in setup, initialise, update and terminate; `Leaf` stands in for
py_trees, which is not needed. In a tree of py_trees:

    class Condition(SeesThat, py_trees.behaviour.Behaviour):
        statuses = py_trees.common.Status

python examples/behavior_condition.py 'is the red circle moving ?' [SECONDS]
"""

import enum
import sys
import time
from concurrent.futures import Future

from stc_ros.client import Answer, Client, StcError


class Status(enum.Enum):
    """As of py_trees."""

    INVALID = 'invalid'
    RUNNING = 'running'
    SUCCESS = 'success'
    FAILURE = 'failure'


class Leaf:
    """How a tree treats its leaves."""

    def __init__(self, name: str):
        self.name, self.status, self.feedback_message = name, Status.INVALID, ''

    def tick_once(self) -> Status:
        if self.status is not Status.RUNNING:
            self.initialise()
        self.status = self.update()
        if self.status is not Status.RUNNING:
            self.terminate(self.status)
        return self.status

    def stop(self, new_status: Status) -> None:
        """A branch of higher priority has taken over."""
        self.status = new_status
        self.terminate(new_status)


class SeesThat:
    """SUCCESS when the robot's answer begins with yes, FAILURE with any other, RUNNING while it is awaited.

    Without an answer within `timeout` seconds, and with one that rests on frames older than `oldest` seconds, nothing
    is known: the name of the status is then `unknown`. `feedback_message` says why.
    """

    statuses = Status

    def __init__(
        self,
        name: str,
        robot: Client,
        question: str,
        camera: str = '',
        timeout: float = 2.0,
        oldest: float = 1.0,
        unknown: str = 'FAILURE',
    ):
        super().__init__(name)
        self.robot, self.question, self.camera = robot, question, camera
        self.timeout, self.oldest, self.unknown = timeout, oldest, unknown
        self._asked: Future[Answer] | None = None

    def setup(self, **_) -> None:
        """Once, before the first tick. Raises `NotFound` when there is no node."""
        self.robot.wait_for_node()

    def initialise(self) -> None:
        """At the first tick of each run: ask."""
        self._asked = self.robot.ask_later(self.question, camera=self.camera, timeout=self.timeout, retry=True)

    def update(self):
        """At each tick."""
        if not self._asked.done():
            return self.statuses.RUNNING
        try:
            answer = self._asked.result()
        except StcError as error:
            self.feedback_message = f'{type(error).__name__}: {error}'
            return self.statuses[self.unknown]
        if answer.frame_age > self.oldest:
            self.feedback_message = f'the newest frame is {answer.frame_age:.1f} s old'
            return self.statuses[self.unknown]
        self.feedback_message = answer.text
        words = answer.text.lower().replace(',', ' ').replace('.', ' ').split()
        return self.statuses.SUCCESS if words[:1] == ['yes'] else self.statuses.FAILURE

    def terminate(self, new_status) -> None:
        """When a run is over, or another branch has taken over: give up a question that is still under way."""
        if self._asked:
            self._asked.cancel()


class Condition(SeesThat, Leaf):
    """A leaf without py_trees."""


def main() -> int:
    question, seconds = sys.argv[1], float(sys.argv[2]) if sys.argv[2:] else 5.0
    with Client() as robot:
        condition = Condition('moving', robot, question, timeout=seconds)
        condition.setup()
        while condition.tick_once() is Status.RUNNING:
            time.sleep(0.05)  # the rest of the tree
    print(f'{condition.status.value}: {condition.feedback_message}')
    return int(condition.status is not Status.SUCCESS)


if __name__ == '__main__':
    sys.exit(main())
