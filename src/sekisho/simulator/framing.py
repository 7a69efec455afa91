"""Writes `application/vnd.amazon.eventstream` frames.

Written apart from the gateway's own codec on purpose: each is the other's oracle. Layout: total length, headers length,
CRC-32 of those 8 bytes, headers, payload, CRC-32 of everything before it; all integers big-endian.
"""

import struct
import zlib
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec

from sekisho.simulator.exceptions import AwsException

_STRING = 7
_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame; every header value is of the string type."""
    head = bytearray()
    for name, value in headers.items():
        raw_name, raw_value = name.encode(), value.encode()
        head += struct.pack("!B", len(raw_name)) + raw_name + struct.pack("!BH", _STRING, len(raw_value)) + raw_value
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack("!I", zlib.crc32(body))


def event(event_type: str, payload: Mapping[str, Any], random: Random) -> bytes:
    """An event frame whose payload carries the padding member `p` of random length, as Bedrock's do."""
    padded = {**payload, "p": _PADDING[: random.randint(1, len(_PADDING))]}
    headers = {":event-type": event_type, ":content-type": "application/json", ":message-type": "event"}
    return encode(headers, msgspec.json.encode(padded))


def exception(error: AwsException) -> bytes:
    """The frame that ends a stream with an exception after HTTP 200."""
    headers = {
        ":exception-type": error.stream_name,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode(headers, error.body())


def with_bad_crc(frame: bytes) -> bytes:
    """The same frame with one bit of its message checksum turned."""
    return frame[:-1] + bytes([frame[-1] ^ 1])
