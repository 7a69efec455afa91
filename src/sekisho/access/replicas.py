"""The control processes that share a database: who they are, what they may assume of each other, when one is lost.

A replica is one machine: a home with its own journal and call processes. It says again and again that it lives, under
the id of its home and of its process's life. One that has been silent for too long is taken for lost: others settle its
calls. Should it come back, it finds its life ended and begins another. Why: docs/why/replicas.md
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Replica(msgspec.Struct, frozen=True):
    """One control process. `id` is that of its home, `life` that of this process."""

    id: str
    life: str
    host: str
    is_replicated: bool


class Replicas(Protocol):
    """The living in the database, by the database's clock. Raises StoreUnavailable."""

    async def join(self, me: Replica, lost_after_us: int) -> None:
        """Be one of them from now on. Raises MayNotJoin, saying what to do, when those that live do not allow it:
        another life in a copy of this home, or others while one is not told that it is replicated."""
        ...

    async def beat(self, me: Replica) -> bool:
        """Say that this life goes on; False if others took it for lost, or another life took its place."""
        ...

    async def leave(self, me: Replica) -> None:
        """Be gone in good order."""
        ...

    async def epoch(self) -> int:
        """The epoch of what call processes must know."""
        ...

    async def lost(self, lost_after_us: int) -> Sequence[str]:
        """End the lives of those that were silent for so long; the ids of all whose calls are to be settled."""
        ...

    async def open_processes(self, replica_id: str) -> Sequence[str]:
        """The call processes of a replica of which calls are open."""
        ...

    async def bury(self, replica_id: str) -> None:
        """Forget a lost replica whose calls are settled."""
        ...
