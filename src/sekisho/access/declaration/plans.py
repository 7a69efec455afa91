"""What an apply would do, and what it must write for that."""

import hashlib
from typing import Literal

import msgspec

from sekisho.access.declaration.problems import Problem
from sekisho.access.declaration.things import Address, Fields, Mark
from sekisho.access.organisation import Member, Tag, Team, User
from sekisho.access.register import KeyChange, StoredKey
from sekisho.access.roles import Grant
from sekisho.access.rules import NO_RULES, RuleWrite
from sekisho.access.templates import Template

Action = Literal["create", "change", "delete"]


class Change(msgspec.Struct, frozen=True):
    """One step. `drifted`: the fields that somebody changed since the last apply; `before` and `after` None: not there.

    A key that is created has no secret until somebody rotates it or hands it over."""

    action: Action
    address: Address
    before: Fields | None
    after: Fields | None
    drifted: tuple[str, ...] = ()
    line: int = 0


class Left(msgspec.Struct, frozen=True):
    """What an apply made and the file no longer states, but that stays. `because_of`: others' things in it."""

    address: Address
    because_of: tuple[Address, ...] = ()


class Writes(msgspec.Struct, frozen=True):
    """What one transaction does, in this order. `removals`: kind and ids; what belongs to them is removed too.
    `key_ids`: of every key that there is or will be, by its name in the file."""

    templates: tuple[Template, ...] = ()
    users: tuple[User, ...] = ()
    tags: tuple[Tag, ...] = ()
    teams: tuple[Team, ...] = ()
    members: tuple[Member, ...] = ()
    new_keys: tuple[StoredKey, ...] = ()
    keys: tuple[tuple[str, KeyChange], ...] = ()
    key_ids: dict[str, str] = {}
    rules: RuleWrite = NO_RULES
    grants: tuple[tuple[str, Grant, bool], ...] = ()  # user, role, and whether it is given or taken away
    removals: tuple[Address, ...] = ()
    marks: tuple[Mark, ...] = ()
    unmarked: tuple[Address, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """Everything between what there is and what the file states."""

    changes: tuple[Change, ...]
    left: tuple[Left, ...]
    unmanaged: tuple[Address, ...]
    warnings: tuple[Problem, ...]
    writes: Writes

    @property
    def digest(self) -> str:
        """Two plans with the same digest do the same."""
        return hashlib.sha256(msgspec.json.encode(self.changes, order="deterministic")).hexdigest()[:32]
