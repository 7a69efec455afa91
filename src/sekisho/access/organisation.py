"""Who there is: teams, their members, users, service accounts and tags.

Every object says who made it. What is deleted takes its keys, its memberships and its rules along in the same
transaction, so nothing of it stays valid. Spend stays in the record under its id; a deleted id may be made again.
"""

from typing import Any, Literal, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from sekisho.access.rules import NO_RULES, RuleWrite
from sekisho.errors import BadRequest
from sekisho.values import ContentLevel, Scope

Role = Literal["lead", "member"]
UserKind = Literal["person", "service"]
NAME_CHARACTERS = 200
EMAIL_CHARACTERS = 320
DESCRIPTION_CHARACTERS = 1000
METADATA_BYTES = 16_384
MOST_CONTENT_DAYS = 3_650


class Team(msgspec.Struct, frozen=True):
    """A department or a project. `models`: its keys may use no others; empty: all.

    `content_level`, `content_days`: how much of what its calls say is kept, and how long; None, 0: as the organisation.
    `cut_streams`: whether streams of a key that is revoked are cut; None: as the gateway is set.
    """

    id: str
    org_id: str
    created_at: int
    created_by: str
    updated_at: int
    alias: str = ""
    models: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    blocked: bool = False
    content_level: ContentLevel | None = None
    content_days: int = 0
    cut_streams: bool | None = None


class TeamChange(msgspec.Struct, frozen=True):
    """What to change; what is UNSET stays."""

    alias: str | UnsetType = UNSET
    models: tuple[str, ...] | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET
    blocked: bool | UnsetType = UNSET
    content_level: ContentLevel | UnsetType | None = UNSET
    content_days: int | UnsetType = UNSET
    cut_streams: bool | UnsetType | None = UNSET


class Member(msgspec.Struct, frozen=True):
    """A user in a team. A lead manages it."""

    org_id: str
    team_id: str
    user_id: str
    role: Role
    created_at: int
    created_by: str

    @property
    def scope(self) -> Scope:
        return member_scope(self.team_id, self.user_id)


class User(msgspec.Struct, frozen=True):
    """A person, or a service account: a programme with keys of its own."""

    id: str
    org_id: str
    created_at: int
    created_by: str
    updated_at: int
    kind: UserKind = "person"
    alias: str = ""
    email: str = ""
    metadata: dict[str, Any] = {}
    owner: str = ""


class UserChange(msgspec.Struct, frozen=True):
    """What to change; what is UNSET stays."""

    kind: UserKind | UnsetType = UNSET
    alias: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET
    owner: str | UnsetType = UNSET


class Tag(msgspec.Struct, frozen=True):
    """A name that keys carry, to sum up and to limit what they spend."""

    name: str
    org_id: str
    created_at: int
    created_by: str
    updated_at: int
    description: str = ""
    owner: str = ""


class OrganisationStore(Protocol):
    """Where all this is kept. Every write raises the epoch in the same transaction. Raises StoreUnavailable.

    `rules`: budgets and limits that are written in the same transaction, all or nothing. Raises as `RuleStore.write`.

    Ids, aliases and names are unique among what is in use: a second one is BadRequest, an unknown one NotFound.
    """

    async def add_team(self, team: Team, members: tuple[Member, ...], rules: RuleWrite = NO_RULES) -> None:
        """Keep a new team with its first members and its rules; users that are not known yet are made."""
        ...

    async def change_team(
        self, org_id: str, team_id: str, change: TeamChange, by: str, now_us: int, rules: RuleWrite = NO_RULES
    ) -> Team: ...

    async def delete_team(self, org_id: str, team_id: str, by: str, now_us: int, transfer_to: str = "") -> None:
        """Delete a team, its keys, its memberships, its rules and those of its members."""
        ...

    async def find_team(self, org_id: str, team_id: str) -> Team | None: ...

    async def list_teams(
        self,
        org_id: str,
        *,
        limit: int,
        after: str = "",
        alias: str = "",
        user_id: str = "",
        among: frozenset[str] | None = None,
    ) -> list[Team]:
        """Teams by id, behind the id `after`; of a user only those with that member. `among`: only these."""
        ...

    async def put_members(self, members: tuple[Member, ...], rules: RuleWrite = NO_RULES) -> None:
        """Make users members of a team, or give members another role, with their rules. Users that are not known yet
        are made."""
        ...

    async def delete_member(self, org_id: str, team_id: str, user_id: str, by: str, now_us: int) -> None:
        """Take a user out of a team, with the keys bound to both and the rules of the membership."""
        ...

    async def list_members(self, org_id: str, *, team_id: str = "", user_id: str = "") -> list[Member]:
        """Members of a team, memberships of a user; without either those of all teams."""
        ...

    async def add_user(self, user: User, members: tuple[Member, ...] = (), rules: RuleWrite = NO_RULES) -> None: ...

    async def change_user(
        self, org_id: str, user_id: str, change: UserChange, by: str, now_us: int, rules: RuleWrite = NO_RULES
    ) -> User: ...

    async def delete_user(self, org_id: str, user_id: str, by: str, now_us: int, transfer_to: str = "") -> None:
        """Delete a user, its keys, its memberships, its rules and those of its memberships."""
        ...

    async def find_user(self, org_id: str, user_id: str) -> User | None: ...

    async def list_users(
        self,
        org_id: str,
        *,
        limit: int,
        after: str = "",
        email: str = "",
        kind: str = "",
        among: frozenset[str] | None = None,
    ) -> list[User]:
        """Users by id, behind the id `after`. `among`: only these."""
        ...

    async def put_tag(self, tag: Tag, by: str, *, is_new: bool, rules: RuleWrite = NO_RULES) -> None:
        """Keep a new tag, or the new description of a known one."""
        ...

    async def delete_tag(self, org_id: str, name: str, by: str, now_us: int) -> None:
        """Delete a tag and its rules. Keys that carry the name go on carrying it."""
        ...

    async def find_tag(self, org_id: str, name: str) -> Tag | None: ...

    async def list_tags(self, org_id: str, *, limit: int, after: str = "") -> list[Tag]:
        """Tags by name, behind the name `after`."""
        ...


def member_scope(team_id: str, user_id: str) -> Scope:
    """Whose money a membership is."""
    return Scope("member", f"{team_id}/{user_id}")


def check_id(text: str, param: str, *, may_have_slash: bool = True) -> None:
    """Raises BadRequest for an id that cannot be."""
    if not 0 < len(text) <= NAME_CHARACTERS or not text.isprintable() or text != text.strip():
        raise BadRequest(f"An id has 1 to {NAME_CHARACTERS} printable characters.", param=param)
    if "/" in text and not may_have_slash:
        raise BadRequest("The id of a team has no slash.", param=param)  # a member is written team/user


def check_texts(**texts: tuple[str, int]) -> None:
    """Raises BadRequest for a text that is longer than it may be; NUL characters are not stored."""
    for param, (text, most) in texts.items():
        if len(text) > most or "\0" in text:
            raise BadRequest(f"{param} has at most {most} characters.", param=param)


def check_metadata(metadata: dict[str, Any]) -> None:
    """Raises BadRequest for metadata that is too large."""
    if len(msgspec.json.encode(metadata)) > METADATA_BYTES:
        raise BadRequest(f"The metadata has at most {METADATA_BYTES} bytes as JSON.", param="metadata")
