"""Find the virtual key behind the call."""

from collections.abc import Awaitable, Mapping

from sekisho.access.keys import check
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Next, Reply
from sekisho.errors import NotAuthenticated

_MAX_KEY_BYTES = 512
_MOST_RECOGNISED = 1_024


def authenticate(gate: Gate, call: Call, next: Next) -> Awaitable[Reply]:
    registry = gate.registry
    if registry.snapshot is None or call.trail.started_us >= registry.trusted_until_us:
        return _wait_and_recognise(gate, call, next)
    _recognise(gate, call)
    return next(call)


async def _wait_and_recognise(gate: Gate, call: Call, next: Next) -> Reply:
    await gate.registry.wait_ready(gate.limits.start_timeout_s)
    if call.trail.started_us >= gate.registry.trusted_until_us:
        await gate.registry.wait_trusted(gate.clock, gate.limits.start_timeout_s)
        call.trail.waited_us = gate.clock.monotonic_us() - call.trail.started_us
    _recognise(gate, call)
    return await next(call)


def _recognise(gate: Gate, call: Call) -> None:
    headers, recognised = call.headers, gate.registry.recognised
    header = headers.get(b"authorization", b"") if b"x-litellm-api-key" not in headers else b""
    key = recognised.get(header)
    if key is None:
        key = gate.registry.keys.find(gate.digest(presented_key(headers)))
        if key is None:
            raise NotAuthenticated("This key is not known here. Check the virtual key in your agent's settings.")
        if header:
            if len(recognised) >= _MOST_RECOGNISED:
                recognised.clear()
            recognised[header] = key
    call.key = key
    check(key, gate.clock.now_us())


def presented_key(headers: Mapping[bytes, bytes]) -> str:
    """The key a request carries, in any of the places that clients put it. Raises NotAuthenticated."""
    for name in (b"x-litellm-api-key", b"authorization", b"x-api-key", b"api-key"):
        value = headers.get(name)
        if not value:
            continue
        scheme, _, rest = value.partition(b" ")
        if scheme.lower() == b"bearer":
            value = rest.strip()
        elif name == b"authorization":
            raise NotAuthenticated(
                "Send the virtual key as 'Authorization: Bearer KEY'; signed requests are not taken."
            )
        if not value or len(value) > _MAX_KEY_BYTES:
            break
        return value.decode("latin-1")
    raise NotAuthenticated("No key was sent. Send the virtual key as 'Authorization: Bearer KEY'.")
