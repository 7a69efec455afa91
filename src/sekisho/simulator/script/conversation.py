"""Reads a request as the simulated model does: what is asked, what was done since, where the files are."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from sekisho.dialects.exchange import Message, Part, Request, Text, ToolResult, ToolUse
from sekisho.simulator.behaviours import without_directives

# Text that agents add around what the person typed.
_WRAPPERS = re.compile(
    r"<(system-reminder|environment_details|environment_context|permissions instructions|skills_instructions)\b.*?"
    r"</\1>",
    re.DOTALL,
)
_WORKING_DIRECTORY = re.compile(
    r"(?:<cwd>|(?:working directory|workspace root folder|cwd)(?: is| path)?\s*[:=(]\s*)[`\"'*\s]*(/[^\s<>`\"'*),]+)",
    re.IGNORECASE,
)


class Step(msgspec.Struct, frozen=True):
    """A tool call of the model and what came back."""

    name: str
    input: dict[str, Any]
    result: str
    is_error: bool


class Conversation(msgspec.Struct, frozen=True):
    """`instruction` is the last thing asked; `steps` the tool calls since; `all_steps` those of the whole history."""

    system: str
    instruction: str
    steps: tuple[Step, ...]
    all_steps: tuple[Step, ...]
    is_continued: bool


def read_conversation(request: Request, triggers: re.Pattern[str]) -> Conversation:
    """The request as a conversation.

    A message that carries tool results is a new instruction only when it also names a task (`triggers`): agents add
    reminders to tool results."""
    messages = request.messages
    system = "\n".join(_texts(request.system))
    start, instruction = 0, ""
    for index, message in enumerate(messages):
        text = _typed_text(message)
        has_results = any(isinstance(part, ToolResult) for part in message.parts)
        if message.role == "user" and text and (not has_results or triggers.search(text)):
            start, instruction = index, text
    return Conversation(
        system=system,
        instruction=instruction,
        steps=tuple(_steps(messages[start + 1 :])),
        all_steps=tuple(_steps(messages)),
        is_continued=messages[-1].role == "assistant",
    )


def find_directory(request: Request) -> str | None:
    """The working directory that the system text or a message names, if one does."""
    for parts in (request.system, *(message.parts for message in request.messages)):
        for text in _texts(parts):
            if found := _WORKING_DIRECTORY.search(text):
                return found.group(1).rstrip("/.") or "/"
    return None


def last_text(request: Request) -> str:
    """The text of the last message, where directives are looked for."""
    last = request.messages[-1]
    return "\n".join(_texts(last.parts)) if last.role == "user" else ""


def _typed_text(message: Message) -> str:
    texts = (without_directives(_WRAPPERS.sub("", item)) for item in _texts(message.parts))
    return "\n".join(text for text in texts if text)


def _steps(messages: tuple[Message, ...]) -> Iterator[Step]:
    uses = dict[str, ToolUse]()
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolUse):
                uses[part.id] = part
            elif isinstance(part, ToolResult) and part.tool_use_id in uses:
                use = uses[part.tool_use_id]
                yield Step(use.name, msgspec.json.decode(use.input), "\n".join(_texts(part.content)), part.is_error)


def _texts(parts: tuple[Part, ...]) -> Iterator[str]:
    return (part.text for part in parts if isinstance(part, Text))
