"""The event stream codec. Oracle: the official OpenAI SDK's own decoder."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from sekisho.dialects.sse import SseEvent, SseParser, render_event
from sekisho.errors import UpstreamUnavailable
from tests.unit.dialects.random_bodies import UNTIMED

LINES = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data:  two",
        b"data",
        b": comment",
        b"event: ping",
        b"event:x",
        b"id: 7",
        b"nonsense",
        b"",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=24).map(b"".join)


def read(pieces: list[bytes]) -> list[SseEvent]:
    parser = SseParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(bounds)]


@UNTIMED
@given(STREAMS, st.lists(st.integers(0, 10_000), max_size=12))
def test_it_does_not_matter_how_the_bytes_are_cut(stream, places):
    assert read(cut(stream, places)) == read([stream])


@UNTIMED
@given(STREAMS)
def test_one_byte_at_a_time_gives_the_same(stream):
    assert read([stream[i : i + 1] for i in range(len(stream))]) == read([stream])


@UNTIMED
@given(st.lists(st.tuples(st.sampled_from([b"", b"ping"]), st.text(max_size=40)), max_size=8))
def test_what_is_written_is_read_back_by_us_and_by_the_official_sdk(pairs):
    events = [(name, text.replace("\r", "").encode("utf-8", "replace")) for name, text in pairs]
    stream = b"".join(render_event(data, name) for name, data in events)
    assert [(event.name, event.data) for event in read([stream])] == events
    # the SDK splits lines at U+2028 and others too, which JSON text may hold only inside strings it escapes
    if len(stream.decode().splitlines()) == stream.count(b"\n"):
        official = [
            ((sse.event or "").encode(), sse.data.encode())
            for sse in SSEDecoder().iter_bytes(iter([stream]))
            if sse.data
        ]
        assert official == [event for event in events if event[1]]


def test_the_specification_examples():
    assert read([b"data: YHOO\ndata: +2\ndata: 10\n\n"]) == [SseEvent(b"", b"YHOO\n+2\n10")]
    assert read([b"data\n\ndata\ndata\n\ndata:"]) == [SseEvent(b"", b""), SseEvent(b"", b"\n")]
    assert read([b"data:test\n\ndata: test\n\n"]) == [SseEvent(b"", b"test"), SseEvent(b"", b"test")]


def test_a_byte_order_mark_is_skipped_even_when_cut():
    assert read([b"\xef", b"\xbb", b"\xbfdata: a\n\n"]) == [SseEvent(b"", b"a")]


def test_a_carriage_return_ends_a_line_before_the_line_feed_arrives():
    assert read([b"data: a\r", b"\n\r", b"\n"]) == [SseEvent(b"", b"a")]
    assert read([b"data: a\r\r"]) == [SseEvent(b"", b"a")]


def test_an_event_without_end_is_refused_before_it_fills_the_memory():
    parser = SseParser(max_event_bytes=10)
    with pytest.raises(UpstreamUnavailable):
        parser.feed(b"data: 0123456789")
