"""AWS event stream frames: the binary framing of Bedrock's streamed answers.

A frame is a 4-byte total length, a 4-byte header length, the CRC-32 of those 8 bytes, the headers, the payload, and the
CRC-32 of everything before it. A header is a 1-byte name length, the name, a 1-byte type and a value; Bedrock uses type
7, a string with a 2-byte length. Above: the Converse and Invoke codecs. Below: nothing.
Source: the protocol text of the AWS SDKs; the limits are those of botocore.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple, NoReturn
from zlib import crc32

from sekisho.errors import UpstreamUnavailable

MAX_HEADERS_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024

_PRELUDE_BYTES = 12
_OVERHEAD_BYTES = 16  # prelude and the trailing CRC
_STRING = 7
_unpack_prelude = struct.Struct("!III").unpack_from
_pack_lengths = struct.Struct("!II").pack
_pack_u32 = struct.Struct("!I").pack
_unpack_u32 = struct.Struct("!I").unpack_from
_unpack_u16 = struct.Struct("!H").unpack_from

# The types Bedrock does not use are still read, as text, so that a new header never breaks a stream.
_FIXED_WIDTH: dict[int, tuple[int, Callable[[bytes], str]]] = {
    0: (0, lambda value: "true"),
    1: (0, lambda value: "false"),
    2: (1, lambda value: str(int.from_bytes(value, "big", signed=True))),
    3: (2, lambda value: str(int.from_bytes(value, "big", signed=True))),
    4: (4, lambda value: str(int.from_bytes(value, "big", signed=True))),
    5: (8, lambda value: str(int.from_bytes(value, "big", signed=True))),
    8: (8, lambda value: str(int.from_bytes(value, "big", signed=True))),
    9: (16, bytes.hex),
}
_BYTE_ARRAY = 6

_CACHED_BLOCKS = 32
_CACHED_BLOCK_BYTES = 512


class Frame(NamedTuple):
    """One message. `headers` may be shared between frames: read only."""

    headers: Mapping[str, str]
    payload: bytes


class FrameDecoder:
    """Cuts a byte stream into frames, however it was split. One instance per stream.

    Work is by offset: a byte is copied a fixed number of times, also when a large frame comes in small pieces. After an
    error the stream has lost its framing, and the decoder must not be used again.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._needed = _PRELUDE_BYTES  # bytes that must be there before the next step can be made
        self._known_headers: dict[bytes, dict[str, str]] = {}

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that is not complete yet; not 0 at the end of a stream means that it was cut."""
        return len(self._pending)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames completed by `data`, to be taken to the end. Raises UpstreamUnavailable, behind the frames before
        it, for a broken frame or one over the limits."""
        return (frame for frame, _ in self.feed_raw(data))

    def feed_raw(self, data: bytes) -> Iterator[tuple[Frame, bytes]]:
        """As `feed`, each frame with its own bytes as they came."""
        if self._pending:
            self._pending += data
            if len(self._pending) < self._needed:
                return
            data = bytes(self._pending)
        offset, size = 0, len(data)
        self._needed = _PRELUDE_BYTES
        while size - offset >= _PRELUDE_BYTES:
            total, headers_size = _check_prelude(data, offset)
            end = offset + total
            if end > size:
                self._needed = total
                break
            raw = data[offset:end] if total != size else data
            if crc32(memoryview(raw)[:-4]) != _unpack_u32(raw, total - 4)[0]:
                _broken("the checksum of a message is wrong")
            headers_end = _PRELUDE_BYTES + headers_size
            headers = self._headers(raw[_PRELUDE_BYTES:headers_end])
            yield Frame(headers, raw[headers_end:-4]), raw
            offset = end
        self._pending = bytearray(data[offset:])

    def _headers(self, block: bytes) -> dict[str, str]:
        known = self._known_headers.get(block)
        if known is None:
            known = _parse_headers(block)
            if len(block) <= _CACHED_BLOCK_BYTES and len(self._known_headers) < _CACHED_BLOCKS:
                self._known_headers[block] = known
        return known


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """The bytes of one frame with string headers. Raises ValueError for what the format cannot hold."""
    block = _header_block(tuple(headers.items()))
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError("the payload is larger than a frame may carry")
    lengths = _pack_lengths(_OVERHEAD_BYTES + len(block) + len(payload), len(block))
    head = lengths + _pack_u32(crc32(lengths)) + block
    return b"".join((head, payload, _pack_u32(crc32(payload, crc32(head)))))


@lru_cache(maxsize=64)  # a door writes the same few header sets for every event
def _header_block(items: tuple[tuple[str, str], ...]) -> bytes:
    block = bytearray()
    for name, value in items:
        name_bytes, value_bytes = name.encode(), value.encode()
        if not 0 < len(name_bytes) < 256 or len(value_bytes) > 0x7FFF:
            raise ValueError("a header name has 1 to 255 bytes, its value at most 32767")
        block += bytes((len(name_bytes),)) + name_bytes
        block += bytes((_STRING,)) + len(value_bytes).to_bytes(2, "big") + value_bytes
    if len(block) > MAX_HEADERS_BYTES:
        raise ValueError("the headers are larger than a frame may carry")
    return bytes(block)


def _check_prelude(data: bytes, offset: int) -> tuple[int, int]:
    total, headers_size, checksum = _unpack_prelude(data, offset)
    if crc32(data[offset : offset + 8]) != checksum:
        _broken("the checksum of a prelude is wrong")
    if headers_size > MAX_HEADERS_BYTES:
        _broken("the headers are too large")
    payload_size = total - headers_size - _OVERHEAD_BYTES
    if not 0 <= payload_size <= MAX_PAYLOAD_BYTES:
        _broken("the length of a message is impossible or too large")
    return total, headers_size


def _parse_headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    offset, size = 0, len(block)
    try:
        while offset < size:
            start = offset + 1
            offset = start + block[offset]
            name = block[start:offset].decode()
            kind = block[offset]
            offset += 1
            fixed = _FIXED_WIDTH.get(kind)
            if fixed:
                width, render = fixed
                text = render(block[offset : offset + width])
            elif kind in (_STRING, _BYTE_ARRAY):
                width = _unpack_u16(block, offset)[0]
                offset += 2
                value = block[offset : offset + width]
                text = value.decode() if kind == _STRING else value.hex()
            else:
                _broken("a header has an unknown type")
            offset += width
            if name in headers:
                _broken("a header came twice")
            headers[name] = text
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise UpstreamUnavailable("The provider's stream is broken: a header cannot be read.") from error
    if offset != size:
        _broken("a header is longer than its block")
    return headers


def _broken(reason: str) -> NoReturn:
    raise UpstreamUnavailable(f"The provider's stream is broken: {reason}.")
