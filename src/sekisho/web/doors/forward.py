"""Everything that is not a call goes to the control plane over its Unix socket, streamed both ways."""

import asyncio
import logging
from pathlib import Path

from sekisho.errors import BodyTooLarge, NotAuthenticated, SekishoError
from sekisho.upstream.http1 import Http1Client, Http1Response, Origin
from sekisho.web import forwarded
from sekisho.web.doors.asgi import HeaderList, Receive, Scope, Send, address_of, send_whole

log = logging.getLogger(__name__)

_ADDRESS, _HOST, _SCHEME = (name.encode() for name in (forwarded.ADDRESS, forwarded.HOST, forwarded.SCHEME))
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"date",
        b"server",
        _ADDRESS,
        _HOST,
        _SCHEME,
    }
)
_BODY_TIMEOUT_S = 60.0
_FIRST_BYTE_TIMEOUT_S = 60.0
_IDLE_TIMEOUT_S = 300.0


class ForwardDoor:
    """Hands a request on, marked as having come over the public port."""

    def __init__(self, http: Http1Client, socket_path: Path, *, max_body_bytes: int) -> None:
        self._http = http
        self._origin = Origin("unix", str(socket_path), 0)
        self._max_body_bytes = max_body_bytes

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Serve one request; False when the control plane did not know who asked."""
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                body = await self._read(receive)
        except BodyTooLarge as error:
            await send_whole(send, error.status, b'{"error":{"message":"The request body is too large."}}')
            return True
        except TimeoutError:
            await send_whole(send, 408, b'{"error":{"message":"The request body did not arrive in time."}}')
            return True
        if body is None:
            return True
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        try:
            response = await self._http.send(
                self._origin,
                scope["method"].encode(),
                target,
                _request_headers(scope),
                body,
                first_byte_timeout_s=_FIRST_BYTE_TIMEOUT_S,
            )
        except SekishoError:
            text = "Sekisho's control plane is not answering; calls go on. Try again in a few seconds."
            await send_whole(send, 503, text.encode() + b"\n", b"text/plain; charset=utf-8", [(b"retry-after", b"2")])
            return True
        await _pass_back(response, receive, send)
        return response.status != NotAuthenticated.status

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body; None when the client left before its end: half a request must not be acted on."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body_bytes:
                raise BodyTooLarge
            if not message.get("more_body", False):
                return b"".join(parts)


def _request_headers(scope: Scope) -> HeaderList:
    headers = [(name, value) for name, value in scope["headers"] if name not in _HOP_BY_HOP and name != b"host"]
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    headers.append((_ADDRESS, address_of(scope).encode() or b"-"))
    headers.append((_HOST, host))
    headers.append((_SCHEME, scope["scheme"].encode()))
    return headers


async def _pass_back(response: Http1Response, receive: Receive, send: Send) -> None:
    headers = [(name, value) for name, value in response.raw_headers if name.lower() not in _HOP_BY_HOP]
    leaving = asyncio.ensure_future(receive())
    try:
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        while not leaving.done() and (data := await response.next(_IDLE_TIMEOUT_S)):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except SekishoError as error:
        log.warning("the control plane broke off its answer: %s", error.code)
        raise ConnectionError("the control plane broke off its answer") from error
    finally:
        leaving.cancel()
        response.close()
