"""A planner that asks before it acts: with a deadline, and with a typed error where there is nothing to act on.

python examples/planner_client.py 'is the red circle moving ?' [SECONDS]
"""

import sys

from stc_ros.client import Client, StcError

OLDEST_S = 1.0  # an answer that rests on older frames than this says nothing of now


def decide(robot: Client, question: str, seconds: float) -> str | None:
    """An answer that may be acted on, within `seconds`; None: act as if nothing were known."""
    try:
        answer = robot.ask(question, timeout=seconds, retry=True)
    except StcError as error:  # Timeout, too: half an answer may mean the opposite of the whole
        print(f'{type(error).__name__}: {error}', file=sys.stderr)
        return None
    if answer.frame_age > OLDEST_S:
        print(f'the newest frame is {answer.frame_age:.1f} s old: has the camera stopped?', file=sys.stderr)
        return None
    return answer.text


def main() -> int:
    question, seconds = sys.argv[1], float(sys.argv[2]) if sys.argv[2:] else 5.0
    with Client() as robot:
        try:
            robot.wait_for_node()
        except StcError as error:
            print(error, file=sys.stderr)
            return 1
        answer = decide(robot, question, seconds)
    print(f'go on: {answer}' if answer is not None else 'stop: nothing is known')
    return int(answer is None)


if __name__ == '__main__':
    sys.exit(main())
