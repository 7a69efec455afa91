"""The audit log as values: what an entry says, how entries are chained, and how a chain is verified.

Above: the store appends, the admin API and the command line read. Below: nothing; it needs no database. Entry n holds
the hash of entry n - 1, and its own hash covers that and every field, so no entry can be changed, removed, put in
between or moved without the chain showing where. Source: docs/why/audit.md
"""

import functools
import hashlib
import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, Protocol

import msgspec

FORMAT: Final = "sekisho-audit-1"
START: Final = bytes(32)  # what the first entry of a chain has as its previous hash
MASK: Final = "***"
DEPTH: Final = 20

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_SECRET_NAME = re.compile(
    r"(?i)(secret|passw|pwd|passphrase|credential|authorization|cookie|private.?key|api.?key|access.?key|bearer|digest"
    r"|(^|[_.\-\s])(token|jwt|auth|pepper|key)$)"
)
_SECRET_TEXT = re.compile(
    r"skt?-[A-Za-z0-9_\-]{8,}|\b(AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"
    r"|\bxox[abeoprs]-[\w\-]{10,}|\beyJ[\w\-]{8,}\.[\w\-]{8,}|\bAIza[\w\-]{30,}|\bbedrock-api-key-\S+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]+:[^/\s@]+@"
)

# What every secret above has in it: to look for these words is a tenth of the work of the pattern.
_SECRET_SIGNS = (
    *("sk-", "AKIA", "ASIA", "ABIA", "ACCA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox"),
    *("eyJ", "AIza", "bedrock-api-key-", "-----BEGIN", "://"),
)


class AuditEvent(msgspec.Struct, frozen=True):
    """What happened, before it has its place in the chain. `before`, `after`: the object as JSON values, or None.

    `at` is when, if that is not the time of writing."""

    actor: str
    action: str
    kind: str
    id: str
    before: Any = None
    after: Any = None
    at: int = 0


class AuditEntry(msgspec.Struct, frozen=True):
    """One link. `at` in microseconds; `before` and `after` are canonical JSON, as they went into the hash."""

    org_id: str
    sequence: int
    at: int
    actor: str
    action: str
    kind: str
    id: str
    before: str | None
    after: str | None
    previous: bytes
    hash: bytes


class AuditHead(msgspec.Struct, frozen=True):
    """The newest entry of a chain at some moment: kept elsewhere, it shows when the end of the chain is cut off."""

    org_id: str
    sequence: int
    hash: bytes


class AuditFilter(msgspec.Struct, frozen=True):
    """Which entries; what is empty means any. `since` and `until` in microseconds, the latter excluded."""

    actor: str = ""
    action: str = ""
    kind: str = ""
    id: str = ""
    since: int = 0
    until: int = 0


ANY_ENTRY: Final = AuditFilter()


class AuditNotes(Protocol):
    """Where somebody's reading of what is not theirs is noted. Raises StoreUnavailable."""

    async def note(self, org_id: str, event: AuditEvent, now_us: int) -> None:
        """Append an entry that comes with no other change."""
        ...


class AuditQueries(Protocol):
    """Who reads the log. Raises StoreUnavailable."""

    async def list_entries(
        self, org_id: str, where: AuditFilter, *, limit: int, before: int | None = None
    ) -> list[AuditEntry]:
        """Entries, newest first, below the sequence number `before`."""
        ...

    async def read_entries(self, org_id: str, *, after: int, limit: int) -> list[AuditEntry]:
        """Entries in their order, above the sequence number `after`."""
        ...

    async def head(self, org_id: str) -> AuditHead | None:
        """The newest entry's place and hash; None for a log without entries."""
        ...


def canonical_json(value: Any) -> str:
    """The one way to write a value: sorted names, no spaces, no escapes beyond JSON's own."""
    return _ENCODER.encode(value)


def entry_hash(entry: AuditEntry) -> bytes:
    """SHA-256 over the canonical JSON list of the format's name and every field; the previous hash in hexadecimal."""
    fields = [
        FORMAT,
        entry.org_id,
        entry.sequence,
        entry.at,
        entry.actor,
        entry.action,
        entry.kind,
        entry.id,
        entry.before,
        entry.after,
        entry.previous.hex(),
    ]
    return hashlib.sha256(canonical_json(fields).encode()).digest()


def chain(head: AuditHead, at_us: int, events: Iterable[AuditEvent]) -> list[AuditEntry]:
    """The events as the next links behind `head`, with everything masked that looks like a secret."""
    entries: list[AuditEntry] = []
    sequence, previous = head.sequence, head.hash
    for event in events:
        sequence += 1
        entry = AuditEntry(
            head.org_id,
            sequence,
            event.at or at_us,
            _text(event.actor, 200),
            _text(event.action, 100),
            _text(event.kind, 40),
            _text(event.id, 401),
            _shown(event.before),
            _shown(event.after),
            previous,
            b"",
        )
        entry = msgspec.structs.replace(entry, hash=entry_hash(entry))
        previous = entry.hash
        entries.append(entry)
    return entries


def masked(value: Any, depth: int = 0) -> Any:
    """The value as plain JSON without secrets: binary values are left out, texts and fields that look like a secret
    are stars. A caller passes no secret in the first place; this is for what people write into free fields."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        return _masked_object(value, depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [masked(one, depth + 1) for one in value] if depth < DEPTH else MASK
    if isinstance(value, str):
        return _text(value, len(value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _masked_object(value: dict[Any, Any], depth: int) -> Any:
    if depth >= DEPTH:
        return MASK
    shown: dict[str, Any] = {}
    for name, one in value.items():
        if isinstance(one, (bytes, bytearray, memoryview)):
            continue
        shown_name, is_secret = _name(str(name))
        shown[shown_name] = MASK if is_secret and isinstance(one, (str, list, dict)) and one else masked(one, depth + 1)
    return shown


@functools.lru_cache(maxsize=4096)
def _name(name: str) -> tuple[str, bool]:
    """How a field is called in the log, and whether its name says that a secret is in it."""
    return _text(name, len(name)), _SECRET_NAME.search(name) is not None


def _shown(value: Any) -> str | None:
    return None if value is None else canonical_json(masked(value))


def _text(text: str, most: int) -> str:
    """The text as every engine stores it, without NUL and half surrogate pairs; stars if it looks like a secret."""
    text = text[:most]
    if any(sign in text for sign in _SECRET_SIGNS) and _SECRET_TEXT.search(text):
        return MASK
    if "\0" in text or not text.isprintable():
        text = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return text
