"""How a change reaches the call processes, as registers see it."""

from typing import Protocol


class Publisher(Protocol):
    """Brings what the store says to the call processes. Raises StoreUnavailable."""

    async def offer(self) -> int:
        """Hand out what is in the store now, without waiting; the epoch."""
        ...

    async def publish(self) -> None:
        """Hand out what is in the store now and wait until every call process has them in force."""
        ...
