"""Short answers without tools: a greeting in the language of the prompt, a title, a JSON value of a wanted schema."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from sekisho.simulator.script.conversation import Conversation
from sekisho.simulator.script.toolbox import sample_value

_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_TITLE = re.compile(r"title generator|generate an? (?:\w+[ ,-]+){0,4}title|title for this", re.IGNORECASE)
_NOISE = re.compile(r"</?\w+>|[\"'`#*]")
_TITLE_WORDS = 6

_ENGLISH_TEXT = (
    "Hello! You have reached the Amazon Bedrock simulator of Sekisho. The wire is real, the model is not: I can greet "
    "you, follow a few scripted coding tasks and play faults, and nothing of what you sent has left this machine."
)
_JAPANESE_TEXT = (
    "こんにちは。こちらは Sekisho の Amazon Bedrock シミュレーターです。通信の形式は本物ですが、"
    "モデルは動いていません。あいさつと、いくつかの決まった作業、障害の再現ができます。送られた内容はこのマシンの外には出ていません。"
)
_CONTINUED_TEXT = "and that is all the simulator has to add."


def greeting(conversation: Conversation) -> str:
    """The answer to an ordinary prompt."""
    if conversation.is_continued:
        return _CONTINUED_TEXT
    return _JAPANESE_TEXT if _JAPANESE.search(conversation.instruction) else _ENGLISH_TEXT


def wants_title(conversation: Conversation) -> bool:
    """Whether an agent asks for the title of a session."""
    return bool(_TITLE.search(conversation.system) or _TITLE.search(conversation.instruction[:400]))


def title(conversation: Conversation) -> str:
    """The first words of what was asked."""
    lines = [line for line in conversation.instruction.splitlines() if line.strip() and not _TITLE.search(line)]
    words = _NOISE.sub(" ", " ".join(lines)).split()
    return " ".join(words[:_TITLE_WORDS])[:60] or "New session"


def json_of(schema: Mapping[str, Any], conversation: Conversation) -> str:
    """JSON text that fits the schema; a `title` in it is a real title."""
    value = sample_value(dict(schema))
    if isinstance(value, dict) and isinstance(value.get("title"), str):
        value["title"] = title(conversation)
    return msgspec.json.encode(value).decode()
