"""What is kept of calls, as rows, and what may be asked of the store that keeps them.

A request is a list of pieces, as its blocks and what stands between them: gap, block, gap, block ..., gap. A call's row
says only what differs from its parent's: how many pieces it keeps of the parent's beginning and of its end, and its
own between them. Why it is so: docs/why/content.md
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, Protocol, get_args

import msgspec

from sekisho.values import ContentLevel, Door, VirtualKey

Piece = bytes | tuple[bytes, int] | int
"""The bytes themselves, where they are few; the address and the length of a block; or, released, only a length."""

Pieces = tuple[Piece, ...]
RequestState = Literal["whole", "lost"]
AnswerState = Literal["running", "whole", "none", "lost"]
AnswerForm = Literal["bytes", "turns"]


LEVELS: tuple[ContentLevel, ...] = get_args(ContentLevel)


class InForce(msgspec.Struct, frozen=True):
    """The levels at which content is kept now: of all keys, of those of each team, and of each person."""

    of_all: frozenset[ContentLevel]
    of_teams: Mapping[str, frozenset[ContentLevel]] = {}
    of_people: Mapping[str, frozenset[ContentLevel]] = {}

    def among(self, team_ids: Iterable[str], user_id: str) -> tuple[ContentLevel, ...]:
        """The levels of these teams and of this person, the least first; those of all where these have no key."""
        found = self.of_people.get(user_id, frozenset()).union(*(self.of_teams.get(team, ()) for team in team_ids))
        return in_order(found or self.of_all)


def in_order(levels: Collection[ContentLevel]) -> tuple[ContentLevel, ...]:
    """These levels, the least first."""
    return tuple(level for level in LEVELS if level in levels)


def in_force(keys: Iterable[VirtualKey], usual: ContentLevel) -> InForce:
    """The levels of these keys; `usual` where there is no key yet."""
    of_teams: defaultdict[str, set[ContentLevel]] = defaultdict(set)
    of_people: defaultdict[str, set[ContentLevel]] = defaultdict(set)
    every: set[ContentLevel] = set()
    for key in keys:
        every.add(key.content_level)
        of_teams[key.team_id].add(key.content_level)
        of_people[key.user_id].add(key.content_level)
    return InForce(
        frozenset(every or {usual}),
        {team: frozenset(levels) for team, levels in of_teams.items() if team},
        {user: frozenset(levels) for user, levels in of_people.items() if user},
    )


class Vault(msgspec.Struct, frozen=True):
    """Where the content of one team is: `wrapped` is its data key. An empty `team_id`: of keys without a team."""

    id: int
    team_id: str
    wrapped: bytes


class ContentRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one call. `kept` and `tail`: how many pieces of its parent's begin and end its request.

    `answer_state` "running": it has not ended, or its process died. `children`: calls whose parent it is. `is_gone`: it
    was deleted, and only what its children need is left."""

    call_id: bytes
    vault: int
    started_at: int
    user_id: str
    key_id: str
    task_id: bytes
    level: ContentLevel
    door: Door
    stream: bool
    parent: bytes = b""
    kept: int = 0
    tail: int = 0
    pieces: Pieces = ()
    answer: Pieces = ()
    answer_form: AnswerForm = "bytes"
    request_state: RequestState = "whole"
    answer_state: AnswerState = "running"
    depth: int = 0
    children: int = 0
    is_gone: bool = False


class AnswerPart(msgspec.Struct, frozen=True):
    """What comes behind the answer that is known of a call so far."""

    call_id: bytes
    pieces: Pieces
    state: AnswerState
    form: AnswerForm


TITLE = -1


class NewText(msgspec.Struct, frozen=True):
    """What a call added, as text to be searched, sealed. `part` 0: of its request; TITLE: how it begins a task; else of
    its answer."""

    call_id: bytes
    part: int
    vault: int
    sealed: bytes


class NewBlock(msgspec.Struct, frozen=True):
    """A block in a pack."""

    address: bytes
    pack: str
    start: int
    length: int


class NewPack(msgspec.Struct, frozen=True):
    """A blob of blocks. `size`: bytes as stored."""

    name: str
    size: int


class Filing(msgspec.Struct, frozen=True):
    """What one batch brings to one vault. `references`: how often each block is named by it."""

    vault: int
    packs: tuple[NewPack, ...] = ()
    blocks: tuple[NewBlock, ...] = ()
    references: dict[bytes, int] = {}


class Stored(msgspec.Struct, frozen=True):
    """Where a block lies."""

    pack: str
    start: int
    length: int


class ContentFilter(msgspec.Struct, frozen=True):
    """Whose content; an empty field means any. `before`: of calls that began before then."""

    call_id: bytes = b""
    task_id: bytes = b""
    user_id: str = ""
    vault: int = 0
    before: int = 0


class Forgotten(msgspec.Struct, frozen=True):
    """A deletion: what was said until `at` by the one that is named is kept no more, in whose spool it may still lie.
    Named is a call, a task, a person or a team, which is empty for keys without one."""

    at: int
    call_id: bytes = b""
    task_id: bytes = b""
    user_id: str = ""
    team_id: str | None = None

    def covers(self, *, call_id: bytes, task_id: bytes, user_id: str, team_id: str, started_at: int) -> bool:
        """Whether a call's content was deleted with this."""
        if started_at > self.at:
            return False
        named = ((self.call_id, call_id), (self.task_id, task_id), (self.user_id, user_id))
        return team_id == self.team_id or any(mine and mine == one for mine, one in named)


class Holding(msgspec.Struct, frozen=True):
    """How much is stored: calls, bytes of their packs."""

    calls: int
    bytes: int


class ContentHealth(msgspec.Struct, frozen=True):
    """How the content store is. `failure` is empty when all is well. `taken_at`: when the spool was last emptied."""

    failure: str
    spool_bytes: int
    spool_most_bytes: int
    taken_at: int


class ContentSettings(msgspec.Struct, frozen=True):
    """What the operator says of content. `level`, `days`: of teams that say nothing. Without `key` the one in the home
    is used; "kms:KEY" names one of KMS. `leads_may_read`: leads see the content of their teams. `store`: empty for
    files in the home, or s3://bucket/prefix; `sse_kms_key`: S3 encrypts with it. `region`: of both."""

    level: ContentLevel = "none"
    days: int = 30
    key: bytes = b""
    spool_bytes: int = 1 << 30
    leads_may_read: bool = False
    store: str = ""
    sse_kms_key: str = ""
    region: str = ""

    def __repr__(self) -> str:
        return f"ContentSettings(level={self.level}, days={self.days}, key=***)"


NO_CONTENT = ContentSettings()


class Stale(Exception):
    """What a write was worked out from has changed meanwhile; work it out again."""


class ContentRows(Protocol):
    """Where rows and keys of content are kept. Raises StoreUnavailable.

    What concerns one vault is written by one at a time, also where several processes share the database."""

    async def offsets(self) -> dict[str, int]:
        """How far each segment of the spool has been taken."""
        ...

    async def forget(self, segments: Sequence[str]) -> None:
        """Drop the offsets of segments that no longer exist."""
        ...

    async def renew(self) -> None:
        """Begin a new generation, in the snapshot that is offered next."""
        ...

    async def note_forgotten(self, forgotten: Forgotten) -> None:
        """Let every process of the installation know of a deletion; what is older than a month is known no more."""
        ...

    async def forgotten(self) -> list[Forgotten]:
        """The deletions that are known."""
        ...

    async def vaults(self, org_id: str) -> list[Vault]: ...

    async def add_vault(self, org_id: str, team_id: str, wrapped: bytes, now_us: int) -> Vault:
        """A new vault, or the one that is there."""
        ...

    async def find(self, call_id: bytes) -> ContentRow | None: ...

    async def there(self, call_ids: Collection[bytes]) -> set[bytes]:
        """Which of these calls have a row, also as a stub."""
        ...

    async def of_task(self, task_id: bytes, *, after: bytes = b"", until: bytes = b"", limit: int) -> list[ContentRow]:
        """The calls of a task in their order, behind `after` and up to `until`."""
        ...

    async def lineage(self, call_id: bytes) -> list[ContentRow]:
        """The call's row, its parent's, its grandparent's ... as far as they are there."""
        ...

    async def known(self, vault: int, addresses: Collection[bytes]) -> set[bytes]:
        """Which of these blocks are stored."""
        ...

    async def locate(self, vault: int, addresses: Collection[bytes]) -> dict[bytes, Stored]: ...

    async def keep(
        self,
        filings: Sequence[Filing],
        rows: Sequence[ContentRow],
        answers: Sequence[AnswerPart],
        texts: Sequence[NewText],
        offset: tuple[str, int] | None,
        now_us: int,
    ) -> None:
        """All of it, or nothing. Raises Stale when a block or a parent is gone that was there."""
        ...

    async def texts(self, vaults: Collection[int], user_id: str, *, before: bytes, limit: int) -> list[NewText]:
        """Texts of these vaults and of this user's calls anywhere, newest call first, of calls before `before`."""
        ...

    async def titles(self, task_ids: Collection[bytes]) -> dict[bytes, tuple[ContentRow, NewText]]:
        """The title of each of these tasks, from the first call with a person's words; left out where none is kept."""
        ...

    async def find_all(self, call_ids: Collection[bytes]) -> dict[bytes, ContentRow]:
        """Those of these calls of which something is kept."""
        ...

    async def drop(self, where: ContentFilter, most: int, now_us: int) -> tuple[int, list[str]]:
        """Delete up to so many calls: how many, and the packs that have lost blocks."""
        ...

    async def blocks_in(self, pack: str) -> tuple[int, dict[bytes, Stored]]:
        """The vault of a pack, and the blocks that live in it, in their order."""
        ...

    async def repack(self, vault: int, old: str, new: NewPack | None, blocks: Sequence[NewBlock], now_us: int) -> None:
        """Put a pack's blocks elsewhere (None: it has none any more); the old one is doomed. Raises Stale."""
        ...

    async def drop_vault(self, vault: int, now_us: int) -> int:
        """Delete a team's key, rows and blocks; how many calls there were. Its packs are doomed."""
        ...

    async def doomed(self, most: int) -> list[str]:
        """Packs whose bytes are still to be deleted."""
        ...

    async def buried(self, packs: Sequence[str]) -> None:
        """Their bytes are deleted."""
        ...

    async def packs(self) -> set[str]:
        """The names of all packs there are, the doomed ones too."""
        ...

    async def holding(self, org_id: str) -> dict[str, Holding]:
        """By team, how much is stored."""
        ...


def all_pieces(lineage: Sequence[ContentRow]) -> Pieces:
    """The pieces of the first row's request, given its ancestors behind it."""
    pieces: Pieces = ()
    for row in reversed(lineage):
        pieces = join_pieces(pieces, row.kept, row.pieces, row.tail)
    return pieces


def join_pieces(parent: Pieces, kept: int, own: Pieces, tail: int) -> Pieces:
    """A request's pieces."""
    return (*parent[:kept], *own, *(parent[len(parent) - tail :] if tail else ()))


def addresses_in(pieces: Pieces) -> list[bytes]:
    """The blocks that are named, as often as they are."""
    return [piece[0] for piece in pieces if isinstance(piece, tuple)]


def length_of(piece: Piece) -> int:
    """How many bytes a piece is, or was."""
    if isinstance(piece, int):
        return piece
    return piece[1] if isinstance(piece, tuple) else len(piece)
