"""A header that was recognised once is looked up by its bytes; that never makes a key good for longer than it is."""

from typing import Any

import pytest

from sekisho.access.keys import digest, digester
from sekisho.calls.call import Call, Trail
from sekisho.calls.gate import Gate, Limits, Registry
from sekisho.calls.stages.authenticate import authenticate
from sekisho.clock import FakeClock
from sekisho.errors import NotAuthenticated
from sekisho.values import Snapshot, VirtualKey

PEPPER = b"p" * 32
ALICE, BOB = "sk-alice", "sk-bob"


async def read_body() -> bytes:
    return b"{}"


class Guarded:
    """Answers with the id of the key that a request is recognised by."""

    def __init__(self) -> None:
        nothing: Any = None
        self.clock = FakeClock()
        self.digests = 0
        made = digester(PEPPER)

        def counted(key: str) -> bytes:
            self.digests += 1
            return made(key)

        self.registry = Registry()
        self.gate = Gate(self.clock, self.registry, counted, nothing, nothing, nothing, Limits())

    def load(self, *keys: VirtualKey) -> None:
        self.registry.load(Snapshot(self.registry.epoch + 1, "org", keys, ()))

    async def ask(self, **headers: str) -> str:
        named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        call = Call(b"1", "1", "openai_chat", "generate", self.clock.now_us(), named, read_body, Trail(0))

        async def passed(call: Call) -> Any:
            return call.known_key.id

        key_id: Any = await authenticate(self.gate, call, passed)
        return str(key_id)


def key(name: str, raw: str, **changes: Any) -> VirtualKey:
    return VirtualKey(name, "org", digest(PEPPER, raw), **changes)


@pytest.fixture
def guarded() -> Guarded:
    made = Guarded()
    made.load(key("alice", ALICE), key("bob", BOB))
    return made


async def test_one_digest_serves_the_calls_of_a_header_until_the_next_snapshot(guarded: Guarded) -> None:
    assert [await guarded.ask(authorization=f"Bearer {ALICE}") for _ in range(3)] == ["alice"] * 3
    assert await guarded.ask(authorization=f"Bearer {BOB}") == "bob"
    assert guarded.digests == 2
    guarded.load(key("alice", ALICE))
    assert await guarded.ask(authorization=f"Bearer {ALICE}") == "alice"
    assert guarded.digests == 3
    with pytest.raises(NotAuthenticated):
        await guarded.ask(authorization=f"Bearer {BOB}")


async def test_a_key_that_is_blocked_or_expires_is_refused_at_its_next_call(guarded: Guarded) -> None:
    assert await guarded.ask(authorization=f"Bearer {ALICE}") == "alice"
    guarded.load(key("alice", ALICE, blocked=True), key("bob", BOB, expires_at=guarded.clock.now_us() + 1_000_000))
    with pytest.raises(NotAuthenticated, match="blocked"):
        await guarded.ask(authorization=f"Bearer {ALICE}")
    assert await guarded.ask(authorization=f"Bearer {BOB}") == "bob"
    guarded.clock.advance(1)
    with pytest.raises(NotAuthenticated, match="expired"):
        await guarded.ask(authorization=f"Bearer {BOB}")


async def test_the_previous_form_of_a_rotated_key_is_recognised_until_its_grace_ends(guarded: Guarded) -> None:
    until = guarded.clock.now_us() + 1_000_000
    guarded.load(key("alice", "sk-new", previous_digest=digest(PEPPER, ALICE), previous_until=until))
    assert await guarded.ask(authorization=f"Bearer {ALICE}") == "alice"
    guarded.clock.advance(1)
    with pytest.raises(NotAuthenticated, match="expired"):
        await guarded.ask(authorization=f"Bearer {ALICE}")
    assert await guarded.ask(authorization="Bearer sk-new") == "alice"


async def test_another_header_that_comes_first_is_not_overlooked(guarded: Guarded) -> None:
    assert await guarded.ask(authorization=f"Bearer {ALICE}") == "alice"
    assert await guarded.ask(authorization=f"Bearer {ALICE}", x_litellm_api_key=BOB) == "bob"
    assert await guarded.ask(x_api_key=BOB) == "bob"
    with pytest.raises(NotAuthenticated, match="Bearer"):
        await guarded.ask(authorization=BOB)


async def test_headers_that_are_not_known_are_not_kept_and_known_ones_not_without_end(guarded: Guarded) -> None:
    many = [key(f"k{number}", f"sk-{number}") for number in range(1_030)]
    guarded.load(*many)
    for number in range(1_030):
        assert await guarded.ask(authorization=f"Bearer sk-{number}") == f"k{number}"
        with pytest.raises(NotAuthenticated):
            await guarded.ask(authorization=f"Bearer sk-unknown-{number}")
    assert len(guarded.registry.recognised) <= 1_024
