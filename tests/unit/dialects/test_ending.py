"""How an answer ends that reaches a length which was lowered: by neutral events, whatever wires there are."""

import msgspec
import pytest

from sekisho.dialects.ending import EndedByClamp
from sekisho.dialects.exchange import (
    BlockEnded,
    Event,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStarted,
)
from sekisho.errors import SekishoError
from sekisho.values import Usage

WORDS = "The money is spent."
_events = msgspec.json.Decoder(list[Event])


class Parser:
    """Reads events that are written as JSON."""

    is_complete = False
    failed: SekishoError | None = None

    def feed(self, data: bytes) -> list[Event]:
        return _events.decode(data)

    def whole(self, body: bytes) -> list[Event]:
        return _events.decode(body)


class Renderer:
    """Keeps the events it is given."""

    media_type = b"application/json"

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def events(self, events: list[Event]) -> bytes:
        self.seen += events
        return b"x"

    def finish(self, cost_nanousd: int | None) -> bytes:
        return b""

    def whole(self, events: list[Event], cost_nanousd: int | None) -> bytes:
        self.seen += events
        return b""

    def failure(self, error: SekishoError) -> bytes:
        return b""

    def keepalive(self) -> bytes:
        return b""


def rendered(*events: Event, is_whole: bool = False) -> list[Event]:
    renderer = Renderer()
    ended = EndedByClamp(Parser(), renderer, WORDS)
    if is_whole:
        ended.read(msgspec.json.encode(events), {})
        ended.body(None)
    else:
        for event in events:
            ended.feed(msgspec.json.encode([event]))
    return renderer.seen


def tool(index: int, *pieces: str, ended: bool = True) -> list[Event]:
    events: list[Event] = [ToolStarted(index, f"id{index}", "write"), *(ToolDelta(index, piece) for piece in pieces)]
    return [*events, BlockEnded(index)] if ended else events


CUT = Stopped("max_tokens")
SAID: list[Event] = [TextDelta(0, "Hello"), BlockEnded(0)]


@pytest.mark.parametrize("is_whole", [False, True])
@pytest.mark.parametrize("last", [tool(1, '{"a":"b'), tool(1, '{"a":"b', ended=False), tool(1), tool(1, "{}")])
def test_a_tool_call_that_is_cut_off_is_left_out(last: list[Event], is_whole: bool) -> None:
    seen = rendered(Started("i"), *SAID, *last, CUT, Metered(Usage(1)), is_whole=is_whole)
    words = [TextDelta(2, f"\n\n{WORDS}"), BlockEnded(2)]
    assert seen == [Started("i"), *SAID, *words, Stopped("end_turn"), Metered(Usage(1))]


def test_tool_calls_that_are_whole_stay_behind_the_words() -> None:
    seen = rendered(*tool(0, '{"a":', "1}"), *tool(1), *tool(2, '{"b'), CUT)
    words: list[Event] = [TextDelta(3, WORDS), BlockEnded(3)]
    kept = [msgspec.structs.replace(event, index=4 + event.index) for event in [*tool(0, '{"a":', "1}"), *tool(1)]]
    assert seen == [*words, *kept, Stopped("tool_use")]


def test_an_answer_that_ends_by_itself_is_as_it_was_with_its_tools_at_the_end() -> None:
    seen = rendered(*SAID, *tool(1, "{}"), Stopped("tool_use"))
    assert seen[:2] == SAID and seen[-1] == Stopped("tool_use")
    assert [type(event) for event in seen[2:-1]] == [ToolStarted, ToolDelta, BlockEnded]


def test_a_block_that_is_open_at_the_cut_is_ended_before_the_words() -> None:
    seen = rendered(ThinkingDelta(0, "hm"), BlockEnded(0), TextDelta(1, "Hel"), CUT)
    assert seen[2:] == [
        TextDelta(1, "Hel"),
        BlockEnded(1),
        TextDelta(2, f"\n\n{WORDS}"),
        BlockEnded(2),
        Stopped("end_turn"),
    ]


def test_an_answer_that_thought_for_too_long_is_the_words_alone() -> None:
    assert rendered(ThinkingDelta(0, "hm"), CUT)[1:] == [
        BlockEnded(0),
        TextDelta(1, WORDS),
        BlockEnded(1),
        Stopped("end_turn"),
    ]
