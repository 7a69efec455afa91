"""The call plane's application: which door a request goes through."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import unquote

import msgspec

from sekisho.calls.gate import Gate, Limits
from sekisho.errors import StoreUnavailable
from sekisho.values import Door
from sekisho.web.doors.asgi import Send, send_whole
from sekisho.web.doors.calls import CallDoor
from sekisho.web.doors.forward import ForwardDoor
from sekisho.web.doors.heads import Head
from sekisho.web.doors.http1 import Exchange
from sekisho.web.doors.listing import ListingDoor

log = logging.getLogger(__name__)

_CALLS: dict[str, Door] = {
    "/chat/completions": "openai_chat",
    "/responses": "openai_responses",
    "/messages": "anthropic_messages",
}
_BEDROCK: dict[str, tuple[Door, bool]] = {
    "converse": ("bedrock_converse", False),
    "converse-stream": ("bedrock_converse", True),
    "invoke": ("bedrock_invoke", False),
    "invoke-with-response-stream": ("bedrock_invoke", True),
}
_PREFIXES = ("/v1", "/openai/v1", "/openai", "/anthropic/v1", "/anthropic", "/bedrock")
Route = Callable[[Exchange], Awaitable[None]]
_NOT_ALLOWED = b'{"error":{"message":"Use POST here.","type":"invalid_request_error","param":null,"code":"method"}}'


class DoorApp:
    """Health, calls, lists; the rest is forwarded."""

    def __init__(self, gate: Gate, forward: ForwardDoor) -> None:
        self._gate = gate
        self.calls = CallDoor(gate)
        gate.registry.on_change = self.calls.running.cut_revoked
        self.client_send_timeout_s = gate.limits.client_send_timeout_s
        self._lists = ListingDoor(gate)
        self._forward = forward

    @property
    def limits(self) -> Limits:
        return self._gate.limits

    async def tick(self) -> None:
        """What is to be done again and again: signs of life to waiting clients, and bookings that are owed."""
        self.calls.keep_alive()
        self.calls.running.cut_revoked()  # keys expire without a word
        self._record_strangers()
        try:
            await self._gate.pay_owed()
        except StoreUnavailable as error:
            log.error("%d calls are not booked yet: %s", len(self._gate.owed), error.message)

    def close(self) -> None:
        """What is to be done at the very end."""
        self._record_strangers(at_once=True)

    def _record_strangers(self, *, at_once: bool = False) -> None:
        try:
            self._gate.record_strangers(at_once=at_once)
        except StoreUnavailable as error:  # observability fails open
            log.error("requests with unknown keys could not be recorded: %s", error.message)

    def __call__(self, exchange: Exchange) -> Awaitable[None]:
        """Answer one request, by the door that its head names."""
        head = exchange.head
        route = head.route
        if route is None:
            route = head.route = self._find_route(head)
        return route(exchange)

    def _find_route(self, head: Head) -> Route:
        path = self._short(head)
        if (door := _CALLS.get(path)) is not None:
            return partial(self.calls.serve, door=door) if head.method == "POST" else _refuse_method
        if head.method == "POST" and path.startswith("/model/"):
            return self._find_bedrock_route(path)
        if head.method == "POST" and path == "/messages/count_tokens":
            return partial(self.calls.serve, door="anthropic_messages", operation="count_tokens")
        listed = self._find_list(path) if head.method == "GET" else None
        return listed or self._hand_on

    async def _hand_on(self, exchange: Exchange) -> None:
        if not await self._forward.serve(exchange.scope, exchange.receive, exchange.send):
            self._gate.strangers.note(exchange.client_address, self._gate.clock.now_us())

    @staticmethod
    def _short(head: Head) -> str:
        """The raw path without a prefix that clients may or may not put before it. Bedrock model ids stay encoded."""
        path = head.raw_path.decode("latin-1")
        if len(path) > 1 and path.endswith("/"):
            path = path[:-1]
        for prefix in _PREFIXES:
            if path.startswith(prefix + "/"):
                rest = path[len(prefix) :]
                if rest.startswith(("/chat/", "/responses", "/messages", "/model")):
                    return rest
        return path

    def _find_bedrock_route(self, path: str) -> Route:
        model, _, operation = path.removeprefix("/model/").rpartition("/")
        if operation == "count-tokens" and model:
            return partial(self.calls.serve, door="bedrock_converse", operation="count_tokens", model=unquote(model))
        if operation in _BEDROCK and model:
            door, is_stream = _BEDROCK[operation]
            return partial(self.calls.serve, door=door, model=unquote(model), is_stream=is_stream)
        return self._hand_on

    def _find_list(self, path: str) -> Route | None:
        lists = self._lists
        if path in ("/model/info", "/model_group/info"):
            return lambda exchange: lists.model_info(exchange.scope, exchange.send)
        if path == "/models":
            return lambda exchange: lists.models(exchange.scope, exchange.send)
        if path.startswith("/models/"):
            name = path.removeprefix("/models/")
            return lambda exchange: lists.models(exchange.scope, exchange.send, name=name)
        if path == "/inference-profiles":
            return lambda exchange: lists.inference_profiles(exchange.scope, exchange.send)
        if path in ("/health/live", "/health/liveliness", "/health/liveness"):
            return lambda exchange: send_whole(exchange.send, 200, b'{"status":"live"}')
        if path in ("/health/ready", "/health/readiness"):
            return lambda exchange: self._ready(exchange.send)
        return None

    async def _ready(self, send: Send) -> None:
        """Ready means: keys and models are known, and every credential they name is here."""
        registry = self._gate.registry
        missing = sorted(
            {
                deployment.credential
                for model in registry.models.values()
                for deployment in model.deployments
                if deployment.credential and deployment.credential not in registry.credentials
            }
        )
        is_trusted = self._gate.clock.monotonic_us() < registry.trusted_until_us
        is_ready = registry.snapshot is not None and not missing and is_trusted
        body = {
            "status": "ready" if is_ready else "not ready",
            "epoch": registry.epoch,
            "keys": len(registry.snapshot.keys) if registry.snapshot else 0,
            "models": len(registry.models),
            "simulated": bool(registry.snapshot and registry.snapshot.simulated),
            "missing_credentials": missing,
            "process": self._gate.process_id,
            "counters_failure": self._gate.counters.failure,
            "confirmed": is_trusted,
            "conversations": self._gate.conversations.counts(),
            "prompt_prefixes": self._gate.prefixes.counts(),
            "prompt_texts": self._gate.prefix_texts.counts(),
        }
        await send_whole(send, 200 if is_ready else 503, msgspec.json.encode(body))


async def _refuse_method(exchange: Exchange) -> None:
    await send_whole(exchange.send, 405, _NOT_ALLOWED, headers=[(b"allow", b"POST")])
