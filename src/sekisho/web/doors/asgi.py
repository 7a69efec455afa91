"""The ASGI shapes that doors share, and the two ways to answer: whole, or in parts."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeVar

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-litellm-api-key"})
HeaderList = list[tuple[bytes, bytes]]

JSON = b"application/json"
T = TypeVar("T")


async def send_whole(
    send: Send, status: int, body: bytes, media_type: bytes = JSON, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with a complete body."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


def at_once(awaitable: Awaitable[T]) -> T | None:
    """What it gives if it need not wait for anything; else it is given up, and the result is None."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as end:
        given: T = end.value
        return given
    steps.close()
    return None


def address_of(scope: Scope) -> str:
    """Where the request comes from, as `Exchange.client_address`."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers by lower-case name; of several with one name the first holds."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found.setdefault(name, value)
    return found
