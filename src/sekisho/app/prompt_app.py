"""The web application of the control plane from its first moment on, before it is made."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

from sekisho.errors import SekishoError
from sekisho.ledger.journal_files import Segment
from sekisho.web import forwarded
from sekisho.web.doors.asgi import JSON, send_whole

if TYPE_CHECKING:
    from fastapi import FastAPI

    from sekisho.app.control_plane import ControlPlane
    from sekisho.web.doors.asgi import Receive, Scope, Send

FORWARDED = forwarded.ADDRESS.encode()
PATIENCE_S = 3.0  # until the web application is made though nobody has asked for it; who stops earlier needs none
CONFIRMED = b"x-sekisho-confirmed-us"


class PromptApp:
    """The web application from its first moment on. Until it is made, which takes long, what a start waits for is
    served without it: the snapshot for the call processes, and the greeting for who started Sekisho.

    The first answer to an agent waits for nothing else of the control plane.
    """

    def __init__(self, plane: "ControlPlane", make: "Callable[[], FastAPI]") -> None:
        self._plane = plane
        self._make = make
        self._app: FastAPI | None = None
        self._is_wanted = asyncio.Event()
        self._is_made = asyncio.Event()

    async def load(self) -> None:
        """Make the web application, in a thread, since its imports take long: as soon as somebody asks for more than
        is needed at the start, and soon in any case."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_wanted.wait(), PATIENCE_S)
        self._app = await asyncio.to_thread(self._make)
        self._is_made.set()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        answer = self._own(scope)
        if answer is not None and FORWARDED not in [name for name, _ in scope["headers"]]:
            await answer(scope, send)  # else it came from the public port, and is answered by the application
            return
        self._is_wanted.set()
        await self._is_made.wait()
        assert self._app is not None
        await self._app(scope, receive, send)

    def _own(self, scope: "Scope") -> "Callable[[Scope, Send], Awaitable[None]] | None":
        """Who answers without the application: it is not made yet, or it would take longer than the answer."""
        if scope["type"] != "http":
            return None
        match scope["path"]:
            case "/internal/committed":
                return self._committed
            case "/internal/greeting" if scope["method"] == "POST":
                return self._greeting
            case "/internal/snapshot" if self._app is None:
                return self._snapshot
        return None

    async def _committed(self, scope: "Scope", send: "Send") -> None:
        """How far a process's journal is booked, once that is as far as it asks: the offset in the same segment."""
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        try:
            segment = Segment(asked["process"][0], int(asked["number"][0]))
            offset = int(asked["offset"][0])
        except (KeyError, ValueError):
            await send_whole(send, 400, b"")
            return
        booked = await self._plane.committed(segment, offset)
        await send_whole(send, 503 if booked is None else 200, b"" if booked is None else b"%d" % booked)

    async def _greeting(self, scope: "Scope", send: "Send") -> None:
        wants_key = parse_qs(scope["query_string"].decode("latin-1")).get("alias", [""])[0]
        try:
            body = msgspec.json.encode(await self._plane.greeting(wants_key))
        except SekishoError as error:
            await send_whole(send, 503, msgspec.json.encode({"error": {"message": error.message}}), JSON)
        else:
            await send_whole(send, 200, body, JSON)

    async def _snapshot(self, scope: "Scope", send: "Send") -> None:
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        try:
            after, process = int(asked["after"][0]), asked["process"][0]
        except (KeyError, ValueError):
            await send_whole(send, 400, b"")
            return
        distribution = self._plane.distribution
        delivery = await distribution.ask(process, after)
        confirmed_us = distribution.confirmed_us
        headers = [] if confirmed_us is None else [(CONFIRMED, b"%d" % confirmed_us)]
        if delivery is None:
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await send_whole(send, 200, delivery, b"application/msgpack", headers)
