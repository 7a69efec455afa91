"""Answers that are kept so that a request sent twice does its work once."""

from typing import Protocol

import msgspec


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer that was given. `status` 0: none yet. `request_digest` is that of the body it answers."""

    request_digest: bytes
    status: int
    body: bytes


class AnswerStore(Protocol):
    """Where answers are kept. Raises StoreUnavailable."""

    async def claim(self, digest: bytes, request_digest: bytes, now_us: int, expires_at: int) -> KeptAnswer | None:
        """Take this key for a request that is about to run; if it is taken, what is kept under it."""
        ...

    async def keep(self, digest: bytes, status: int, body: bytes) -> None:
        """Keep the answer of a claimed request."""
        ...

    async def release(self, digest: bytes) -> None:
        """Forget a claimed request that changed nothing."""
        ...
