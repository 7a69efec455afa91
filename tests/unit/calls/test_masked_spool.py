"""Masking beside calls: one long text does not stop them."""

import asyncio
import threading
from collections.abc import Sequence

from sekisho.calls.masked_spool import MaskedSpool
from sekisho.record.masking import Masker
from sekisho.record.spool import Asked, Buffer, Head, Origin, Said

SECRET = "ghp_" + "a" * 36


class Kept:
    """A spool in memory."""

    def __init__(self) -> None:
        self.frames: list[tuple[Head, bytes]] = []
        self.has_all = asyncio.Event()

    def append(self, head: Head, parts: Sequence[Buffer] = ()) -> bool:
        self.frames.append((head, b"".join(parts)))
        if isinstance(head, Said):
            self.has_all.set()
        return True

    def lose(self, origin: Origin) -> None:
        raise AssertionError(origin)


class Waiting(Masker):
    """Masks a long text only once the loop has turned meanwhile."""

    turned = threading.Event()

    def mask(self, text: str, scope: bytes) -> str:
        assert len(text) < 100_000 or self.turned.wait(10)
        return super().mask(text, scope)


async def test_calls_go_on_while_a_long_text_is_masked() -> None:
    kept, masker = Kept(), Waiting(b"k" * 32)
    spool = MaskedSpool(kept, masker)
    origin = Origin(b"c", 0, "org", "red", "alice", "k1", "masked", "anthropic_messages", False)
    spool.append(Asked(origin), (f'{{"messages":"{"word " * 40_000}{SECRET}"}}'.encode(),))
    spool.append(Said(b"c", "whole"), (b"{}",))
    running = asyncio.create_task(spool.run())
    await asyncio.sleep(0.01)
    masker.turned.set()
    async with asyncio.timeout(20):
        await kept.has_all.wait()
    running.cancel()
    (_, request), (said, _) = kept.frames
    assert SECRET.encode() not in request and b"[GITHUB_TOKEN_" in request
    assert isinstance(said, Said) and said.form == "turns"
