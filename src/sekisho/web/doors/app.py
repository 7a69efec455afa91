"""The call plane's ASGI application: which door a request goes through."""

import logging

import msgspec

from sekisho.calls.gate import Gate, Limits
from sekisho.errors import StoreUnavailable
from sekisho.values import Door
from sekisho.web.doors.asgi import Receive, Scope, Send, address_of, send_whole
from sekisho.web.doors.calls import CallDoor
from sekisho.web.doors.forward import ForwardDoor
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
_NOT_ALLOWED = b'{"error":{"message":"Use POST here.","type":"invalid_request_error","param":null,"code":"method"}}'


class DoorApp:
    """Raw ASGI: health, calls, lists; the rest is forwarded."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = self._short(scope)
        if (door := _CALLS.get(path)) is not None:
            if scope["method"] != "POST":
                await send_whole(send, 405, _NOT_ALLOWED, headers=[(b"allow", b"POST")])
                return
            await self.calls.serve(scope, receive, send, door=door)
        elif path.startswith("/model/") and scope["method"] == "POST":
            await self._bedrock(path, scope, receive, send)
        elif path == "/messages/count_tokens" and scope["method"] == "POST":
            await self.calls.serve(scope, receive, send, door="anthropic_messages", operation="count_tokens")
        elif scope["method"] == "GET" and await self._listed(path, scope, send):
            return
        else:
            await self._hand_on(scope, receive, send)

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await self._forward.serve(scope, receive, send):
            self._gate.strangers.note(address_of(scope), self._gate.clock.now_us())

    @staticmethod
    def _short(scope: Scope) -> str:
        """The raw path without a prefix that clients may or may not put before it. Bedrock model ids stay encoded."""
        path: str = scope["raw_path"].decode("latin-1")
        if len(path) > 1 and path.endswith("/"):
            path = path[:-1]
        for prefix in _PREFIXES:
            if path.startswith(prefix + "/"):
                rest = path[len(prefix) :]
                if rest.startswith(("/chat/", "/responses", "/messages", "/model")):
                    return rest
        return path

    async def _bedrock(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        model, _, operation = path.removeprefix("/model/").rpartition("/")
        if operation == "count-tokens" and model:
            await self.calls.serve(scope, receive, send, door="bedrock_converse", operation="count_tokens", model=model)
        elif operation in _BEDROCK and model:
            door, is_stream = _BEDROCK[operation]
            await self.calls.serve(scope, receive, send, door=door, model=model, is_stream=is_stream)
        else:
            await self._hand_on(scope, receive, send)

    async def _listed(self, path: str, scope: Scope, send: Send) -> bool:
        if path in ("/model/info", "/model_group/info"):
            await self._lists.model_info(scope, send)
        elif path == "/models":
            await self._lists.models(scope, send)
        elif path.startswith("/models/"):
            await self._lists.models(scope, send, name=path.removeprefix("/models/"))
        elif path == "/inference-profiles":
            await self._lists.inference_profiles(scope, send)
        elif path in ("/health/live", "/health/liveliness", "/health/liveness"):
            await send_whole(send, 200, b'{"status":"live"}')
        elif path in ("/health/ready", "/health/readiness"):
            await self._ready(send)
        else:
            return False
        return True

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
        }
        await send_whole(send, 200 if is_ready else 503, msgspec.json.encode(body))
