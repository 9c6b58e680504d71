"""Images and requests in which something is wrong, as they would lie on the wire; for malformed.py.

Stamps are right or missing: one that is turned over is a camera of another time, for which a stream begins anew.
"""

from __future__ import annotations

import io
import random
import struct
import time
import zlib

import numpy as np

BEHIND_STAMP = 12  # bytes


def cdr(*fields) -> bytes:
    """Fields in plain CDR: (struct's letter, number), a text, or bytes as a sequence."""
    out = bytearray()

    def number(kind, value):
        size = struct.calcsize(kind)
        out.extend(bytes(-len(out) % size) + struct.pack('<' + kind, value))

    for field in fields:
        if isinstance(field, tuple):
            number(*field)
        else:
            content = field.encode() + b'\0' if isinstance(field, str) else bytes(field)
            number('I', len(content))
            out.extend(content)
    return b'\0\1\0\0' + bytes(out)


def raw(stamp, width=32, height=24, encoding='rgb8', step=96, data=bytes(96 * 24), frame_id='front') -> bytes:
    return cdr(*stamp, frame_id, ('I', height), ('I', width), encoding, ('B', 0), ('I', step), data)


def png(width: int, height: int, data: bytes = b'', depth: int = 8) -> bytes:
    """A PNG of RGB that claims a size, however little it holds."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    header = struct.pack('>IIBBBBB', width, height, depth, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(data)) + chunk(b'IEND', b'')


def jpeg(seed: int = 0) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)).save(file, 'JPEG')
    return file.getvalue()


def stamp_now() -> tuple:
    sec, nanosec = divmod(time.time_ns(), 1_000_000_000)
    return ('i', sec), ('I', nanosec)


def good(camera: str) -> bytes:
    """An image in which nothing is wrong."""
    if camera == 'front':
        return raw(stamp_now(), data=np.random.default_rng().integers(0, 256, 96 * 24, np.uint8).tobytes())
    return cdr(*stamp_now(), 'rear', 'jpeg', jpeg())


def malformed(camera: str, rng: random.Random) -> bytes:
    """An image in which something is wrong, or at least turned over."""
    stamp, big = stamp_now(), rng.choice((2**16, 2**24, 2**30, 2**31, 2**32 - 1))
    kinds = [
        lambda: rng.randbytes(rng.randrange(1, 64)),  # none at all would stop Fast DDS: docs/reliability.md
        lambda: b'\0\1\0\0' + rng.randbytes(9),
        lambda: good(camera)[: rng.randrange(4, 60)],
        lambda: bytes((0, rng.choice((2, 3, 8, 9, 10, 255)), 0, 0)) + good(camera)[4:],
        lambda: turned(good(camera), rng, BEHIND_STAMP),
    ]
    if camera == 'front':
        kinds += [
            lambda: raw(stamp, encoding=f'random{rng.getrandbits(64)}'),
            lambda: raw(stamp, encoding='x' * rng.choice((200, 300, 100_000))),
            lambda: raw(stamp, frame_id='f' * rng.choice((256, 100_000))),
            lambda: raw(stamp, width=big, step=min(3 * big, 2**32 - 1)),
            lambda: raw(stamp, height=big),
            lambda: raw(stamp, step=big),
            lambda: raw(stamp, width=0),
            lambda: raw(stamp, encoding=rng.choice(('uyvy', 'yuyv')), width=31, step=62, data=bytes(62 * 24)),
            lambda: raw((('i', 0), ('I', 0))),
            lambda: raw((('i', rng.randrange(-(2**31), 0)), ('I', 2**32 - 1))),
            lambda: raw(stamp, width=1, height=20_000_000, encoding='mono8', step=1, data=b''),
        ]
    else:
        whole, format = jpeg(rng.randrange(4)), rng.choice(('jpeg', 'png', '', '16UC1; compressedDepth png', 'é\n\0'))
        kinds += [
            lambda: cdr(*stamp, 'rear', format, rng.randbytes(rng.randrange(200))),
            lambda: cdr(*stamp, 'rear', format, whole[: rng.randrange(len(whole))]),
            lambda: cdr(*stamp, 'rear', 'jpeg', turned(whole, rng)),
            lambda: cdr(*stamp, 'rear', 'png', png(big, rng.choice((1, 24, big)))),
            lambda: cdr(*stamp, 'rear', 'png', png(4999, 4999, bytes(100_000))),
            lambda: cdr(*stamp, 'rear', 'png', png(32, 24, bytes(97 * 12))),
            lambda: cdr(*stamp, 'rear', 'png', turned(png(32, 24, bytes(97 * 24)), rng)),
        ]
    return rng.choice(kinds)()


def turned(data: bytes, rng: random.Random, start: int = 0) -> bytes:
    """The same with a few bytes changed, from `start` on."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        changed[rng.randrange(start, len(changed))] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
    return bytes(changed)


def requests(kind) -> list:
    """(request, name of the code that is due) of `Ask`."""
    found = []
    for code, fields, timeout in (
        ('EMPTY_QUESTION', {'question': ''}, (0, 0)),
        ('EMPTY_QUESTION', {'question': ' \n\t\u2003'}, (5, 0)),
        ('QUESTION_TOO_LONG', {'question': 'why? ' * 100_000}, (5, 0)),
        ('INVALID_REQUEST', {'question': 'what?'}, (-5, 0)),
        ('INVALID_REQUEST', {'question': 'what?'}, (2**31 - 1, 2**32 - 1)),
        ('TIMEOUT', {'question': 'what?'}, (0, 1)),
        ('INVALID_REQUEST', {'question': 'what?', 'max_new_tokens': 2**32 - 1}, (5, 0)),
        ('INVALID_REQUEST', {'question': 'what?', 'camera': 'nowhere'}, (5, 0)),
        ('INVALID_REQUEST', {'question': 'what?', 'camera': 'x' * 100_000}, (5, 0)),
        ('INVALID_REQUEST', {'question': 'what?', 'camera': '../rear\n'}, (5, 0)),
    ):
        request = kind.Request(**fields)
        request.timeout.sec, request.timeout.nanosec = timeout
        found.append((request, code))
    return found


def settings() -> dict:
    """Values that no parameter takes, by its name."""
    return {
        'prune_ratio': float('nan'),
        'front.prune_ratio': 'half',
        'rear.input.max_pixels': -1,
        'front.narration.period': 1e308,
        'rear.pruner.method': 'x' * 10_000,
        'model.name': 'other',
        'nothing.of.this.name': 1,
        'cameras': 'a b, c/d',
    }
