"""`./dev watch`: against a service of the test's own."""

import signal

import pytest

WATCH = 'stc_ros.ros.watch_client'


@pytest.fixture
def server(ros):
    """Serves ~/watch: `requests` are those that came, `reply` what they get, `events` what follows an ADD."""
    from rclpy.qos import QoSProfile

    from stc_ros.msg import WatchEvent
    from stc_ros.srv import Watch

    class Server:
        requests, events, reply = [], [], {'success': True, 'message': 'door added'}

        def serve(self, request, response):
            self.requests.append(request)
            if request.command == Watch.Request.ADD:
                self.waiting = list(self.events)
            for name, value in self.reply.items():
                setattr(response, name, value)
            return response

        waiting = []

        def publish(self):
            if self.waiting:
                publisher.publish(WatchEvent(condition='is it open ?', camera='front', **self.waiting.pop(0)))

    one = Server()
    one.requests, one.events, one.waiting = [], [], []
    publisher = ros.node.create_publisher(WatchEvent, 'stc_stream/events', QoSProfile(depth=100))
    ros.node.create_service(Watch, 'stc_stream/watch', one.serve)
    ros.node.create_timer(0.1, one.publish)
    return one


def run(ros, process, seconds=30):
    assert ros.spin_until(lambda: process.poll() is not None, seconds), process.log.read_text()
    return process.returncode, process.log.read_text()


def test_it_adds_the_watch_prints_its_events_and_ends_with_the_first_rise(ros, server, launch_process):
    server.events = [
        {'watch': 'other', 'kind': 1},
        {'watch': 'door', 'kind': 2, 'probability': 0.01},
        {'watch': 'door', 'kind': 1, 'probability': 0.97, 'latency': 0.25},
    ]
    options = '--once --name door --camera front --threshold 0.75 --looks 3 --hold 0.5'.split()
    code, said = run(ros, launch_process(WATCH, 'is it open ?', *options))
    assert code == 0 and 'Traceback' not in said
    lines = [line for line in said.splitlines() if line.startswith('[')]
    assert len(lines) == 2 and 'false   is it open ?' in lines[0] and 'true    is it open ?' in lines[1]
    assert 'p 0.97, 0.25 s after the frame' in lines[1]
    (request,) = server.requests  # the watch has ended by itself
    watch = request.watch
    assert (watch.name, watch.condition, watch.camera, watch.looks, watch.once) == (
        'door', 'is it open ?', 'front', 3, True
    )  # fmt: skip
    assert watch.threshold == pytest.approx(0.75) and watch.hold.nanosec == 500_000_000


def test_an_interrupt_removes_the_watch(ros, server, launch_process):
    process = launch_process(WATCH, 'is it open ?')
    assert ros.spin_until(lambda: 'door added' in process.log.read_text(), 30)
    process.send_signal(signal.SIGINT)
    code, said = run(ros, process)
    assert code == 0 and 'Traceback' not in said
    assert [(r.command, r.watch.name) for r in server.requests] == [(1, ''), (2, 'door')]


def test_a_refusal_is_said_and_watches_are_listed(ros, server, launch_process):
    from stc_ros.msg import Watch, WatchState

    server.reply = {'success': False, 'message': 'the condition is empty'}
    code, said = run(ros, launch_process(WATCH, 'what ?'))
    assert code == 1 and 'watch: the condition is empty' in said
    state = WatchState(watch=Watch(name='door', condition='is it ?', camera='front'), frames=3, probability=0.5)
    server.reply = {'success': True, 'message': '1 watch', 'watches': [state]}
    code, said = run(ros, launch_process(WATCH, '--list'))
    assert code == 0 and 'door, front: false (p 0.50; 3 frames, 0 events): is it ?' in said


def test_wrong_arguments_are_refused_at_once(launch_process):
    for arguments in ([], ['a', '--hold', '-1']):
        process = launch_process(WATCH, *arguments)
        assert process.wait(20) == 2 and 'usage: watch' in process.log.read_text()
