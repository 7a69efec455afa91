"""OpenAI chat completions, the upstream's answer: stream or body to neutral events.

Written for what compatible servers really send: names and ids repeated or missing, tool calls numbered from anywhere,
usage in the last chunk or in every one, thinking in four places, errors inside the stream.
"""

import os
from collections.abc import Iterator
from typing import Any

import msgspec

from sekisho.dialects.exchange import (
    BlockEnded,
    Event,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ThinkingRedacted,
    ThinkingSigned,
    ToolDelta,
    ToolStarted,
)
from sekisho.dialects.failing import Failing
from sekisho.dialects.openai_chat.faults import named_error, reported_error
from sekisho.dialects.openai_chat.usage import parse_usage
from sekisho.dialects.reading import UNREADABLE, mend_surrogates
from sekisho.dialects.sse import SseParser
from sekisho.errors import SekishoError, UpstreamUnavailable
from sekisho.values import StopReason

DONE = b"[DONE]"
_STOP_REASONS: dict[str, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "content_filtered",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: Any = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    thinking_blocks: list[dict[str, Any]] | None = None
    reasoning_details: list[dict[str, Any]] | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None
    stop_reason: Any = None


class Chunk(msgspec.Struct):
    """A piece of a stream, or a whole answer."""

    id: str | None = None
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None
    object: str | None = None
    message: Any = None
    code: Any = None

    @property
    def failure(self) -> Any:
        """What the upstream says went wrong; None when nothing did. Older vLLM makes the chunk itself the error."""
        if self.object == "error" and not self.error:
            return {"message": self.message, "code": self.code}
        return self.error or None

    def called_tools(self, calls: int) -> Iterator[tuple[int, str, str]]:
        """The calls of tools that are named in this piece of a stream: number, id or empty, name. `calls`: how many
        there were before, for servers that number none."""
        for choice in self.choices or ():
            if choice.index or choice.delta is None:
                continue
            if choice.delta.function_call is not None and choice.delta.function_call.name:
                yield 0, "", choice.delta.function_call.name
            for call in choice.delta.tool_calls or ():
                if call.function is not None and call.function.name:
                    yield calls if call.index is None else call.index, call.id or "", call.function.name
                    calls += 1


class _ToolBlock(msgspec.Struct):
    index: int
    id: str
    pieces: list[str]
    is_open: bool = True


_decode_chunk = msgspec.json.Decoder(Chunk).decode


def decode_chunk(data: bytes) -> Chunk:
    """Raises UpstreamUnavailable for bytes that are no chunk or completion."""
    try:
        return _decode_chunk(data)
    except UNREADABLE as error:
        mended = mend_surrogates(data)
        if mended != data:
            return decode_chunk(mended)
        raise UpstreamUnavailable("The model provider sent an answer that cannot be read.") from error


def read_finish_reason(finish_reason: str) -> StopReason:
    """Words that are not OpenAI's mean an ordinary end, but for "error" (OpenRouter), which is one."""
    if finish_reason == "error":
        raise UpstreamUnavailable("The model provider broke off its answer.")
    return _STOP_REASONS.get(finish_reason, "end_turn")


class ReplyParser:
    """Reads one answer of an OpenAI-compatible upstream."""

    def __init__(self) -> None:
        self._sse = SseParser()
        self._failing = Failing()
        self._is_complete = False
        self._has_started = False
        self._has_tools = False
        self._has_reasoning_text = False
        self._next_index = 0
        self._open_kind = ""  # "text" or "thinking": the kind of the open block, tools aside
        self._open_index = 0
        self._tools: dict[int, _ToolBlock] = {}

    @property
    def is_complete(self) -> bool:
        """Only [DONE] counts: after a finish reason the usage is still to come."""
        return self._is_complete

    @property
    def failed(self) -> SekishoError | None:
        """What ended the stream behind the last that `feed` returned."""
        return self._failing.error

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        with self._failing.behind(events):
            for event in self._sse.feed(data):
                if self._is_complete:
                    break
                if event.data == DONE:
                    self._is_complete = True
                elif event.name == b"error":
                    raise named_error(event.data)
                else:
                    self._take(decode_chunk(event.data), events)
        return events

    def whole(self, body: bytes) -> list[Event]:
        chunk = decode_chunk(body)
        if not chunk.choices and chunk.failure is None:
            raise UpstreamUnavailable("The model provider sent an answer without a choice.")
        events: list[Event] = []
        for choice in chunk.choices or ():
            if choice.message is not None:
                _drop_repeated_thinking(choice.message)
        self._take(chunk, events)
        self._is_complete = True
        return events

    def _take(self, chunk: Chunk, events: list[Event]) -> None:
        if chunk.failure is not None:
            raise reported_error(chunk.failure)
        if not self._has_started:
            self._has_started = True
            events.append(Started(chunk.id or ""))
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._take_choice(choice, events)
        if chunk.usage:
            events.append(Metered(parse_usage(chunk.usage)))

    def _take_choice(self, choice: _Choice, events: list[Event]) -> None:
        delta = choice.delta or choice.message
        if delta is not None:
            self._take_thinking(delta, events)
            for text in (_flat_text(delta.content), delta.refusal):
                if text:
                    events.append(TextDelta(self._open("text", events), text))
            for call in delta.tool_calls or ():
                self._take_tool_call(call, events)
            if delta.function_call is not None:
                self._take_tool_call(_ToolCall(0, None, delta.function_call), events)
        if choice.finish_reason:
            self._close(events)
            events.append(self._stopped(choice))

    def _stopped(self, choice: _Choice) -> Stopped:
        reason = read_finish_reason(choice.finish_reason or "")
        if reason == "end_turn" and self._has_tools:
            return Stopped("tool_use")  # some servers say "stop" after tool calls
        if reason == "end_turn" and isinstance(choice.stop_reason, str):
            return Stopped("stop_sequence", choice.stop_reason)  # vLLM names the sequence
        return Stopped(reason)

    def _open(self, kind: str, events: list[Event]) -> int:
        """The index of the open block of this kind; opens one, closing all others, when there is none."""
        if self._open_kind != kind:
            self._close(events)
            self._open_kind = kind
            self._open_index = self._new_index()
        return self._open_index

    def _new_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1

    def _close(self, events: list[Event]) -> None:
        self._close_spoken(events)
        for tool in self._tools.values():
            _end_tool(tool, events)

    def _close_spoken(self, events: list[Event]) -> None:
        if self._open_kind:
            events.append(BlockEnded(self._open_index))
            self._open_kind = ""
            self._has_reasoning_text = False

    def _take_thinking(self, delta: _Delta, events: list[Event]) -> None:
        text = delta.reasoning_content or (delta.reasoning if isinstance(delta.reasoning, str) else "")
        if text:
            events.append(ThinkingDelta(self._open("thinking", events), text))
            self._has_reasoning_text = True
        for block in delta.thinking_blocks or delta.reasoning_details or ():
            self._take_thinking_block(block, events)

    def _take_thinking_block(self, block: dict[str, Any], events: list[Event]) -> None:
        """A block's text repeats what `reasoning_content` said, where that is there; its signature ends the block."""
        text, signature, data = (_text(block, *keys) for keys in (("thinking", "text"), ("signature",), ("data",)))
        if data:
            self._close(events)
            index = self._new_index()
            events += [ThinkingRedacted(index, data), BlockEnded(index)]
            return
        if text and not (self._open_kind == "thinking" and self._has_reasoning_text):
            events.append(ThinkingDelta(self._open("thinking", events), text))
        if signature:
            events.append(ThinkingSigned(self._open("thinking", events), signature))
            self._close_spoken(events)

    def _take_tool_call(self, call: _ToolCall, events: list[Event]) -> None:
        name = (call.function.name if call.function else None) or ""
        arguments = call.function.arguments if call.function else None
        fragment = arguments if isinstance(arguments, str) else ""
        if isinstance(arguments, dict):
            fragment = msgspec.json.encode(arguments).decode()  # Ollama's native form
        key = call.index if call.index is not None else self._guess_index(name)
        tool = self._tools.get(key)
        if tool is None or (call.id and name and call.id != tool.id):
            if not name:
                raise UpstreamUnavailable("The model provider sent a tool call without a name.")
            tool = self._start_tool(key, call.id or "", name, events)
        if not fragment:
            return
        if not tool.is_open:
            if fragment.strip():
                raise UpstreamUnavailable("The model provider went on with a tool call that was complete.")
            return
        tool.pieces.append(fragment)
        events.append(ToolDelta(tool.index, fragment))

    def _guess_index(self, name: str) -> int:
        """Servers that number no calls send each whole, or go on with the last."""
        is_new = not self._tools or bool(name)
        return len(self._tools) if is_new else len(self._tools) - 1

    def _start_tool(self, key: int, tool_id: str, name: str, events: list[Event]) -> _ToolBlock:
        self._has_tools = True
        self._close_spoken(events)
        for other in self._tools.values():
            if _is_whole(other):  # an unfinished one may go on later: tool blocks may interleave
                _end_tool(other, events)
        replaced = self._tools.pop(key, None)
        if replaced is not None:
            _end_tool(replaced, events)
        tool = _ToolBlock(self._new_index(), tool_id, [])
        self._tools[key] = tool
        events.append(ToolStarted(tool.index, tool_id or f"call_{os.urandom(8).hex()}", name))
        return tool


def _end_tool(tool: _ToolBlock, events: list[Event]) -> None:
    if tool.is_open:
        tool.is_open = False
        events.append(BlockEnded(tool.index))


def _is_whole(tool: _ToolBlock) -> bool:
    """Whether the input is complete JSON, so that nothing can follow."""
    try:
        msgspec.json.decode("".join(tool.pieces))
    except (*UNREADABLE, UnicodeEncodeError):
        return False
    return True


def _drop_repeated_thinking(message: _Delta) -> None:
    """In a whole answer, blocks with text hold all the thinking; the plain text beside them repeats it."""
    blocks = message.thinking_blocks or message.reasoning_details or ()
    if any(_text(block, "thinking", "text") for block in blocks):
        message.reasoning_content = message.reasoning = None


def _text(source: dict[str, Any], *keys: str) -> str:
    return next((value for key in keys if isinstance(value := source.get(key), str)), "")


def _flat_text(content: Any) -> str:
    """The text of a string, or of a list of text parts (Mistral)."""
    if isinstance(content, list):
        return "".join(_text(part, "text") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
