"""The simulated Bedrock runtime on a socket: a raw ASGI application and the uvicorn server that runs it on loopback."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from typing import Any

import uvicorn

from sekisho.clock import Clock, SystemClock
from sekisho.simulator.authentication import HttpRequest
from sekisho.simulator.behaviours import behaviour
from sekisho.simulator.credentials import SIMULATOR_BEARER_TOKEN, SIMULATOR_CREDENTIAL
from sekisho.simulator.playback import Cut, Pause
from sekisho.simulator.script.decide import answer
from sekisho.simulator.service import BODY_BYTES_MAX, BedrockRuntime, ReceivedCall, Response, Script
from sekisho.values import AwsCredential, Model

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LOOK_S = 0.01  # how often a server that stops looks whether all connections are closed
SIMULATOR_REGIONS = frozenset(
    {
        "ap-northeast-1",
        "ap-northeast-3",
        "ap-south-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "ca-central-1",
        "eu-central-1",
        "eu-north-1",
        "eu-west-1",
        "eu-west-3",
        "us-east-1",
        "us-east-2",
        "us-west-2",
    }
)


class Simulator:
    """Bedrock for the models of a catalog; an ASGI application, and with `start` its own server.

    `accounts` are further accounts beside that of `credential`; each has its own prompt cache. API keys belong to the
    first. `pace_s`: seconds between the events of a stream, which `sleep` lets pass. `script`: what the model says."""

    def __init__(
        self,
        models: Iterable[Model],
        *,
        credential: AwsCredential = SIMULATOR_CREDENTIAL,
        accounts: Iterable[AwsCredential] = (),
        bearer_tokens: frozenset[str] = frozenset({SIMULATOR_BEARER_TOKEN}),
        regions: frozenset[str] = SIMULATOR_REGIONS,
        clock: Clock | None = None,
        pace_s: float = 0.0,
        script: Script = answer,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        credentials = [credential, *accounts]
        self._runtime = BedrockRuntime(
            models, credentials, bearer_tokens, regions, clock or SystemClock(), pace_s, script
        )
        self._sleep = sleep
        self._stopping = asyncio.Event()
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def calls(self) -> list[ReceivedCall]:
        """The last thousand requests, oldest first."""
        return list(self._runtime.calls)

    def fail_next(self, name: str, /, times: int = 1, **args: object) -> None:
        """Behave so in the next `times` calls of a model: any name that `[[simulate: NAME]]` takes.

        Raises AwsException for a name that is not known."""
        self._runtime.fail_next(behaviour(name, {key: str(value) for key, value in args.items()}), times)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the base URL. Port 0 takes a free one."""
        listener = socket.create_server((host, port))
        # accepted connections inherit it; asyncio sets it only on sockets that name their protocol, and else every
        # answer in two parts waits 40 ms for the other side's acknowledgement
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            self,
            http="httptools",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._stopping.clear()
        self._server = _Server(config, self._stopping)
        self._serving = asyncio.create_task(self._server.serve([listener]))
        await self._server.is_ready.wait()
        bound_host, bound_port = listener.getsockname()[:2]
        return f"http://{bound_host}:{bound_port}"

    async def stop(self) -> None:
        """Let go of stalled streams, finish the others and close the socket."""
        if self._server is None or self._serving is None:
            return
        self._stopping.set()
        await self._serving
        self._server = self._serving = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _follow_lifespan(receive, send)
            return
        request = await _read(scope, receive)
        if request is None:
            return
        response = self._runtime.respond(request)
        await self._play(response, receive, send)

    async def _play(self, response: Response, receive: Receive, send: Send) -> None:
        headers = [(name.encode(), value.encode()) for name, value in response.headers.items()]
        if response.length is not None:
            headers.append((b"content-length", str(response.length).encode()))
        start: Message = {"type": "http.response.start", "status": response.status, "headers": headers}
        await send(start)
        for step in response.steps:
            match step:
                case bytes():
                    await send({"type": "http.response.body", "body": step, "more_body": True})
                case Pause(seconds=seconds):
                    if not await self._pause(seconds, receive):
                        return
                case Cut():
                    return  # an answer without an end makes the server break the connection
        await send({"type": "http.response.body", "body": b""})

    async def _pause(self, seconds: float, receive: Receive) -> bool:
        """Wait; False when the client left or the simulator stops."""
        if seconds < 1:
            await self._sleep(seconds)
            return True
        waiting = [asyncio.ensure_future(receive()), asyncio.ensure_future(self._stopping.wait())]
        done, pending = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return not done


def app(models: Iterable[Model], *, clock: Clock | None = None, pace_s: float = 0.0) -> Simulator:
    """The simulator with its published credential, as the ASGI callable for a process of its own."""
    return Simulator(models, clock=clock, pace_s=pace_s)


class _Server(uvicorn.Server):
    """A uvicorn server that says when it listens, stops by an event and leaves signals to the process it lives in."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self.is_ready = asyncio.Event()
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_ready.set()

    async def main_loop(self) -> None:
        while not self._stopping.is_set():
            await self.on_tick(0)  # renews the Date header
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), timeout=1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, without its wait of 0.1 s."""
        for closing in (*self.servers, *(sockets or ())):
            closing.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)  # uvicorn's protocols tell nobody
        for task in self.server_state.tasks:
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _read(scope: Scope, receive: Receive) -> HttpRequest | None:
    """The whole request; None when the client left while it was read.

    Reading stops growing once the body is over the service's limit; the service then refuses it."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if len(body) <= BODY_BYTES_MAX:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    path = scope["raw_path"].decode("latin-1")
    return HttpRequest(scope["method"], path, scope["query_string"].decode("latin-1"), headers, bytes(body))


async def _follow_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
