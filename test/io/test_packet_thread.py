"""Packets are decoded in order on a thread; more than it can take are given up and named, and memory stays."""

import threading

from fake_stream import until

from stc_ros.io import packet_thread
from stc_ros.io.image_messages import FrameInvalid
from stc_ros.io.packet_thread import MOST_PACKETS, PacketThread


class Slow:
    """A decoder that decodes a packet when the test lets it."""

    def __init__(self):
        self.go, self.lost, self.started = threading.Semaphore(0), [], 0

    def lose(self, reason):
        self.lost.append(reason)

    def decode(self, packet, most_pixels):
        self.started += 1
        self.go.acquire()
        if packet == b'broken':
            raise FrameInvalid('video packet', 'broken')
        return 'header', packet, most_pixels


def thread():
    decoder, taken, refused = Slow(), [], []
    made = PacketThread(decoder, lambda: 5, lambda *frame: taken.append(frame), refused.append)
    return made, decoder, taken, refused


def test_packets_come_out_in_their_order_and_a_broken_one_is_refused():
    made, decoder, taken, refused = thread()
    for packet in (b'a', b'broken', b'b'):
        made.put(packet)
    decoder.go.release(3)
    assert until(lambda: len(taken) == 2)
    assert [packet for _, packet, _ in taken] == [b'a', b'b'] and taken[0][2] == 5 and len(refused) == 1
    made.stop()


def test_a_backlog_is_given_up_counted_and_the_decoder_told():
    made, decoder, taken, refused = thread()
    made.put(b'first')
    assert until(lambda: decoder.started)
    for _ in range(MOST_PACKETS + 1):
        made.put(b'late')
    decoder.go.release(2)
    assert until(lambda: len(refused) == MOST_PACKETS + 1) and len(taken) == 1
    assert {r.kind for r in refused} == {'video backlog'} and f'{MOST_PACKETS + 1} packets' in decoder.lost[0]
    made.put(b'next')
    assert until(lambda: len(taken) == 2)
    made.stop()


def test_a_backlog_is_bounded_in_bytes_too(monkeypatch):
    monkeypatch.setattr(packet_thread, 'MOST_BYTES', 100)
    made, decoder, _, refused = thread()
    made.put(b'first')
    assert until(lambda: decoder.started)
    for _ in range(3):
        made.put(bytes(40))
    decoder.go.release(1)
    assert until(lambda: len(refused) == 3)
    made.stop()


def test_nothing_is_taken_after_the_end(monkeypatch):
    monkeypatch.setattr(packet_thread, 'END_S', 0.05)
    made, decoder, taken, refused = thread()
    made.put(b'a'), made.put(b'b')
    assert until(lambda: decoder.started)
    made.stop()
    decoder.go.release(2)
    made._thread.join(5)
    assert not made._thread.is_alive() and not taken and not refused
