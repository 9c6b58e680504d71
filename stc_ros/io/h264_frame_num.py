"""Tells from H.264's own numbering that a picture on which later ones rest is missing; FFmpeg hides such a loss."""

from __future__ import annotations

SLICE, IDR, SPS = 1, 5, 7  # NAL unit types, ITU-T H.264 table 7-1
HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}  # whose SPS says more: §7.3.2.1.1
ENOUGH = 512  # bytes of a NAL unit in which all lies that is read here


class FrameNumbers:
    """Follows `frame_num` (§7.4.3) through a stream: it counts the pictures that others refer to."""

    def __init__(self):
        self._bits = 0  # of frame_num; 0: not known, or the stream may leave numbers out
        self._colour_planes = False
        self._last: int | None = None  # frame_num of the last picture that others may refer to

    def missing(self, nals: list[bytes]) -> bool:
        """Whether a picture is missing before the one whose NAL units these are."""
        gap = False
        for nal in nals:
            kind = nal[0] & 0x1F
            try:
                if kind == SPS:
                    self._read_parameters(_Bits(nal))
                elif kind in (SLICE, IDR) and self._bits:
                    number = self._frame_num(_Bits(nal))
                    gap = kind == SLICE and self._last is not None and number != (self._last + 1) % (1 << self._bits)
                    if nal[0] & 0x60:  # nal_ref_idc
                        self._last = number
                    break  # its other slices say the same
            except IndexError:  # cut off: the decoder finds out itself
                break
        return gap

    def _frame_num(self, bits: _Bits) -> int:
        for _ in ('first_mb_in_slice', 'slice_type', 'pic_parameter_set_id'):
            bits.number()
        if self._colour_planes:
            bits.take(2)
        return bits.take(self._bits)

    def _read_parameters(self, bits: _Bits) -> None:
        """A sequence parameter set, up to gaps_in_frame_num_value_allowed_flag."""
        profile = bits.take(8)
        bits.take(16)
        bits.number()
        self._colour_planes = False
        if profile in HIGH_PROFILES:
            chroma = bits.number()
            self._colour_planes = chroma == 3 and bool(bits.take(1))
            bits.number()
            bits.number()
            bits.take(1)
            if bits.take(1):
                for index in range(12 if chroma == 3 else 8):
                    if bits.take(1):
                        _skip_scaling_list(bits, 16 if index < 6 else 64)
        length = bits.number() + 4
        order = bits.number()  # pic_order_cnt_type
        if order == 0:
            bits.number()
        elif order == 1:
            bits.take(1)
            bits.number()
            bits.number()
            for _ in range(bits.number()):
                bits.number()
        bits.number()
        self._bits = 0 if bits.take(1) else length


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.number()
            following = (last + ((code + 1) // 2 if code % 2 else -(code // 2))) % 256
        last = following or last


class _Bits:
    """The bits behind a NAL unit's first byte. Raises IndexError at their end."""

    def __init__(self, nal: bytes):
        data = nal[1:ENOUGH].replace(b'\x00\x00\x03', b'\x00\x00')  # without emulation prevention
        self._value, self._left = int.from_bytes(data, 'big'), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise IndexError(count)
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def number(self) -> int:
        """Exp-Golomb code, §9.1."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
