"""What the two OpenAI dialects share: parts of a request, the gathered answer, the error body, dollars.

Above: openai_chat and openai_responses. Below: the neutral exchange and typed reading. No I/O.
"""

import posixpath
from typing import Literal

import msgspec

from sekisho.dialects.exchange import (
    Document,
    Event,
    Image,
    JsonSchema,
    Message,
    Metered,
    Part,
    Reasoning,
    RedactedThinking,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingRedacted,
    ThinkingSigned,
    Tool,
    ToolChoice,
    ToolDelta,
    ToolStarted,
    ToolUse,
)
from sekisho.dialects.reading import (
    UNREADABLE,
    JsonObject,
    find_bool,
    find_object,
    find_text,
    get_object,
    get_text,
    join_path,
    mend_surrogates,
    unknown_value,
)
from sekisho.errors import BadRequest, Internal, SekishoError
from sekisho.values import StopReason, Usage

Role = Literal["user", "assistant", "system"]

_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_IMAGE_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_DOCUMENT_TYPES = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
}
_DOCUMENT_FORMATS = {media_type: name for name, media_type in _DOCUMENT_TYPES.items()}


class Turns:
    """Collects what the client says, in order: system text that leads, then messages.

    `has_begun`: turns before these were said already, so no system text leads."""

    def __init__(self, *, has_begun: bool = False) -> None:
        self.system: list[Part] = []
        self._has_begun = has_begun
        self._turns: list[tuple[Role, str, list[Part]]] = []

    def add(self, role: Role, parts: list[Part], run: str = "") -> None:
        """Parts with the same `run` as the turn before join it (tool results, items of one answer).

        Turns without parts are left out: no model takes an empty one."""
        if not parts:
            return
        if role == "system" and not self._turns and not self._has_begun:
            self.system += parts
        elif run and self._turns and self._turns[-1][1] == run:
            self._turns[-1][2].extend(parts)
        else:
            self._turns.append((role, run, list(parts)))

    def messages(self, path: str) -> tuple[Message, ...]:
        """Raises BadRequest when there is nothing for the model to answer."""
        if not self._turns:
            raise BadRequest(f"{path}: needs a message with content besides the system text.", param=path)
        return tuple(Message(role, tuple(parts)) for role, _, parts in self._turns)


def text_parts(text: str | None) -> list[Part]:
    """Empty text is no part: models refuse blank blocks."""
    return [Text(text)] if text else []


def image_part(url: str, path: str) -> Image:
    """The image in a base64 data URL. Raises BadRequest for every other address: nothing is fetched for a client."""
    media_type, data = _split_data_url(url, path, "images")
    if media_type not in _IMAGE_FORMATS:
        raise unknown_value(media_type, "image/png, image/jpeg, image/gif or image/webp", path)
    return Image(_IMAGE_FORMATS[media_type], data)


def file_part(source: JsonObject, at: str) -> Document:
    """The document in `file_data` (data URL, or bare base64 whose type `filename` tells)."""
    for key in ("file_id", "file_url"):
        if source.get(key) is not None:
            path = join_path(at, key)
            raise BadRequest(f"{path}: this gateway keeps and fetches no files; send file_data.", param=path)
    data, path = get_text(source, "file_data", at), join_path(at, "file_data")
    stem, extension = posixpath.splitext(find_text(source, "filename", at) or "")
    file_format = extension[1:].lower()
    if data.startswith("data:"):
        media_type, data = _split_data_url(data, path, "files")
        file_format = _DOCUMENT_FORMATS.get(media_type, file_format)
    if file_format not in _DOCUMENT_TYPES:
        raise BadRequest(f"{path}: the file's type must be one of {', '.join(_DOCUMENT_TYPES)}.", param=path)
    return Document(file_format, stem or "document", data)


def image_url(image: Image) -> str:
    return f"data:image/{image.format};base64,{image.data}"


def file_fields(document: Document) -> dict[str, str]:
    media_type = _DOCUMENT_TYPES.get(document.format, "application/octet-stream")
    return {
        "filename": f"{document.name}.{document.format}",
        "file_data": f"data:{media_type};base64,{document.data}",
    }


def _split_data_url(url: str, path: str, what: str) -> tuple[str, str]:
    head, comma, data = url.partition(",")
    if not (head.startswith("data:") and head.endswith(";base64") and comma and data):
        raise BadRequest(f"{path}: send {what} as base64 data URLs (data:<type>;base64,...).", param=path)
    return head[5:-7].partition(";")[0].lower(), data


def tool_input(arguments: str | None) -> str:
    """The arguments as JSON text of an object, unchanged when they are that already.

    What a model wrote wrongly comes back in its agent's history: it is wrapped, so that the conversation goes on."""
    if arguments is None or not arguments.strip():
        return "{}"
    if _is_object(arguments):
        return arguments
    mended = mend_surrogates(arguments.encode()).decode()
    if _is_object(mended):
        return mended
    return msgspec.json.encode({"malformed_arguments": arguments}).decode()


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except UNREADABLE:
        return False


def read_function(source: JsonObject, at: str) -> Tool:
    """A function's name, description, parameters (none: an object without properties) and strictness."""
    return Tool(
        name=get_text(source, "name", at),
        description=find_text(source, "description", at) or "",
        input_schema=find_object(source, "parameters", at) or {"type": "object", "properties": {}},
        strict=find_bool(source, "strict", at),
    )


def read_effort(effort: str | None, path: str) -> Reasoning:
    """What OpenAI's effort words mean: none switches thinking off, minimal is our low."""
    if effort is None:
        return Reasoning()
    if effort == "none":
        return Reasoning("disabled")
    if effort not in _EFFORTS:
        raise unknown_value(effort, f"none, {', '.join(_EFFORTS)}", path)
    return Reasoning("adaptive", effort=_EFFORTS[effort])


def read_output_format(source: JsonObject, schema_holder: JsonObject, at: str, schema_at: str) -> JsonSchema | None:
    """The schema asked for by a `response_format` or `text.format`; `schema_holder` is where name and schema stand."""
    kind = get_text(source, "type", at)
    if kind == "text":
        return None
    if kind == "json_object":
        return JsonSchema("json_object", {"type": "object"})
    if kind != "json_schema":
        raise unknown_value(kind, "text, json_object or json_schema", join_path(at, "type"))
    return JsonSchema(get_text(schema_holder, "name", schema_at), get_object(schema_holder, "schema", schema_at))


def read_choice_word(word: str, path: str) -> ToolChoice:
    """`required` is OpenAI's word, `any` Anthropic's for the same."""
    match word:
        case "auto":
            return ToolChoice("auto")
        case "none":
            return ToolChoice("none")
        case "required" | "any":
            return ToolChoice("any")
    raise unknown_value(word, "auto, none, required or a named function", path)


AnswerPart = Text | Thinking | RedactedThinking | ToolUse


class Answer(msgspec.Struct, frozen=True):
    """A whole answer: its parts in the order they began, why it ended, what it used."""

    parts: tuple[AnswerPart, ...]
    stop_reason: StopReason
    usage: Usage | None


class Block(msgspec.Struct):
    """One block of an answer while it grows. `tool_id` and `name` only for tools, `signature` only for thinking."""

    kind: Literal["text", "thinking", "redacted", "tool"]
    pieces: list[str] = []
    tool_id: str = ""
    name: str = ""
    signature: str = ""

    @property
    def content(self) -> str:
        return "".join(self.pieces)

    def part(self) -> AnswerPart:
        if self.kind == "text":
            return Text(self.content)
        if self.kind == "thinking":
            return Thinking(self.content, self.signature)
        if self.kind == "redacted":
            return RedactedThinking(self.content)
        return ToolUse(self.tool_id, self.name, self.content or "{}")


def grow(blocks: dict[int, Block], event: Event) -> Block | None:
    """Take one event into the blocks of its answer; gives the block it belongs to, None for all other events."""
    match event:
        case TextDelta(index=index, text=text):
            block = blocks.setdefault(index, Block("text"))
            block.pieces.append(text)
        case ThinkingDelta(index=index, text=text):
            block = blocks.setdefault(index, Block("thinking"))
            block.pieces.append(text)
        case ThinkingSigned(index=index, signature=signature):
            block = blocks.setdefault(index, Block("thinking"))
            block.signature += signature
        case ThinkingRedacted(index=index, data=data):
            block = blocks.setdefault(index, Block("redacted"))
            block.pieces.append(data)
        case ToolStarted(index=index, id=tool_id, name=name):
            block = blocks.setdefault(index, Block("tool", tool_id=tool_id, name=name))
        case ToolDelta(index=index, json=fragment):
            block = blocks[index]
            block.pieces.append(fragment)
        case _:
            return None
    return block


def gather(events: list[Event]) -> Answer:
    """Fold the events of a complete answer."""
    blocks: dict[int, Block] = {}
    stop_reason: StopReason = "end_turn"
    usage: Usage | None = None
    for event in events:
        if isinstance(event, Stopped):
            stop_reason = event.reason
        elif isinstance(event, Metered):
            usage = event.usage
        else:
            grow(blocks, event)
    return Answer(tuple(block.part() for block in blocks.values()), stop_reason, usage)


def render_usd(cost_nanousd: int) -> msgspec.Raw:
    """A JSON number of US dollars, every digit exact: no binary fraction is ever between."""
    whole, fraction = divmod(cost_nanousd, 1_000_000_000)
    return msgspec.Raw(f"{whole}.{fraction:09d}".rstrip("0").rstrip(".").encode())


def error_object(error: SekishoError, call_id: str) -> dict[str, str | None]:
    """`message`, `type`, `param` and `code`, as every client of OpenAI reads them."""
    message = f"{error.message} (call {call_id})" if isinstance(error, Internal) else error.message
    return {"message": message, "type": error.openai_type, "param": error.param, "code": error.code}


def render_error(error: SekishoError, call_id: str) -> bytes:
    """The body of a refusal or failure before the answer has begun."""
    return msgspec.json.encode({"error": error_object(error, call_id)})
