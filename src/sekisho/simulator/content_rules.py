"""What may stand in the messages: media, signed reasoning, tool calls with their results, the end of the history.

Raises ModelRefusal in the model's own words. Tool calls that do not pair up are returned as a finding, because Converse
checks that itself, in its own words, before it asks the model.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from sekisho.dialects.exchange import (
    CachePoint,
    Document,
    Image,
    Message,
    Part,
    RedactedThinking,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from sekisho.simulator.answer import is_genuine, is_genuine_redaction
from sekisho.simulator.exceptions import ModelRefusal
from sekisho.simulator.subject import Subject

IMAGE_BYTES_MAX = 5 * 1024 * 1024
DOCUMENT_BYTES_MAX = 4_718_592
DOCUMENTS_MAX = 5

_DOCUMENT_NAME = re.compile(r"[A-Za-z0-9\-()\[\]]+(\s[A-Za-z0-9\-()\[\]]+)*")
_IMAGE_MAGIC: dict[str, tuple[bytes, ...]] = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpeg": (b"\xff\xd8\xff",),
    "gif": (b"GIF87a", b"GIF89a"),
    "webp": (b"RIFF",),
}
_USER_ONLY = (Image, Document, ToolResult)
_ASSISTANT_ONLY = (ToolUse, Thinking, RedactedThinking)


class PairingFault(msgspec.Struct, frozen=True):
    """Tool calls and results that do not pair up. `message` is the index where it shows."""

    kind: Literal["unanswered", "stray", "repeated_use", "repeated_result", "result_after_content"]
    message: int
    ids: tuple[str, ...]


def find_pairing_fault(messages: Sequence[Message], *, results_first: bool) -> PairingFault | None:
    """The first break of the rule: each tool call is answered once, in the next message, by its id.

    `results_first`: within a message, results come before any other content (Claude's rule)."""
    asked: tuple[str, ...] = ()
    seen = set[str]()
    for index, message in enumerate(messages):
        results = tuple(part.tool_use_id for part in message.parts if isinstance(part, ToolResult))
        fault = _result_fault(index, asked, results)
        if fault is not None:
            return fault
        if results_first and not _has_results_first(message):
            return PairingFault("result_after_content", index, results)
        asked = tuple(part.id for part in message.parts if isinstance(part, ToolUse))
        if len(set(asked)) < len(asked) or seen & set(asked):
            return PairingFault("repeated_use", index, asked)
        seen.update(asked)
    return PairingFault("unanswered", len(messages), asked) if asked else None


def _result_fault(index: int, asked: tuple[str, ...], results: tuple[str, ...]) -> PairingFault | None:
    stray = tuple(result for result in results if result not in asked)
    if stray:
        return PairingFault("stray", index, stray)
    if len(set(results)) < len(results):
        return PairingFault("repeated_result", index, results)
    missing = tuple(use for use in asked if use not in results)
    if missing:
        return PairingFault("unanswered", index, missing)
    return None


def _has_results_first(message: Message) -> bool:
    are_results = [isinstance(part, ToolResult) for part in message.parts if not isinstance(part, CachePoint)]
    return are_results == sorted(are_results, reverse=True)


def refuse_pairing(fault: PairingFault) -> ModelRefusal:
    """The model's words for a fault."""
    ids = ", ".join(fault.ids)
    match fault.kind:
        case "unanswered" | "result_after_content":
            before = fault.message - 1
            return ModelRefusal(
                f"messages.{before}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. "
                "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            )
        case "stray":
            return ModelRefusal(
                f"messages.{fault.message}.content: unexpected `tool_use_id` found in `tool_result` blocks: {ids}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        case "repeated_use":
            return ModelRefusal(f"messages.{fault.message}: `tool_use` ids must be unique")
        case "repeated_result":
            return ModelRefusal(
                f"messages.{fault.message}: each tool_use must have a single result. "
                f"Found multiple `tool_result` blocks with id: {ids}"
            )


def has_tool_blocks(messages: Sequence[Message]) -> bool:
    """Whether the history holds tool calls or results, which need tools to be defined."""
    return any(isinstance(part, ToolUse | ToolResult) for message in messages for part in message.parts)


def check_content(subject: Subject) -> None:
    """The messages of a request whose tool calls pair up. Raises ModelRefusal."""
    for index, message in enumerate(subject.request.messages):
        for position, part in enumerate(message.parts):
            where = f"messages.{index}.content.{position}"
            _check_place(part, message.role, where)
            _check_part(subject, part, where)
        _check_documents(message, f"messages.{index}")
    _check_leading_thinking(subject)
    _check_end(subject)


def _check_place(part: Part, role: str, where: str) -> None:
    if isinstance(part, _USER_ONLY) and role != "user":
        raise ModelRefusal(f"{where}: {_name(part)} blocks can only be in `user` messages")
    if isinstance(part, _ASSISTANT_ONLY) and role != "assistant":
        raise ModelRefusal(f"{where}: {_name(part)} blocks can only be in `assistant` messages")


def _name(part: Part) -> str:
    return f"`{part.__struct_config__.tag}`"


def _check_part(subject: Subject, part: Part, where: str) -> None:
    match part:
        case Text(text=text) if not text.strip():
            kind = "contain non-whitespace text" if text else "be non-empty"
            raise ModelRefusal(f"messages: text content blocks must {kind}")
        case Image():
            _check_image(subject, part, where)
        case Document():
            _check_document(subject, part, where)
        case Thinking() if not is_genuine(part):
            raise ModelRefusal(f"{where}: Invalid `signature` in `thinking` block")
        case RedactedThinking():
            _decode(part.data, f"{where}.data")
            if not is_genuine_redaction(part):
                raise ModelRefusal(f"{where}: Invalid `data` in `redacted_thinking` block")
        case ToolResult(content=content):
            for index, item in enumerate(content):
                _check_part(subject, item, f"{where}.content.{index}")
        case _:
            pass


def _check_image(subject: Subject, image: Image, where: str) -> None:
    if not subject.quirks.images:
        raise ModelRefusal(f"{where}: This model doesn't support images.")
    raw = _decode(image.data, f"{where}.image.source.base64.data")
    if not raw.startswith(_IMAGE_MAGIC[image.format]):
        raise ModelRefusal(
            f"{where}.image.source.base64.data: Image does not match the provided media type image/{image.format}"
        )
    if len(image.data) > IMAGE_BYTES_MAX:
        raise ModelRefusal(
            f"{where}.image.source.base64: image exceeds 5 MB maximum: {len(image.data)} bytes > {IMAGE_BYTES_MAX} "
            "bytes"
        )


def _check_document(subject: Subject, document: Document, where: str) -> None:
    if not subject.quirks.documents:
        raise ModelRefusal(f"{where}: This model doesn't support documents.")
    raw = _decode(document.data, f"{where}.document.source")
    if document.format == "pdf" and not raw.startswith(b"%PDF-"):
        raise ModelRefusal(f"{where}.document.source.base64.data: The PDF specified was not valid.")
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise ModelRefusal(f"{where}.document.source: document exceeds 4.5 MB maximum: {len(raw)} bytes")


def check_document_name(name: str) -> None:
    """Raises ModelRefusal for a name outside Converse's alphabet."""
    if not _DOCUMENT_NAME.fullmatch(name):
        raise ModelRefusal(
            "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, "
            "parentheses, and square brackets. The name can't contain more than one consecutive whitespace character."
        )


def _check_documents(message: Message, where: str) -> None:
    documents = [part for part in message.parts if isinstance(part, Document)]
    if len(documents) > DOCUMENTS_MAX:
        raise ModelRefusal(f"{where}: a message holds at most {DOCUMENTS_MAX} documents.")
    names = [document.name for document in documents if document.name]
    if len(set(names)) < len(names):
        raise ModelRefusal(f"{where}: Each document must have a unique name.")


def _check_leading_thinking(subject: Subject) -> None:
    """With budgeted thinking, the turn that is being continued must begin with its reasoning."""
    messages = subject.request.messages
    if subject.request.reasoning.mode != "enabled" or len(messages) < 2:
        return
    if not any(isinstance(part, ToolResult) for part in messages[-1].parts):
        return
    index = len(messages) - 2
    first = messages[index].parts[0]
    if not isinstance(first, Thinking | RedactedThinking):
        raise ModelRefusal(
            f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found {_name(first)}. "
            "When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceding the "
            "lastmost set of `tool_use` and `tool_result` blocks)."
        )


def _check_end(subject: Subject) -> None:
    last = subject.request.messages[-1]
    if last.role != "assistant":
        return
    if not subject.quirks.prefill:
        raise ModelRefusal(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    if subject.request.reasoning.mode in ("enabled", "adaptive"):
        raise ModelRefusal("When `thinking` is enabled, the conversation must end with a user message.")
    final = last.parts[-1]
    if isinstance(final, Text) and final.text != final.text.rstrip():
        raise ModelRefusal("messages: final assistant content cannot end with trailing whitespace")


def _decode(data: str, where: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ModelRefusal(f"{where}: Input should be valid base64") from error
