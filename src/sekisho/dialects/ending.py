"""An answer that we have made shorter than the client asked, and how it ends if that was not enough.

A tool call that is cut off must not be run, and an agent that is told of a length limit asks for more. So tool calls
wait until they are whole; one that never is is left out, and a text says why the answer ends.
Above: the call path, for clamped calls only. Below: the neutral exchange.
"""

import msgspec

from sekisho.dialects.exchange import (
    BlockEnded,
    Event,
    Metered,
    ReplyParser,
    ReplyRenderer,
    Started,
    Stopped,
    TextDelta,
    ToolDelta,
    ToolStarted,
)
from sekisho.dialects.tool_counts import count_tool
from sekisho.dialects.translation import Translated


class EndedByClamp(Translated):
    """A `Translation` whose answer, should it reach its length limit, ends with `words` and no half tool call."""

    def __init__(self, parser: ReplyParser, renderer: ReplyRenderer, words: str) -> None:
        super().__init__(parser, renderer)
        self._words = words
        self._tools: dict[int, list[Event]] = {}  # by index, in the order they began
        self._open: set[int] = set()
        self._next_index = 0
        self._has_text = False

    def feed(self, data: bytes) -> bytes:
        events = self._parser.feed(data)
        self._note(events)
        passed = self._pass(events)
        return self._renderer.events(passed) if passed else b""

    def read(self, body: bytes, headers: dict[bytes, bytes]) -> None:
        events = self._parser.whole(body)
        self._note(events)
        self._events = self._pass(events)

    def _pass(self, events: list[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if isinstance(event, Started | Metered):
                out.append(event)
            elif isinstance(event, Stopped):
                self._end(event, out)
            else:
                self._pass_block(event, out)
        return out

    def _pass_block(self, event: Event, out: list[Event]) -> None:
        index = getattr(event, "index", 0)
        self._next_index = max(self._next_index, index + 1)
        if isinstance(event, ToolStarted):
            self._tools[index] = [event]
        elif index in self._tools:
            self._tools[index].append(event)
        else:
            if isinstance(event, BlockEnded):
                self._open.discard(index)
            else:
                self._open.add(index)
            self._has_text = self._has_text or isinstance(event, TextDelta)
            out.append(event)

    def _end(self, stopped: Stopped, out: list[Event]) -> None:
        """What was held, the reason why the answer ends here, and the end."""
        out += (BlockEnded(index) for index in sorted(self._open))
        self._open.clear()
        if stopped.reason == "max_tokens":
            last = max(self._tools, default=0)
            self._tools = {at: held for at, held in self._tools.items() if _is_whole(held, is_last=at == last)}
            text = f"\n\n{self._words}" if self._has_text else self._words
            out += (TextDelta(self._next_index, text), BlockEnded(self._next_index))
            self._next_index += 1
            stopped = Stopped("tool_use" if self._tools else "end_turn")
            self.tools = {}
            for held in self._tools.values():
                if isinstance(held[0], ToolStarted):
                    count_tool(self.tools, held[0].name)
        for index, held in self._tools.items():
            # behind the text, since one block ends before the next begins
            moved = (msgspec.structs.replace(event, index=self._next_index + index) for event in held)
            out += moved
            if not isinstance(held[-1], BlockEnded):
                out.append(BlockEnded(self._next_index + index))
        self._tools = {}
        out.append(stopped)


def _is_whole(held: list[Event], *, is_last: bool) -> bool:
    """Whether a tool call has all of its input, which is an object; an empty one may be a beginning at the very end."""
    text = "".join(event.json for event in held if isinstance(event, ToolDelta))
    if text.strip() in ("", "{}"):
        return not is_last
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
