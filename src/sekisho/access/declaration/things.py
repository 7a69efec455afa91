"""What an organisation consists of, as a file states it and as it is: things under addresses.

A thing's `fields` are what the file says or would say of it, defaults left out; two things are the same when their
fields are. Money in them is text ("100 USD"), times are ISO 8601.
"""

from typing import Any

import msgspec

from sekisho.access.grants import RoleGrant
from sekisho.access.money import usd_text
from sekisho.access.organisation import Member, Tag, Team, User, member_scope
from sekisho.access.register import StoredKey
from sekisho.access.rules import StoredRule
from sekisho.access.templates import Template
from sekisho.access.terms import Terms
from sekisho.values import Budget, Policy, RateLimit, Scope

Address = tuple[str, ...]
Fields = dict[str, Any]
Value = Budget | RateLimit | Policy | Terms | StoredRule | StoredKey | Template | User | Team | Member | Tag | None

RULES = ("budget", "limit", "policy")  # they belong to an owner, whose address stands in theirs
# Fields that the file leaves alone when it does not state them: somebody may have acted on them meanwhile.
LEFT_ALONE: dict[str, tuple[str, ...]] = {
    "user": ("roles",),
    "team": ("blocked", "cut_streams"),
    "key": ("blocked", "expires", "cut_streams"),
    "budget": ("increase", "from"),
}


class Thing(msgspec.Struct, frozen=True):
    """A part of the organisation. `is_mentioned`: the file only names it, so it must be there, in whatever state."""

    address: Address
    fields: Fields
    value: Value = None
    line: int = 0
    is_mentioned: bool = False

    @property
    def kind(self) -> str:
        return self.address[0]


class Mark(msgspec.Struct, frozen=True):
    """What an apply did: it put the thing in this state. `is_made`: it made the thing too, or was told to adopt it."""

    address: Address
    is_made: bool
    fields: Fields


class Holdings(msgspec.Struct, frozen=True):
    """All that the store has in use, as of one moment."""

    users: tuple[User, ...]
    teams: tuple[Team, ...]
    members: tuple[Member, ...]
    tags: tuple[Tag, ...]
    templates: tuple[Template, ...]
    rules: tuple[StoredRule, ...]
    keys: tuple[StoredKey, ...]
    grants: tuple[RoleGrant, ...]
    marks: tuple[Mark, ...]


def user_address(user_id: str) -> Address:
    return ("user", user_id)


def team_address(team_id: str) -> Address:
    return ("team", team_id)


def member_address(team_id: str, user_id: str) -> Address:
    return ("member", team_id, user_id)


def tag_address(name: str) -> Address:
    return ("tag", name)


def key_address(alias: str) -> Address:
    return ("key", alias)


def template_address(template_id: str) -> Address:
    return ("budget_template", template_id)


def owner_scope(address: Address, org_id: str, key_ids: dict[str, str]) -> Scope:
    """The scope behind the address of an owner of budgets; that of a key goes by its id."""
    match address[0]:
        case "organisation":
            return Scope("org", org_id)
        case "member":
            return member_scope(address[1], address[2])
        case "key":
            return Scope("key", key_ids.get(address[1], ""))
        case "team":
            return Scope("team", address[1])
        case "tag":
            return Scope("tag", address[1])
    return Scope("user", address[1])


def owner_of(address: Address) -> Address:
    """Whose budget or limit it is."""
    return address[1:-1]


def describe(address: Address) -> str:
    """The address as people read it: "team a", "member a/alice", "budget monthly of team a"."""
    if address[0] in RULES:
        owner = owner_of(address)
        return f"{address[0]} {address[-1]} of {describe(owner)}"
    return " ".join((address[0], "/".join(address[1:]))).strip()


def usd(nanousd: int) -> str:
    """Money as the file writes it."""
    return f"{usd_text(nanousd)} USD"


def stated(**fields: Any) -> Fields:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value not in (None, "", (), [], {}, False)}
