"""Search in what calls said: the text of what each call added, and how a query is found in it.

Any part of a word is found, in any language: Japanese has no spaces between words. Letters match whatever their case
and width.
"""

import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import msgspec
from xxhash import xxh3_128_digest

from sekisho.record.conversation import read_answer, read_message, read_request, text_of
from sekisho.values import Door

_AROUND = 60
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def request_texts(door: Door, pieces: Sequence[bytes]) -> list[str]:
    """The texts of a whole request (one piece), or of the messages among pieces of one."""
    if len(pieces) == 1 and not is_message(pieces[0]):
        return list(text_of(read_request(door, pieces[0])))
    messages = [piece for piece in pieces if is_message(piece)]
    return [text for message in messages for text in text_of(read_message(door, message))]


def answer_texts(door: Door, answer: bytes, *, stream: bool, form: str) -> list[str]:
    """The texts of an answer, or of a part of one."""
    return list(text_of(read_answer(door, answer, stream=stream, form=form)))


class SeenTexts:
    """Texts that were kept lately, so that none is kept again when it is sent again with another cache mark, or comes
    back as history after it was an answer. Not more than a hint: after a start it knows nothing."""

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def add(self, digests: Iterable[bytes]) -> None:
        """Remember these; the oldest are forgotten."""
        for digest in digests:
            self._digests[digest] = None
            self._digests.move_to_end(digest)
        while len(self._digests) > self._most:
            self._digests.popitem(last=False)

    def clear(self) -> None:
        """Forget all: something was deleted, and what is said again must be found."""
        self._digests.clear()


def text_digest(vault: int, text: str) -> bytes:
    """What a text is remembered by."""
    return xxh3_128_digest(b"%d %b" % (vault, text.strip().encode(errors="replace")))


def is_message(piece: bytes) -> bool:
    """Whether a piece of a request is an element of its history."""
    if not piece.startswith(b"{"):
        return False
    try:
        names = _fields(piece)
    except (msgspec.DecodeError, RecursionError):
        return False
    return "role" in names or ("type" in names and "messages" not in names)


def plain(text: str) -> str:
    """The text as it is compared."""
    if text.isascii():  # the same, at half the cost
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold()


def find(text: str, query: str) -> str | None:
    """A few words around the first place where the query stands (as `plain` makes it); None if it does not."""
    searched = plain(text)
    at = searched.find(query)
    if at < 0:
        return None
    start = max(0, at - _AROUND)
    return " ".join(searched[start : at + len(query) + _AROUND].split())
