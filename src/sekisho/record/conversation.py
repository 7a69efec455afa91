"""A conversation as people read it: who said what, which tools were called with what and what they gave.

Reads the bodies and answers of every door into one list of turns. Each message is read by itself, so that one that
cannot be read hides no other. Above: the task view, search, masking. Below: the codecs.
"""

import hashlib
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec

from sekisho.dialects import anthropic_messages, openai_chat, openai_responses
from sekisho.dialects.bedrock import converse, invoke_reply
from sekisho.dialects.exchange import (
    Document,
    Event,
    Image,
    Message,
    Part,
    RedactedThinking,
    ReplyParser,
    Request,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolDelta,
    ToolResult,
    ToolStarted,
    ToolUse,
)
from sekisho.errors import SekishoError
from sekisho.values import Door

Speaker = Literal["system", "human", "agent", "tool"]


class Words(msgspec.Struct, frozen=True, tag="text"):
    text: str


class Thought(msgspec.Struct, frozen=True, tag="thinking"):
    """What the model thought before it answered; empty where the provider hides it."""

    text: str


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A call that the model wants made. `arguments` is JSON text, or plain text for a tool that takes that."""

    id: str
    name: str
    arguments: str


class Attachment(msgspec.Struct, frozen=True, tag="attachment"):
    """An image or a document, named by the SHA-256 of its bytes; the bytes are in the request."""

    kind: Literal["image", "document"]
    format: str
    name: str
    bytes: int
    sha256: str


class ToolOutput(msgspec.Struct, frozen=True, tag="tool_result"):
    """What a call gave. `call_id` is the id of the ToolCall."""

    call_id: str
    text: str
    is_error: bool
    attachments: tuple[Attachment, ...] = ()


class Unreadable(msgspec.Struct, frozen=True, tag="unreadable"):
    """A message that no codec here reads, as it stands."""

    text: str


TurnPart = Words | Thought | ToolCall | ToolOutput | Attachment | Unreadable


class Turn(msgspec.Struct, frozen=True):
    """One speaker's parts in their order. "tool": what tools gave, which the client sends as the user's message."""

    speaker: Speaker
    parts: tuple[TurnPart, ...]


_HISTORY = {"openai_responses": "input"}
_SYSTEM = {"openai_responses": "instructions"}
_PARSERS: dict[Door, Callable[[bytes], Request]] = {
    "openai_chat": openai_chat.parse_request,
    "openai_responses": openai_responses.parse_request,
    "anthropic_messages": anthropic_messages.parse_request,
    "bedrock_converse": lambda body: converse.parse_request(body, "model"),
    "bedrock_invoke": lambda body: invoke_reply.parse_request(body, "model"),
}
_FIXED: dict[Door, dict[str, object]] = {
    "openai_chat": {"model": "model"},
    "openai_responses": {"model": "model"},
    "anthropic_messages": {"model": "model", "max_tokens": 1},
    "bedrock_converse": {},
    "bedrock_invoke": {"max_tokens": 1, "anthropic_version": "bedrock-2023-05-31"},
}
_ANSWERS: dict[Door, Callable[[], ReplyParser]] = {
    "openai_chat": openai_chat.ReplyParser,
    "openai_responses": openai_responses.AnswerParser,
    "anthropic_messages": anthropic_messages.ReplyParser,
    "bedrock_converse": converse.ReplyParser,
    "bedrock_invoke": invoke_reply.ReplyParser,
}
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_turns = msgspec.json.Decoder(tuple[Turn, ...]).decode


def read_request(door: Door, body: bytes) -> tuple[Turn, ...]:
    """The turns of a request: system text first, then the history. Nothing in it raises."""
    try:
        fields = _fields(body)
    except (msgspec.DecodeError, RecursionError):
        return (_unreadable("human", body),)
    turns: list[Turn] = []
    if system := fields.get(_SYSTEM.get(door, "system")):
        turns += read_system(door, bytes(system))
    history = bytes(fields.get(_HISTORY.get(door, "messages"), msgspec.Raw(b"[]")))
    try:
        messages = [bytes(one) for one in _elements(history)]
    except (msgspec.DecodeError, RecursionError):
        messages = [history]
    for message in messages:
        turns += read_message(door, message)
    return tuple(turns)


def read_system(door: Door, value: bytes) -> tuple[Turn, ...]:
    """The turn of a body's system text."""
    try:
        system = {_SYSTEM.get(door, "system"): msgspec.Raw(value)}
        request = _parse(door, **system, history=_some_message(door))
    except (SekishoError, msgspec.DecodeError, RecursionError, ValueError):
        return (_unreadable("system", value),)
    return (Turn("system", parts),) if (parts := tuple(_parts(request.system))) else ()


def read_message(door: Door, message: bytes) -> tuple[Turn, ...]:
    """The turns of one element of a body's history."""
    try:
        if message.lstrip()[:1] == b'"':  # Responses: the input may be one text
            request = _parse(door, history=msgspec.Raw(message))
        else:  # with another behind it, for codecs refuse a history of system text alone
            request = _parse(door, history=[msgspec.Raw(message), *_some_message(door)])
            request = msgspec.structs.replace(request, messages=request.messages[:-1])
    except (SekishoError, msgspec.DecodeError, RecursionError, ValueError):
        return (_unreadable("human", message),)
    turns = [Turn("system", tuple(_parts(request.system)))] if request.system else []
    for one in request.messages:
        turns += _split(one)
    return tuple(turns)


def read_answer(door: Door, answer: bytes, *, stream: bool, form: str = "bytes") -> tuple[Turn, ...]:
    """The turn of an answer, as far as it came: of a stream all that can be read. Nothing in it raises."""
    try:
        if form == "turns":
            return _turns(answer)
        parser = _ANSWERS[door]()
        events = list(_fed(parser, answer)) if stream else parser.whole(answer)
    except (SekishoError, msgspec.DecodeError, RecursionError, ValueError):
        return (_unreadable("agent", answer),)
    parts = tuple(_spoken(events))
    return (Turn("agent", parts),) if parts else ()


def text_of(turns: Iterable[Turn]) -> Iterator[str]:
    """Everything in these turns that a person may search for."""
    for turn in turns:
        for part in turn.parts:
            match part:
                case Words() | Thought() | ToolOutput() | Unreadable():
                    yield part.text
                case ToolCall():
                    yield part.name
                    yield part.arguments
                case Attachment():
                    yield part.name


def _parse(door: Door, *, history: object, **members: object) -> Request:
    body = {**_FIXED[door], **members, _HISTORY.get(door, "messages"): history}
    return _PARSERS[door](msgspec.json.encode(body))


def _some_message(door: Door) -> list[object]:
    content: object = [{"text": "-"}] if door == "bedrock_converse" else "-"
    return [{"role": "user", "content": content}]


def _split(message: Message) -> list[Turn]:
    """A message as turns: what tools gave apart from what a person says."""
    if message.role != "user":
        parts = tuple(_parts(message.parts))
        return [Turn("agent" if message.role == "assistant" else "system", parts)] if parts else []
    turns: list[Turn] = []
    for part in message.parts:
        speaker: Speaker = "tool" if isinstance(part, ToolResult) else "human"
        for shown in _parts((part,)):
            if turns and turns[-1].speaker == speaker:
                turns[-1] = Turn(speaker, (*turns[-1].parts, shown))
            else:
                turns.append(Turn(speaker, (shown,)))
    return turns


def _parts(parts: Iterable[Part]) -> Iterator[TurnPart]:
    for part in parts:
        match part:
            case Text():
                yield Words(part.text)
            case Thinking():
                yield Thought(part.text)
            case RedactedThinking():
                yield Thought("")
            case ToolUse():
                yield ToolCall(part.id, part.name, part.input)
            case ToolResult():
                inside = tuple(_parts(part.content))
                text = "\n".join(one.text for one in inside if isinstance(one, Words))
                attached = tuple(one for one in inside if isinstance(one, Attachment))
                yield ToolOutput(part.tool_use_id, text, part.is_error, attached)
            case Image():
                yield _attachment("image", part.format, "", part.data)
            case Document():
                yield _attachment("document", part.format, part.name, part.data)


def _attachment(kind: Literal["image", "document"], format: str, name: str, data: str) -> Attachment:
    try:
        content = b64decode(data)
    except ValueError:
        content = data.encode()
    return Attachment(kind, format, name, len(content), hashlib.sha256(content).hexdigest())


def _fed(parser: ReplyParser, answer: bytes) -> Iterator[Event]:
    """The events of a stream, up to whatever ends it."""
    try:
        yield from parser.feed(answer)
    except SekishoError:  # broken off in the midst: what came before it was said
        return


def _spoken(events: Iterable[Event]) -> Iterator[TurnPart]:
    """What these events say, block by block."""
    tools: dict[int, ToolStarted] = {}
    texts: dict[int, tuple[type[TextDelta | ThinkingDelta | ToolDelta], list[str]]] = {}
    for event in events:
        match event:
            case TextDelta() | ThinkingDelta():
                texts.setdefault(event.index, (type(event), []))[1].append(event.text)
            case ToolStarted():
                tools[event.index] = event
                texts.setdefault(event.index, (ToolDelta, []))
            case ToolDelta():
                texts.setdefault(event.index, (ToolDelta, []))[1].append(event.json)
    for index, (kind, pieces) in texts.items():
        text = "".join(pieces)
        if kind is ToolDelta:
            tool = tools.get(index)
            yield ToolCall(tool.id if tool else "", tool.name if tool else "", text)
        else:
            yield Words(text) if kind is TextDelta else Thought(text)


def _unreadable(speaker: Speaker, data: bytes) -> Turn:
    return Turn(speaker, (Unreadable(data.decode(errors="replace")),))
