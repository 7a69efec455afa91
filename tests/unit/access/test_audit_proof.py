"""A chain of audit entries: whatever is done to any entry of it, the proof names it."""

import json
import random

import msgspec
import pytest

from sekisho.access.audit import START, AuditEntry, AuditEvent, AuditHead, chain, entry_hash, masked
from sekisho.access.audit_proof import Finding, Proof, parse_entry, parse_head, render_entry, render_head
from sekisho.errors import BadRequest

PEPPER = b"p" * 32
COUNT = 12


def log() -> list[AuditEntry]:
    events = [AuditEvent("bob", "key.update", "key", f"k{number}", {"n": number}, {"n": -1}) for number in range(COUNT)]
    return chain(AuditHead("default", 0, START), 1, events)


def judge(entries: list[AuditEntry], *anchors: AuditHead, head: AuditHead | None = None, **options) -> Finding | None:
    proof = Proof(anchors, **options)
    proof.add(entries)
    return proof.end(head)


def head_of(entries: list[AuditEntry]) -> AuditHead:
    return AuditHead("default", entries[-1].sequence, entries[-1].hash)


def forged(entry: AuditEntry, **changes) -> AuditEntry:
    """The entry changed, with a hash that fits."""
    changed = msgspec.structs.replace(entry, **changes)
    return msgspec.structs.replace(changed, hash=entry_hash(changed))


def test_an_untouched_log_is_whole():
    entries = log()
    assert judge(entries, head=head_of(entries)) is None
    assert judge([], head=None) is None


@pytest.mark.parametrize("field", AuditEntry.__struct_fields__)
@pytest.mark.parametrize("place", range(COUNT))
def test_a_change_of_any_field_of_any_entry_is_named(place, field):
    entries = log()
    old = getattr(entries[place], field)
    new = old + 1000 if isinstance(old, int) else bytes(31) + b"!" if isinstance(old, bytes) else f"{old} "
    entries[place] = msgspec.structs.replace(entries[place], **{field: new})
    finding = judge(entries)
    assert finding is not None
    if field == "sequence":  # it says that it stands elsewhere: what should stand here is missing
        assert finding == Finding("missing", place + 1, place + 1000)
    else:
        assert (finding.sequence, finding.problem in ("altered", "out_of_order")) == (place + 1, True)


@pytest.mark.parametrize("place", range(COUNT - 1))
def test_a_removed_entry_is_named(place):
    entries = log()
    del entries[place]
    assert judge(entries) == Finding("missing", place + 1, place + 1)


@pytest.mark.parametrize("cut", range(1, COUNT))
def test_a_cut_at_the_end_shows_against_a_head(cut):
    entries = log()
    assert judge(entries[:-cut], head=head_of(entries)) == Finding("cut_off", COUNT - cut + 1, COUNT)
    assert judge(entries[:-cut], head_of(entries)) == Finding("cut_off", COUNT - cut + 1, COUNT)


@pytest.mark.parametrize("place", range(COUNT - 1))
def test_entries_that_changed_places_are_named(place):
    entries = log()
    one, two = entries[place], entries[place + 1]
    entries[place : place + 2] = [two, one]
    assert judge(entries) == Finding("missing", place + 1, place + 1)
    swapped = [msgspec.structs.replace(two, sequence=place + 1), msgspec.structs.replace(one, sequence=place + 2)]
    entries[place : place + 2] = swapped
    assert judge(entries) == Finding("out_of_order", place + 1)


def test_an_entry_with_a_new_hash_breaks_the_link_behind_it():
    entries = log()
    entries[4] = forged(entries[4], actor="nobody")
    assert judge(entries) == Finding("broken_link", 5)


def test_an_entry_put_in_between_is_found_even_with_a_hash_that_fits():
    entries = log()
    new = forged(entries[5], actor="nobody", previous=entries[4].hash)
    behind = [msgspec.structs.replace(one, sequence=one.sequence + 1) for one in entries[5:]]
    finding = judge([*entries[:5], new, *behind])
    assert finding is not None and finding.sequence in (6, 7)


def test_a_log_written_anew_from_some_place_on_shows_only_against_a_noted_head():
    entries = log()
    noted = head_of(entries)
    anew = chain(AuditHead("default", 4, entries[3].hash), 1, [AuditEvent("eve", "x", "key", "k")] * (COUNT - 4))
    fake = [*entries[:4], *anew]
    assert judge(fake, head=head_of(fake)) is None
    assert judge(fake, noted, head=head_of(fake)) == Finding("not_the_checkpoint", COUNT)
    more = [*fake, *chain(head_of(fake), 1, [AuditEvent("eve", "x", "key", "k")])]
    assert judge(more, noted) == Finding("not_the_checkpoint", COUNT)


def test_an_entry_appended_behind_the_head_is_named():
    entries = log()
    more = [*entries, *chain(head_of(entries), 1, [AuditEvent("eve", "x", "key", "k")])]
    assert judge(more, head=head_of(entries)) == Finding("not_the_head", COUNT + 1)


def test_random_damage_is_never_missed():
    """Any number of removals, copies, moves and changes: the log is whole only if it is the log."""
    dice = random.Random(7)
    for _ in range(300):
        entries = log()
        for _ in range(dice.randint(1, 3)):
            place = dice.randrange(len(entries))
            match dice.randrange(4):
                case 0:
                    del entries[place]
                case 1:
                    entries.insert(dice.randrange(len(entries) + 1), entries[place])
                case 2:
                    entries.insert(dice.randrange(len(entries)), entries.pop(place))
                case _:
                    entries[place] = forged(entries[place], at=dice.randrange(3))
        assert (judge(entries, head=head_of(log())) is None) == (entries == log())


def test_a_part_of_a_log_proves_what_is_there():
    part = [log()[number] for number in (2, 3, 7)]
    assert judge(part, is_whole=False) is None
    altered = msgspec.structs.replace(part[2], actor="eve")
    assert judge([*part[:2], altered], is_whole=False) == Finding("altered", 8)
    assert judge([part[0], forged(part[1], actor="eve")], is_whole=False) is None
    assert judge([part[0], forged(part[1], previous=START)], is_whole=False) == Finding("broken_link", 3)
    assert judge([part[1], part[0]], is_whole=False) == Finding("out_of_order", 3)


def test_an_entry_survives_its_line_in_an_export():
    for entry in log():
        assert parse_entry(json.loads(render_entry(entry))) == entry
    for broken in ({}, {"previous": "x", "hash": ""}, {"previous": "", "hash": "", "sequence": "one"}):
        with pytest.raises(BadRequest):
            parse_entry(broken)


def test_a_head_that_somebody_else_wrote_is_refused():
    head = AuditHead("default", 3, bytes(32))
    line = render_head(head, 9, PEPPER)
    assert parse_head(line, PEPPER) == parse_head(line, None) == head
    for wrong in (line.replace('"sequence":3', '"sequence":2'), render_head(head, 9, b"other"), "{}", "[]", "x"):
        with pytest.raises(BadRequest):
            parse_head(wrong, PEPPER)


def test_what_looks_like_a_secret_is_masked_wherever_it_stands():
    secrets = {
        "password": "x",
        "deep": [{"API-Key": "x"}, {"session_token": "x"}],
        "text": "use sk-0123456789abcdef please",
        "aws": "AKIAIOSFODNN7EXAMPLE",
        "url": "postgresql://bob:hunter2@db/x",
        "pem": "-----BEGIN RSA PRIVATE KEY-----",
        "bytes": b"raw",
    }
    assert masked(secrets) == {
        "password": "***",
        "deep": [{"API-Key": "***"}, {"session_token": "***"}],
        "text": "***",
        "aws": "***",
        "url": "***",
        "pem": "***",
    }
    plain = {"tokens_per_minute": 5, "key_alias": "alice", "models": ["claude"], "max_output_tokens": 7, "password": ""}
    assert masked(plain) == plain
    deep: list[object] = []
    for _ in range(100):
        deep = [deep]
    assert "***" in json.dumps(masked(deep))
