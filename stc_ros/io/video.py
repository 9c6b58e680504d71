"""Pictures of a video file or of a camera device, read with PyAV (FFmpeg)."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np

SLACK_S = 1e-6  # times in a file are rounded


class VideoError(Exception):
    """A video cannot be read. The message names it, and the remedy."""


class Video:
    """An open video file (`clip.mp4`) or Video4Linux device (`/dev/video0`).

    `size` is the longest side of the pictures in pixels; 0 leaves them as they are. `rate` is in Hz. A device is
    `live`: its pictures come when they come, and nothing says how many. Raises `VideoError`.
    """

    def __init__(self, source: str, size: int = 0):
        self.source = source
        self.live = source.startswith('/dev/')
        try:
            self._container = av.open(source, format='v4l2' if self.live else None)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise VideoError(f'{source}: {_reason(error)}. {self._remedy()}') from None
        if not self._container.streams.video:
            self._container.close()
            raise VideoError(f'{source} holds no video stream. {self._remedy()}')
        stream = self._container.streams.video[0]
        stream.thread_type = 'SLICE' if self.live else 'AUTO'  # frame threads would delay a live picture
        self.count = stream.frames  # as the file says; 0: it does not
        self.rate = float(stream.average_rate or stream.guessed_rate or 25.0)
        length = self._container.duration  # of the longest stream in it
        self.seconds = length / av.time_base if length else self.count / self.rate  # 0: the file does not say
        scale = size / max(stream.width, stream.height) if size else 1.0
        self.width, self.height = (max(2, round(side * scale)) for side in (stream.width, stream.height))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the pictures, uint8 [height, width, 3] RGB. A file ends; asking again starts it anew."""
        return (picture for _, picture in self.timed())

    def timed(self, period: float = 0.0) -> Iterator[tuple[float, np.ndarray]]:
        """As above, each with its time in seconds: as the file says, or else by the rate.

        period: of every so many seconds only the first picture is given, and the others are not converted.
        """
        number, due = 0, float('-inf')
        try:
            if not self.live:
                self._container.seek(0)
            for frame in self._container.decode(video=0):
                time = number / self.rate if frame.time is None else float(frame.time)
                number += 1
                if time < due - SLACK_S:
                    continue
                if period:
                    start = time if due == float('-inf') else due
                    due = start + period * (1 + int((time - start + SLACK_S) / period))
                yield time, frame.to_ndarray(format='rgb24', width=self.width, height=self.height)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f'{self.source}: {_reason(error)} after {number} pictures. {self._remedy()}') from None
        if number == 0:
            raise VideoError(f'{self.source} holds not one picture that can be read. {self._remedy()}')

    def close(self) -> None:
        self._container.close()

    def _remedy(self) -> str:
        if self.live:
            return 'Look for the camera with: ls -l /dev/video* (and be in the group "video").'
        return 'Give the path of a video file that FFmpeg reads, for example an .mp4.'


def _reason(error: Exception) -> str:
    return getattr(error, 'strerror', None) or str(error)
