"""Ask a running node a question and read the answer as it comes: `./dev ask "What is moving?"`."""

from __future__ import annotations

import argparse
import signal
import sys

DISCOVERY_S = 5.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='ask', description=__doc__)
    parser.add_argument('question')
    parser.add_argument('--timeout', type=float, default=0.0, metavar='S', help="seconds (default: the node's)")
    parser.add_argument(
        '--max-new-tokens', type=int, default=0, metavar='N', help="longest answer (default: the node's)"
    )
    parser.add_argument('--action', default='ask_stream', help='name of the action, with its namespace (ask_stream)')
    parser.add_argument('--camera', default='', help='name of the camera that is asked (all)')
    options = parser.parse_args(arguments)
    if options.timeout < 0 or options.max_new_tokens < 0:
        parser.error('--timeout and --max-new-tokens must not be negative')
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # ./dev holds it back until here
    try:
        return ask(options)
    except KeyboardInterrupt:
        return 130


def ask(options: argparse.Namespace) -> int:
    """Print the answer's pieces; an interrupt cancels it, a second one ends at once. Return the exit code."""
    from stc_ros.client import Client, StcError

    with Client(ask_stream=options.action, arguments=[]) as client:
        said = False
        try:
            client.wait_for_node(DISCOVERY_S)
            stream = client.ask_stream(
                options.question, options.camera, options.timeout or None, options.max_new_tokens
            )
            signal.signal(signal.SIGINT, lambda *_: cancel(stream))
            for piece in stream:
                print(piece, end='', flush=True)
                said = True
        except StcError as error:
            print(f'{chr(10) if said else ""}ask: {error}', file=sys.stderr)
            return 1
    print(f'\n{stream.answer.text}' if stream.gaps else '')
    about = stream.answer
    print(
        f'({about.frames_processed} frames seen, the newest {about.frame_age:.2f} s ago; {speed(about)})',
        file=sys.stderr,
    )
    return 0


def cancel(stream) -> None:
    """For the first interrupt; what the node still says is read."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stream.cancel()


def speed(reply) -> str:
    """How fast an answer came; a single token has no rate."""
    text = f'first token after {reply.time_to_first_token * 1e3:.0f} ms'
    return text + (f', {reply.tokens_per_second:.0f} tokens/s' if reply.tokens_per_second else '')


if __name__ == '__main__':
    sys.exit(main())
