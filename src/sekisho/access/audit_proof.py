"""Proves a chain of audit entries whole, or names the first entry that is not as it was written.

Below: any source of entries in their order, a database or an exported file. What a chain alone cannot show is that its
end was cut off, or that everything behind some place was written anew: that needs a head that was kept elsewhere.
"""

import hmac
import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from sekisho.access.audit import START, AuditEntry, AuditHead, canonical_json, entry_hash
from sekisho.errors import BadRequest

Problem = Literal["altered", "missing", "out_of_order", "broken_link", "cut_off", "not_the_checkpoint", "not_the_head"]
HEAD_PURPOSE: Final = "sekisho-audit-head-1"


class Finding(msgspec.Struct, frozen=True):
    """The first thing wrong: with which entry, and, for several missing ones, up to which."""

    problem: Problem
    sequence: int
    until: int = 0


class Proof:
    """Takes entries in their order and remembers the first finding. `is_whole` False: entries may be left out, as in a
    filtered export; then only what is there is proven, and links between neighbours."""

    def __init__(self, checkpoints: Sequence[AuditHead] = (), *, is_whole: bool = True) -> None:
        self.finding: Finding | None = None
        self.count = 0
        self.last: AuditHead | None = None
        self._checkpoints = {head.sequence: head.hash for head in checkpoints if head.sequence}
        self._is_whole = is_whole

    def add(self, entries: Iterable[AuditEntry]) -> bool:
        """Check the next entries; False once there is a finding."""
        for entry in entries:
            if self.finding is None:
                self.finding = self._judge(entry)
            if self.finding is not None:
                return False
            self.count += 1
            self.last = AuditHead(entry.org_id, entry.sequence, entry.hash)
        return True

    def end(self, head: AuditHead | None) -> Finding | None:
        """What is wrong with the whole, now that no more comes. `head`: what the log says of itself."""
        if self.finding is None and self._is_whole:
            self.finding = self._judge_end(head)
        return self.finding

    def _judge(self, entry: AuditEntry) -> Finding | None:
        before = self.last
        expected = before.sequence + 1 if before else 1
        if entry.sequence < expected and before:
            return Finding("out_of_order", entry.sequence)
        if entry.sequence > expected and self._is_whole:
            return Finding("missing", expected, entry.sequence - 1)
        follows = entry.sequence == expected and (before is not None or expected == 1)
        previous = before.hash if before else START
        if entry_hash(entry) != entry.hash:
            is_moved = follows and entry.previous != previous
            return Finding("out_of_order" if is_moved else "altered", entry.sequence)
        if follows and entry.previous != previous:
            return Finding("broken_link", before.sequence if before else entry.sequence)
        checkpoint = self._checkpoints.get(entry.sequence)
        if checkpoint is not None and checkpoint != entry.hash:
            return Finding("not_the_checkpoint", entry.sequence)
        return None

    def _judge_end(self, head: AuditHead | None) -> Finding | None:
        last = self.last.sequence if self.last else 0
        most = max([head.sequence if head else 0, *self._checkpoints])
        if most > last:
            return Finding("cut_off", last + 1, most)
        if head is not None and self.last is not None and (head.sequence, head.hash) != (last, self.last.hash):
            return Finding("not_the_head", last)
        return None


def render_entry(entry: AuditEntry) -> str:
    """One line of an exported log: every field as it went into the hash, hashes in hexadecimal."""
    fields = msgspec.structs.asdict(entry)
    return canonical_json(fields | {"previous": entry.previous.hex(), "hash": entry.hash.hex()})


def parse_entry(fields: dict[str, Any]) -> AuditEntry:
    """An entry of an exported log. Raises BadRequest."""
    try:
        raw = fields | {"previous": bytes.fromhex(fields["previous"]), "hash": bytes.fromhex(fields["hash"])}
        return msgspec.convert(raw, AuditEntry)
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise BadRequest("This is not an entry of an audit log.") from error


def render_head(head: AuditHead, at_us: int, pepper: bytes) -> str:
    """A checkpoint as one line of JSON, signed with the pepper of this home."""
    fields = {"org_id": head.org_id, "sequence": head.sequence, "hash": head.hash.hex(), "at": at_us}
    return canonical_json({"head": fields, "signature": _signature(fields, pepper)})


def parse_head(line: str, pepper: bytes | None) -> AuditHead:
    """The checkpoint that `render_head` wrote. Without a pepper its signature is not checked. Raises BadRequest."""
    try:
        read = json.loads(line)
        fields, signature = read["head"], str(read["signature"])
        head = AuditHead(str(fields["org_id"]), int(fields["sequence"]), bytes.fromhex(fields["hash"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequest("This is not a checkpoint of an audit log.") from error
    if pepper is not None and not hmac.compare_digest(signature.encode(), _signature(fields, pepper).encode()):
        raise BadRequest("The checkpoint was not signed by this Sekisho, or was changed.")
    return head


def _signature(fields: dict[str, Any], pepper: bytes) -> str:
    return hmac.new(pepper, f"{HEAD_PURPOSE}:{canonical_json(fields)}".encode(), sha256).hexdigest()
