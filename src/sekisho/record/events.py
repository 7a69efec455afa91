"""Things that happened and that somebody may want to be told of: rows that channels will send on.

Implemented by the store. An event is there once, whoever writes it and however often. Times are microseconds.
"""

from typing import Any, Literal, Protocol

import msgspec

EventKind = Literal["budget_threshold"]


class Event(msgspec.Struct, frozen=True):
    """One event. `key` is its own within its kind: writing it again changes nothing. `id` grows in order of writing.

    `detail` is a JSON object; of a budget's threshold it says which budget, window, per cent and action it was."""

    kind: EventKind
    key: str
    at: int
    detail: dict[str, Any]
    id: int = 0


class EventStore(Protocol):
    """Where events are kept."""

    async def write(self, org_id: str, events: list[Event]) -> None:
        """Keep those that are not there yet."""
        ...

    async def list_events(self, org_id: str, *, limit: int, before: int | None = None) -> list[Event]:
        """Events, newest first, with an id below `before`."""
        ...
