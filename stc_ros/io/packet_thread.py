"""Decodes a video's packets in their order on a thread of its own, so that neither the executor nor the model waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from stc_ros.io.image_messages import FrameInvalid
from stc_ros.io.picture import Picture
from stc_ros.io.transports import Decoder

MOST_PACKETS = 120
MOST_BYTES = 64 << 20
END_S = 2.0  # longest wait for the packet in work


class PacketThread:
    """Packets that come faster than they can be decoded are all given up, and decoding begins at the next keyframe.

    most_pixels: the bound of `Decoder.decode`, asked for each packet. take: gets header, stamp in ns and picture.
    refuse: gets why there is no picture, once for every packet that has none. Both are called on the thread.
    """

    def __init__(
        self,
        decoder: Decoder,
        most_pixels: Callable[[], int | None],
        take: Callable[[Any, int, Picture], None],
        refuse: Callable[[FrameInvalid], None],
    ):
        self._decoder, self._most_pixels, self._take, self._refuse = decoder, most_pixels, take, refuse
        self._packets: deque[bytes] = deque()
        self._bytes = self._lost = 0
        self._stopped = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name='stc video', daemon=True)
        self._thread.start()

    def put(self, packet: bytes) -> None:
        """Queue a serialized message; returns at once."""
        with self._wake:
            self._packets.append(packet)
            self._bytes += len(packet)
            if len(self._packets) > MOST_PACKETS or self._bytes > MOST_BYTES:
                self._lost += len(self._packets)
                self._packets.clear()
                self._bytes = 0
            self._wake.notify()

    def stop(self) -> None:
        """End the thread; packets that wait are given up, and what is in work is not taken any more."""
        with self._wake:
            self._stopped = True
            self._packets.clear()
            self._wake.notify()
        self._thread.join(END_S)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopped or self._packets or self._lost)
                if self._stopped:
                    return
                lost, self._lost = self._lost, 0
                packet = self._packets.popleft() if self._packets and not lost else None
                self._bytes -= len(packet or b'')
            if lost:
                reason = f'{lost} packets came faster than they could be decoded'
                self._decoder.lose(reason)
                for _ in range(lost):
                    self._refuse(FrameInvalid('video backlog', reason))
            if packet is not None:
                self._decode(packet)

    def _decode(self, packet: bytes) -> None:
        try:
            decoded = self._decoder.decode(packet, self._most_pixels())
        except FrameInvalid as invalid:
            if not self._stopped:
                self._refuse(invalid)
        else:
            if not self._stopped:
                self._take(*decoded)
