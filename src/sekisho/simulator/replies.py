"""What both ways of rendering an answer need: ids, and the small pieces that streams are made of."""

import string
from collections.abc import Iterator
from random import Random
from typing import Protocol

import msgspec

from sekisho.simulator.answer import Answer
from sekisho.values import Usage

FRAGMENT_BYTES = 24
_ALPHABET = string.ascii_letters + string.digits


class Reply(msgspec.Struct, frozen=True):
    """An answer with its usage. `shows_usage` False leaves the counts out, as a fault asks."""

    answer: Answer
    usage: Usage
    latency_ms: int
    shows_usage: bool = True


class Renderer(Protocol):
    """Writes replies for one operation pair."""

    def whole(self, reply: Reply) -> tuple[bytes, dict[str, str]]:
        """The body of a non-streamed answer and its further headers."""
        ...

    def frames(self, reply: Reply) -> Iterator[bytes]:
        """The event-stream frames of a streamed answer."""
        ...


def new_id(prefix: str, length: int, random: Random) -> str:
    """An id as Bedrock makes them: a prefix and random letters and digits."""
    return prefix + "".join(random.choices(_ALPHABET, k=length))


def words(text: str) -> Iterator[str]:
    """The text in pieces of up to three words, which together are the text."""
    piece, count = "", 0
    for char in text:
        piece += char
        if char.isspace() or ord(char) > 0x2FFF:
            count += 1
            if count == 3:
                yield piece
                piece, count = "", 0
    if piece:
        yield piece


def fragments(json: str) -> Iterator[str]:
    """A tool's input in pieces; the first is empty, as the models' first fragment is."""
    yield ""
    for start in range(0, len(json), FRAGMENT_BYTES):
        yield json[start : start + FRAGMENT_BYTES]


def decoded_input(json: str) -> object:
    """A tool's input as a value; an input that was cut off becomes an empty object."""
    try:
        return msgspec.json.decode(json)
    except msgspec.DecodeError:
        return {}
