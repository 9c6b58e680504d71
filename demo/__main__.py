"""The demo: camera and node as processes, this process their client. `./dev demo --help`"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

TICK_S = 0.1
STATUS_S = 0.5  # between status lines
LOADING_S = 180.0  # longest wait for the embedded model; one that is named may have to be downloaded first
FIRST_FRAME_S = 30.0  # longest wait for a frame once the node watches
QUIZ_S = 1.0  # between an answer and the next question of a quiz
LAST_ANSWER_S = 10.0  # longest wait for the last answers after the time is over
PATIENCE_S = 2.5  # with processes that are to end


class DemoError(Exception):
    """The demo cannot go on. The message says why and names the remedy."""


class Interrupted:
    """True once a signal has asked for the end."""

    def __init__(self):
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # ./dev holds it back until here

    def _ask(self, *_) -> None:
        self._asked = True

    def __bool__(self) -> bool:
        return self._asked


def main(arguments: list[str] | None = None) -> int:
    interrupted = Interrupted()  # before the slow imports, which a signal should not tear apart
    from demo import options as command_line
    from demo.figures import Figures
    from demo.screen import Screen

    options = command_line.parse(arguments)
    screen, figures = Screen(options.headless), Figures()
    try:
        with tempfile.TemporaryDirectory(prefix='stc_demo_') as logs:
            error = perform(options, screen, figures, interrupted, Path(logs))
        screen.line(figures.summary() if figures.newest else 'Ended before a frame was processed.')
        if options.json:
            options.json.write_text(json.dumps(figures.as_json(), indent=2) + '\n')
            screen.line(f'figures     {options.json}')
    except OSError as failure:  # a full disk, a closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that nothing fails once more at exit
        error = str(failure)
    if error:
        print(f'demo: {error}', file=sys.stderr)
    return 1 if error else 0


def perform(options, screen, figures, interrupted, logs: Path) -> str:
    """Run it until its end; return what went wrong, or ''."""
    from demo import options as command_line
    from demo.ground_truth import GroundTruth
    from demo.processes import Child, end_all
    from stc_ros.synthetic import World

    if caution := command_line.caution(options):
        screen.line(caution)
    # A domain of its own: the demo meets no robot, and no other demo.
    domain = os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
    children, client = [], None
    try:
        camera = Child('camera', 'stc_ros.ros.camera', command_line.camera_arguments(options), logs)
        children.append(camera)
        node = Child('node', 'stc_ros.ros.main', command_line.node_arguments(options), logs)
        children.append(node)
        from demo.client import Client  # imports while the children start

        world = World(options.profile, options.seed) if options.source == 'synthetic' else None
        client = Client(figures, screen, GroundTruth(world), options.truth)
        screen.line(
            f'camera: {options.source}; model: {options.settings["model.name"] or "embedded"}\n'
            f'ask your own from another shell: ROS_DOMAIN_ID={domain} ./dev ask "What is moving?"'
        )
        wait_for_first_frame(options, screen, client, interrupted, camera, node)
        for condition in [] if interrupted else command_line.watches(options):
            client.watch(condition)
        watch(command_line.questions(options), options, screen, client, interrupted, camera, node)
    except DemoError as error:
        return str(error)
    finally:
        screen.end_status()
        if client:
            client.give_up_asking()
            client.close()
        end_all(children, PATIENCE_S)
        if client and client.overlay:
            options.overlay.write_bytes(client.overlay)
            screen.line(f'overlay     {options.overlay} (outlined: recomputed patches; in colour: kept tokens)')
    return ''


def wait_for_first_frame(options, screen, client, interrupted, camera, node) -> None:
    began, active_at = time.monotonic(), None
    while not interrupted and client.figures.newest is None:
        client.spin(TICK_S)
        check(client, camera, node)
        now = time.monotonic()
        if active_at is None and client.node_is_active():
            active_at = now
        if active_at is None:
            screen.status(f'loading the model ... {now - began:.0f} s')
            if not options.settings['model.name'] and now - began > LOADING_S:
                raise DemoError(f'the model was not loaded within {LOADING_S:.0f} s.\n{node.last_words()}')
        elif now - active_at > FIRST_FRAME_S:
            raise DemoError(
                f'the node is active, but has processed no frame within {FIRST_FRAME_S:.0f} s.\n'
                f'camera: {camera.last_words()}\nnode: {node.last_words()}'
            )


def watch(questions: list[str], options, screen, client, interrupted, camera, node) -> None:
    """Show and ask until the time is over, the camera ends, or a signal comes."""
    began, seconds = time.monotonic(), options.seconds
    # Within the given time, or one every eight seconds.
    pause = seconds / (len(questions) + 1) if seconds else 8.0
    waiting = [(began + pause * n, question) for n, question in enumerate(questions, start=1)]
    status_at, over_at, quiz_at = 0.0, None, began + QUIZ_S
    while not interrupted:
        client.spin(TICK_S)
        now = time.monotonic()
        if over_at is None and (check(client, camera, node) or seconds and now - began > seconds):
            over_at = now
        if waiting and client.asked is None and (over_at or now >= waiting[0][0]):
            client.ask(waiting.pop(0)[1])
        if client.asked is not None:
            quiz_at = now + QUIZ_S
        elif options.quiz and not over_at and now >= quiz_at:
            client.ask_of_the_world()
        if over_at and (client.asked is None or now - over_at > LAST_ANSWER_S):
            return
        if now >= status_at:
            status_at = now + STATUS_S
            screen.status(client.figures.status())


def check(client, camera, node) -> bool:
    """Whether the camera's source has ended well. Raises `DemoError` when a process is in trouble."""
    if client.fault:
        raise DemoError(f'the node does not work: {client.fault}')
    if node.exit_code() is not None:
        raise DemoError(f'the node has ended (exit code {node.exit_code()}). Its last words:\n{node.last_words()}')
    if camera.exit_code():
        raise DemoError(f'the camera has ended (exit code {camera.exit_code()}).\n{camera.last_words()}')
    return camera.exit_code() == 0


def leave(code: int) -> None:
    """Ends the process at once: in the interpreter's own end a thread of the middleware has crashed, if rarely."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads it any more
            pass
    os._exit(code)


if __name__ == '__main__':
    leave(main())
