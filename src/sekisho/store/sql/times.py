"""Where a call's time went, in one column: times of the stages, then, behind a -1, what came before its admission and
what it waited. Rows of before have the stages alone."""

import msgspec

_decode = msgspec.msgpack.Decoder(list[int]).decode
_encode = msgspec.msgpack.Encoder().encode


def pack_times(stages_us: tuple[int, ...], lead_us: int, waited_us: int) -> bytes:
    """The column's value. Microseconds."""
    if not lead_us and not waited_us:
        return _encode(stages_us)
    return _encode([*stages_us, -1, lead_us, *((waited_us,) if waited_us else ())])  # most calls wait for nothing


def unpack_times(data: bytes) -> tuple[tuple[int, ...], int, int]:
    """Times of the stages, before the admission, waited."""
    times = _decode(data) if data else []
    if -1 not in times:
        return tuple(times), 0, 0
    at = times.index(-1)
    return tuple(times[:at]), times[at + 1], sum(times[at + 2 :])
