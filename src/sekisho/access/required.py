"""Required metadata: which fields teams, users, service accounts and keys must carry, as data that administrators set.

What is made or given other metadata without them is refused by name; what was there before is listed as incomplete.
Patterns are matched in time linear in the text, so that no pattern can hold the control plane up.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from sekisho.clock import Clock
from sekisho.errors import BadRequest

Kind = Literal["team", "user", "service", "key"]
MOST_FIELDS = 50
NAME_CHARACTERS = 100
VALUE_CHARACTERS = 1000


class RequiredField(msgspec.Struct, frozen=True):
    """One field. `values`: the only ones allowed; `pattern`: a regular expression for the whole value; empty: any."""

    name: str
    values: tuple[str, ...] = ()
    pattern: str = ""


Required = Mapping[Kind, tuple[RequiredField, ...]]


class Incomplete(msgspec.Struct, frozen=True):
    """An object that lacks what is required now."""

    kind: Kind
    id: str
    fields: tuple[str, ...]


class RequiredStore(Protocol):
    """Where the setting is kept. Raises StoreUnavailable."""

    async def required(self, org_id: str) -> Required:
        """What is required now."""
        ...

    async def set_required(self, org_id: str, required: Required, by: str, now_us: int) -> None:
        """Require this from now on."""
        ...

    async def metadata(self, org_id: str) -> Sequence[tuple[Kind, str, Mapping[str, Any]]]:
        """The metadata of every object in use."""
        ...


class RequiredRegister:
    """Sets what is required in one organisation, and finds what lacks it."""

    def __init__(self, store: RequiredStore, org_id: str, clock: Clock) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock

    async def get(self) -> Required:
        """What is required now."""
        return await self._store.required(self._org_id)

    async def set(self, required: Required, by: str) -> None:
        """Require this from now on. Raises BadRequest."""
        for kind, fields in required.items():
            check_fields(kind, fields)
        await self._store.set_required(self._org_id, required, by, self._clock.now_us())

    async def incomplete(self) -> Sequence[Incomplete]:
        """Every object that lacks something, by kind and id."""
        required = await self.get()
        found = [
            Incomplete(kind, id_, wrong)
            for kind, id_, metadata in await self._store.metadata(self._org_id)
            if (wrong := lacking(required.get(kind, ()), metadata))
        ]
        return sorted(found, key=lambda one: (one.kind, one.id))


def check_fields(kind: Kind, fields: Sequence[RequiredField]) -> None:
    """Raises BadRequest for fields that cannot be required."""
    if len(fields) > MOST_FIELDS or len({field.name for field in fields}) < len(fields):
        raise BadRequest(f"Require at most {MOST_FIELDS} fields, each once.", param=kind)
    for field in fields:
        if not 0 < len(field.name) <= NAME_CHARACTERS or not field.name.isprintable():
            raise BadRequest("A field has a name of 1 to 100 printable characters.", param=kind)
        if field.pattern:
            from sekisho.access.patterns import check_pattern  # noqa: PLC0415  slow to import: see the module

            check_pattern(field.pattern)


def lacking(fields: Iterable[RequiredField], metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the fields that are missing or have a value that is not allowed."""
    return tuple(field.name for field in fields if not _fits(field, metadata.get(field.name)))


def check_metadata(kind: Kind, required: Required, metadata: Mapping[str, Any]) -> None:
    """Raises BadRequest, naming the field, for metadata that lacks something."""
    for field in required.get(kind, ()):
        if not _fits(field, metadata.get(field.name)):
            words = "service account" if kind == "service" else kind
            hint = f" It is one of: {', '.join(field.values[:10])}." if field.values else ""
            hint = hint or (f" It matches {field.pattern}." if field.pattern else "")
            raise BadRequest(f"A {words} must have {field.name} in its metadata.{hint}", param=f"metadata.{field.name}")


def _fits(field: RequiredField, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return False
    text = str(value)
    if len(text) > VALUE_CHARACTERS or (field.values and text not in field.values):
        return False
    if not field.pattern:
        return True
    from sekisho.access.patterns import matches  # noqa: PLC0415  slow to import: see the module

    return matches(field.pattern, text)
