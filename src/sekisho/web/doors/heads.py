"""The head of a request, parsed, and the recognition of one that comes again on the same connection.

An agent sends the same head with every turn; only its Content-Length differs. Where all other bytes are those of a head
that the parser has read, the parser need not read them: 16 calls of Python less for four headers, 60 for the twenty
that a client's library sends. Only heads whose meaning lies in their bytes alone are kept: HTTP/1.1, one
Content-Length, nothing that asks for another framing. Above: the connection. Below: bytes.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from sekisho.web.doors.asgi import KEY_HEADERS, HeaderList

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})(?=[ \t]*\r\n)", re.IGNORECASE)
_OTHER_FRAMINGS = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te"})
_MOST_DIGITS = 15
_MOST_BYTES = 8_192


class Head:
    """`headers` as they came, names in lower case; `by_name`: of several with one name the first holds. `clash`: the
    name of a key's header that stands there twice with different values: whoever looked at it before us may have read
    the other one. `route`: what answers it, as the application has found out."""

    __slots__ = ("by_name", "clash", "headers", "http_version", "method", "query", "raw_path", "route")

    def __init__(self, method: str, raw_path: bytes, query: bytes, http_version: str, headers: HeaderList) -> None:
        self.method = method
        self.raw_path = raw_path
        self.query = query
        self.http_version = http_version
        self.headers = headers
        self.by_name: dict[bytes, bytes] = {}
        self.clash = b""
        self.route: Callable[[Any], Any] | None = None
        for name, value in headers:
            if self.by_name.setdefault(name, value) != value and name in KEY_HEADERS:
                self.clash = name

    @property
    def path(self) -> str:
        path = self.raw_path.decode("ascii")
        return unquote(path) if "%" in path else path

    def with_length(self, digits: bytes) -> "Head":
        """The same head before a body of another length."""
        twin = Head.__new__(Head)
        twin.method, twin.raw_path, twin.query = self.method, self.raw_path, self.query
        twin.http_version, twin.clash, twin.route = self.http_version, self.clash, self.route
        twin.headers = [(name, digits if name == b"content-length" else value) for name, value in self.headers]
        twin.by_name = self.by_name | {b"content-length": digits}
        return twin


class KnownHead:
    """A head that was parsed, and its bytes before and behind the digits of its length."""

    __slots__ = ("_after", "_before", "_digits", "_head")

    def __init__(self, head: Head, before: bytes, digits: bytes, after: bytes) -> None:
        self._head = head
        self._before = before
        self._digits = digits
        self._after = after

    def find(self, data: bytes) -> tuple[Head, int, int] | None:
        """The head, if data begins with it, where it ends, and the length of the body; else None."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(after, start, start + _MOST_DIGITS + len(after))
        if end < 0:
            return None
        digits = data[start:end]
        if digits != self._digits:
            if not digits.isdigit():
                return None
            self._head = self._head.with_length(digits)
            self._digits = digits
        return self._head, end + len(after), int(digits)


def keep_head(data: bytes, head: Head) -> KnownHead | None:
    """What recognises the head that data begins with and that was parsed as `head`; None for one that is not kept."""
    end = data.find(b"\r\n\r\n", 0, _MOST_BYTES) + 4
    if end < 4 or head.http_version != "1.1" or head.method != "POST":
        return None
    names = [name for name, _ in head.headers]
    lengths = _LENGTH.findall(data, 0, end)
    if len(lengths) != 1 or names.count(b"content-length") != 1 or not _OTHER_FRAMINGS.isdisjoint(names):
        return None
    if any(name == b"connection" and value.lower() != b"keep-alive" for name, value in head.headers):
        return None
    found = _LENGTH.search(data, 0, end)
    assert found is not None
    return KnownHead(head, data[: found.start(1)], found[1], data[found.end(1) : end])
