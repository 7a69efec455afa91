"""Compares what a document states with what there is. Pure: it reads nothing and writes nothing."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from sekisho.access.declaration.fields import Problems
from sekisho.access.declaration.holding import things_of
from sekisho.access.declaration.plans import Change, Left, Plan
from sekisho.access.declaration.reading import Declaration
from sekisho.access.declaration.things import LEFT_ALONE, RULES, Address, Fields, Holdings, Mark, Thing, owner_of
from sekisho.access.declaration.writes import Maker, WriteBuilder

_KINDS = ("budget_template", "user", "tag", "team", "member", "key", *RULES)


class Options(msgspec.Struct, frozen=True):
    """`prune`: delete what an earlier apply made and the file no longer states. `adopt`: from now on treat what the
    file states and others made as made by an apply."""

    prune: bool = False
    adopt: bool = False


def compare(declaration: Declaration, holdings: Holdings, options: Options, maker: Maker) -> Plan:
    """What an apply would do now. Raises BadDocument for what the document may not ask for."""
    return _Comparison(declaration, holdings, options, maker).plan()


class _Comparison:
    def __init__(self, declaration: Declaration, holdings: Holdings, options: Options, maker: Maker) -> None:
        self._wanted = declaration.things
        self._held = things_of(holdings, maker.now_us)
        self._marks = {mark.address: mark for mark in holdings.marks}
        self._after: dict[Address, Fields] = {}
        self._options = options
        self._problems = Problems()
        self._builder = WriteBuilder(self._held, holdings, maker, self._problems)

    def plan(self) -> Plan:
        changes = [change for thing in self._sorted(self._wanted.values()) if (change := self._change(thing))]
        candidates = {
            address
            for address, mark in self._marks.items()
            if mark.is_made and address in self._held and address not in self._wanted
        }
        deleted = self._deletable(candidates) if self._options.prune else set()
        changes += [
            Change("delete", thing.address, thing.fields, None)
            for thing in self._sorted((self._held[address] for address in deleted), backwards=True)
        ]
        self._builder.prepare(changes, self._wanted)
        self._problems.judge()
        return Plan(
            changes=tuple(changes),
            left=tuple(self._left(address, deleted) for address in sorted(candidates - deleted, key=_order)),
            unmanaged=tuple(
                sorted(
                    (one for one in self._held if one not in self._wanted and one not in candidates),
                    key=_order,
                )
            ),
            warnings=tuple(self._builder.warnings),
            writes=msgspec.structs.replace(self._builder.writes(), **self._mark(deleted)),
        )

    def _change(self, thing: Thing) -> Change | None:
        held = self._held.get(thing.address)
        if thing.is_mentioned and held:
            return None
        mark = self._marks.get(thing.address)
        after = self._after[thing.address] = settle(thing, held, mark)
        if held is None:
            return Change("create", thing.address, None, after, line=thing.line)
        if after == held.fields:
            return None
        drifted = tuple(drift(held, mark)) if mark else ()
        return Change("change", thing.address, held.fields, after, drifted, thing.line)

    def _deletable(self, candidates: set[Address]) -> set[Address]:
        """Those that take nothing along which an apply did not make or the file still states."""
        found = set(candidates)
        while kept := {address for address in found if not self._dependents(address) <= found}:
            found -= kept
        return found

    def _dependents(self, address: Address) -> set[Address]:
        return {
            one
            for one, thing in self._held.items()
            if one != address and depends(one, self._after.get(one, thing.fields), address)
        }

    def _left(self, address: Address, deleted: set[Address]) -> Left:
        because_of = self._dependents(address) - deleted if self._options.prune else set()
        return Left(address, tuple(sorted(because_of, key=_order)))

    def _mark(self, deleted: set[Address]) -> dict[str, Any]:
        """What to note of this apply."""
        marks = []
        for address, thing in self._wanted.items():
            if thing.is_mentioned and address in self._held:
                continue
            old = self._marks.get(address)
            is_made = address not in self._held or bool(old and old.is_made) or self._options.adopt
            new = Mark(address, is_made, thing.fields)
            if new != old:
                marks.append(new)
        unmarked = [
            address
            for address, mark in self._marks.items()
            if address not in self._wanted and (address in deleted or address not in self._held or not mark.is_made)
        ]
        return {"marks": tuple(marks), "unmarked": tuple(unmarked)}

    def _sorted(self, things: Iterable[Thing], *, backwards: bool = False) -> list[Thing]:
        return sorted(things, key=lambda thing: _order(thing.address), reverse=backwards)


def settle(thing: Thing, held: Thing | None, mark: Mark | None) -> Fields:
    """The fields once the file is applied: those that it does not state and never stated stay as they are."""
    fields = _said(thing.fields)
    if held is None:
        return fields
    for name in LEFT_ALONE.get(thing.kind, ()):
        if name in thing.fields or name not in held.fields or (mark and name in mark.fields):
            continue
        if name != "from" or fields.get("per") == held.fields.get("per"):
            fields[name] = held.fields[name]
    return fields


def drift(held: Thing, mark: Mark) -> Iterator[str]:
    """The fields that are no longer what the last apply made them."""
    applied = _said(mark.fields)
    for name in applied | held.fields:
        is_left_alone = name in LEFT_ALONE.get(held.kind, ()) and name not in mark.fields
        if not is_left_alone and applied.get(name) != held.fields.get(name):
            yield name


def depends(address: Address, fields: Fields, on: Address) -> bool:
    """Whether a thing with these fields goes when another is deleted."""
    if address[0] in RULES:
        address = owner_of(address)
        return address == on or depends(address, {}, on)
    match on[0]:
        case "budget_template":
            return fields.get("budget_template") == on[1]
        case "team" if address[0] == "member":
            return address[1] == on[1]
        case "user" if address[0] == "member":
            return address[2] == on[1]
        case "team" | "user" if address[0] == "key":
            return fields.get(on[0]) == on[1]
        case "member" if address[0] == "key":
            return (fields.get("team"), fields.get("user")) == on[1:]
    return False


def _said(fields: Fields) -> Fields:
    """Without what says no: a key that never expires, a team that is not blocked."""
    noes: Fields = {"blocked": False, "expires": "never", "roles": []}
    return {name: value for name, value in fields.items() if name not in noes or noes[name] != value}


def _order(address: Address) -> tuple[int, Address]:
    return (_KINDS.index(address[0]), address)
