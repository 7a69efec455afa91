import struct
from zlib import crc32

import botocore.eventstream
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.dialects.bedrock.event_stream import (
    MAX_HEADERS_BYTES,
    MAX_PAYLOAD_BYTES,
    Frame,
    FrameDecoder,
    encode_frame,
)
from sekisho.errors import UpstreamUnavailable
from tests.unit.dialects.wire import CUTS, pieces

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: len(name.encode()) < 256)
FRAMES = st.lists(st.tuples(st.dictionaries(NAMES, st.text(max_size=40), max_size=4), st.binary(max_size=300)))


def botocore_frames(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(data)
    return [(dict(event.headers), event.payload) for event in buffer]


def frame_with(headers: bytes, payload: bytes = b"", **wrong: int) -> bytes:
    total = wrong.get("total", 16 + len(headers) + len(payload))
    lengths = struct.pack("!II", total, wrong.get("headers_size", len(headers)))
    body = lengths + struct.pack("!I", crc32(lengths)) + headers + payload
    return body + struct.pack("!I", crc32(body))


@given(FRAMES, CUTS)
def test_botocore_and_we_read_what_we_write_however_it_is_split(frames, cuts):
    data = b"".join(encode_frame(headers, payload) for headers, payload in frames)
    decoder = FrameDecoder()
    ours = [frame for piece in pieces(data, cuts) for frame in decoder.feed(piece)]
    assert [(dict(frame.headers), frame.payload) for frame in ours] == frames == botocore_frames(data)
    assert decoder.pending_bytes == 0


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(1, 255))
def test_a_flipped_byte_breaks_the_stream_for_botocore_and_for_us(payload, at, flip):
    data = bytearray(encode_frame({":event-type": "chunk"}, payload))
    data[at % len(data)] ^= flip
    with pytest.raises(botocore.eventstream.ParserError):
        botocore_frames(bytes(data))
    with pytest.raises(UpstreamUnavailable):
        list(FrameDecoder().feed(bytes(data)))


@given(st.binary(max_size=200))
def test_any_header_block_gives_what_botocore_reads_or_a_broken_stream(block):
    data = frame_with(block)
    try:
        expected = botocore_frames(data)
    except (botocore.eventstream.ParserError, struct.error, UnicodeDecodeError, KeyError, IndexError):
        with pytest.raises(UpstreamUnavailable):
            list(FrameDecoder().feed(data))
        return
    try:
        (ours,) = FrameDecoder().feed(data)
    except UpstreamUnavailable:
        return  # botocore slices past the end of a block, we do not
    assert set(ours.headers) == set(expected[0][0])


def test_every_header_type_is_read_as_text():
    def header(name: bytes, kind: int, value: bytes) -> bytes:
        return bytes([len(name)]) + name + bytes([kind]) + value

    block = b"".join(
        (
            header(b"yes", 0, b""),
            header(b"no", 1, b""),
            header(b"byte", 2, b"\xff"),
            header(b"short", 3, b"\x01\x00"),
            header(b"int", 4, b"\x00\x00\x00\x07"),
            header(b"long", 5, b"\xff" * 8),
            header(b"bytes", 6, b"\x00\x02\xab\xcd"),
            header(b"text", 7, b"\x00\x02ok"),
            header(b"time", 8, b"\x00" * 7 + b"\x09"),
            header(b"uuid", 9, bytes(range(16))),
        )
    )
    assert list(FrameDecoder().feed(frame_with(block, b"x"))) == [
        Frame(
            {
                "yes": "true",
                "no": "false",
                "byte": "-1",
                "short": "256",
                "int": "7",
                "long": "-1",
                "bytes": "abcd",
                "text": "ok",
                "time": "9",
                "uuid": "000102030405060708090a0b0c0d0e0f",
            },
            b"x",
        )
    ]


@pytest.mark.parametrize(
    "data",
    [
        frame_with(b"", headers_size=MAX_HEADERS_BYTES + 1, total=MAX_HEADERS_BYTES + 100),
        frame_with(b"", total=MAX_PAYLOAD_BYTES + 17),
        frame_with(b"", total=15),
        frame_with(b"", headers_size=20, total=30),
        frame_with(b"\x01a\x0a"),  # no such type
        frame_with(b"\x01a\x00\x01a\x00"),  # the same header twice
        frame_with(b"\x01a\x07\x00\x05abc"),  # longer than its block
    ],
)
def test_impossible_lengths_and_headers_break_the_stream_before_more_is_read(data):
    with pytest.raises(UpstreamUnavailable):
        list(FrameDecoder().feed(data))


def test_the_largest_frame_passes_in_small_pieces_and_comes_with_its_own_bytes():
    data = encode_frame({":event-type": "chunk"}, bytes(MAX_PAYLOAD_BYTES))
    decoder = FrameDecoder()
    frames: list[tuple[Frame, bytes]] = []
    for at in range(0, len(data), 65536):
        frames += decoder.feed_raw(data[at : at + 65536])
    assert [(len(frame.payload), raw == data) for frame, raw in frames] == [(MAX_PAYLOAD_BYTES, True)]


def test_pending_bytes_tell_a_cut_stream():
    decoder = FrameDecoder()
    assert list(decoder.feed(encode_frame({}, b"whole") + encode_frame({}, b"cut")[:-1])) == [Frame({}, b"whole")]
    assert decoder.pending_bytes == 18


@pytest.mark.parametrize(
    ("headers", "payload"),
    [
        ({"": "x"}, b""),
        ({"n" * 256: "x"}, b""),
        ({"n": "x" * 32768}, b""),
        ({f"n{at}": "x" * 32000 for at in range(5)}, b""),
        ({}, bytes(MAX_PAYLOAD_BYTES + 1)),
    ],
)
def test_what_a_frame_cannot_hold_is_not_written(headers, payload):
    with pytest.raises(ValueError, match=r"header|payload"):
        encode_frame(headers, payload)


def test_streams_with_ever_new_headers_are_read_as_any_other():
    decoder = FrameDecoder()
    frames = [Frame({"n": str(at), "long": "x" * at * 20}, b"") for at in range(60)]
    assert list(decoder.feed(b"".join(encode_frame(*frame) for frame in frames))) == frames


def test_frames_before_a_broken_one_are_given_first():
    data = encode_frame({}, b"good") + encode_frame({}, b"bad")[:-1] + b"!"
    got = []
    with pytest.raises(UpstreamUnavailable):
        for frame in FrameDecoder().feed(data):
            got.append(frame.payload)
    assert got == [b"good"]
