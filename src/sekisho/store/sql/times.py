"""Where a call's time went, in one column: how many stages, their times, what came before the admission, and waiting.

Each number takes as many bytes as it has groups of seven bits, the lowest first; a zero at the end is left out. Rows of
before are msgpack lists, whose first byte is never a count: the stages, then, behind a -1, the other two.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

_decode = msgspec.msgpack.Decoder(list[int]).decode
_MOST_STAGES: Final = 0x7F


def pack_times(stages_us: tuple[int, ...], lead_us: int, waited_us: int) -> bytes:
    """The column's value. Microseconds."""
    packed = bytearray((len(stages_us),))
    others = (lead_us, waited_us) if waited_us else (lead_us,) if lead_us else ()  # most calls wait for nothing
    for number in (*stages_us, *others):
        rest = max(0, number)
        while rest > 0x7F:
            packed.append(rest & 0x7F | 0x80)
            rest >>= 7
        packed.append(rest)
    return bytes(packed)


def unpack_times(data: bytes) -> tuple[tuple[int, ...], int, int]:
    """Times of the stages, before the admission, waited."""
    if not data:
        return (), 0, 0
    if data[0] > _MOST_STAGES:
        times = _decode(data)
        count = times.index(-1) if -1 in times else len(times)
        rest = times[count + 1 :]
    else:
        count, times = data[0], list(_numbers(data[1:]))
        rest = times[count:]
    lead_us, waited_us, *_ = (*rest, 0, 0)
    return tuple(times[:count]), lead_us, waited_us


def _numbers(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte <= 0x7F:
            yield number
            number = shift = 0
