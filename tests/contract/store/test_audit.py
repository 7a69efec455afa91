"""The audit log in the database: every change is in it, in one unbroken chain, and nothing changes it."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from sekisho.access.audit import AuditEntry, AuditFilter
from sekisho.access.audit_proof import Finding, Proof
from sekisho.access.organisation import Member, Tag, Team, TeamChange, User, UserChange
from sekisho.access.register import KeyChange, StoredKey
from sekisho.access.rules import RuleWrite, StoredRule
from sekisho.access.sessions import Session
from sekisho.access.templates import Template
from sekisho.access.terms import Terms
from sekisho.cli.audit import app
from sekisho.clock import id_text
from sekisho.errors import BadRequest, NotFound, StoreUnavailable
from sekisho.ledger.journal import Caller, Refused, Unrecognised
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.store.sql import audit
from sekisho.store.sql.audit import SqlAudit
from sekisho.store.sql.engine import Database
from sekisho.store.sql.keys import SqlKeys
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.names import Names
from sekisho.store.sql.organisation import SqlOrganisation
from sekisho.store.sql.rules import SqlRules
from sekisho.store.sql.sessions import SqlSessions
from sekisho.store.sql.tables.rights import audit_entry
from sekisho.values import Budget, RateLimit, Scope, Window

KEY = StoredKey("k" * 26, "default", b"secret-digest" * 2, "wxyz", 5, "operator", 5, "alice", "alice", "red")
CANARY = "sk-canary0123456789canary"


async def whole_log(database: Database) -> list[AuditEntry]:
    return await SqlAudit(database).read_entries("default", after=0, limit=10_000)


def assert_unbroken(entries: Sequence[AuditEntry]) -> None:
    """The chain as docs/why/audit.md defines it, computed here without the product's code."""
    previous = bytes(32)
    for place, entry in enumerate(entries, start=1):
        fields = ["sekisho-audit-1", "default", place, entry.at, entry.actor, entry.action, entry.kind, entry.id]
        fields += [entry.before, entry.after, previous.hex()]
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        assert (entry.sequence, entry.previous) == (place, previous)
        assert entry.hash == hashlib.sha256(text.encode()).digest()
        previous = entry.hash


async def note(database: Database, number: int, **changes) -> None:
    async with database.write() as connection:
        what = {"actor": "operator", "action": "key.update", "kind": "key", "id": f"k{number}"} | changes
        await audit.record(connection, org_id="default", at_us=number, **what)


async def test_every_change_of_every_kind_is_in_the_log_with_its_actor(database, names):
    organisation, keys, rules = SqlOrganisation(database), SqlKeys(database), SqlRules(database, names)
    sessions = SqlSessions(database)
    budget = StoredRule(Budget("b1", Scope("key", KEY.id), 5, Window("day")), "default", 6, "bob", 6)
    limit = StoredRule(RateLimit("l1", Scope("team", "red"), "", 1), "default", 6, "bob", 6)
    await organisation.add_team(Team("red", "default", 1, "operator", 1), ())
    await organisation.change_team("default", "red", TeamChange(alias="Red"), "bob", 2)
    await organisation.put_members((Member("default", "red", "alice", "member", 3, "bob"),))
    await organisation.put_members((Member("default", "red", "alice", "lead", 3, "bob"),))
    await organisation.change_user("default", "alice", UserChange(email="alice@example.com"), "bob", 4)
    await organisation.add_user(User("charlie", "default", 4, "bob", 4))
    await keys.add(KEY, ())
    await keys.change("default", KEY.id, KeyChange(blocked=True), "bob", 6)
    await rules.write("default", RuleWrite((budget, limit)), "bob", 6)
    await rules.write("default", RuleWrite((budget,)), "bob", 6)
    await rules.add_credit("default", "b1", 3, "kind", "bob", 7)
    await rules.put_template("default", Template("t", Terms(), 7, "bob", 7), RuleWrite(), "bob", 7)
    await rules.put_template("default", Template("t", Terms(), 7, "bob", 8), RuleWrite(), "bob", 8)
    await rules.delete_template("default", "t", RuleWrite(), "bob", 8)
    await organisation.put_tag(Tag("x", "default", 8, "bob", 8), "bob", is_new=True)
    await organisation.put_tag(Tag("x", "default", 8, "bob", 8, "more"), "bob", is_new=False)
    await organisation.delete_tag("default", "x", "bob", 9)
    await sessions.add_code("default", b"c" * 32, "operator", 9, 10_000)
    assert await sessions.redeem("default", b"c" * 32, b"s" * 32, Session("s1", "", "link", 9, 9, 10_000)) == ""
    await sessions.end("default", b"s" * 32, 9)
    await organisation.delete_team("default", "red", "bob", 9)
    await organisation.delete_user("default", "charlie", "bob", 9)
    entries = await whole_log(database)
    assert_unbroken(entries)
    code, session = (b"c" * 8).hex(), (b"s" * 8).hex()
    assert [(one.actor, one.action, one.id) for one in entries] == [
        ("sekisho", "org.create", "default"),
        ("operator", "team.create", "red"),
        ("bob", "team.update", "red"),
        ("bob", "user.create", "alice"),
        ("bob", "member.create", "red/alice"),
        ("bob", "member.update", "red/alice"),
        ("bob", "role.grant", "alice"),
        ("bob", "user.update", "alice"),
        ("bob", "user.create", "charlie"),
        ("operator", "key.create", KEY.id),
        ("bob", "key.update", KEY.id),
        ("bob", "budget.create", "b1"),
        ("bob", "limit.create", "l1"),
        ("bob", "budget.update", "b1"),
        ("bob", "budget.credit", "b1"),
        ("bob", "template.create", "t"),
        ("bob", "template.update", "t"),
        ("bob", "template.delete", "t"),
        ("bob", "tag.create", "x"),
        ("bob", "tag.update", "x"),
        ("bob", "tag.delete", "x"),
        ("operator", "console.invite", code),
        (f"console code {code}", "console.enter", session),
        (f"console session {session}", "console.leave", session),
        ("bob", "team.delete", "red"),
        ("bob", "key.delete", KEY.id),
        ("bob", "member.delete", "red/alice"),
        ("bob", "role.revoke", "alice"),
        ("bob", "budget.delete", "b1"),
        ("bob", "limit.delete", "l1"),
        ("bob", "user.delete", "charlie"),
    ]
    change = next(one for one in entries if one.action == "key.update")
    assert (json.loads(change.before or "")["blocked"], json.loads(change.after or "")["blocked"]) == (False, True)


async def test_a_change_that_fails_is_not_in_the_log(database):
    organisation, keys = SqlOrganisation(database), SqlKeys(database)
    await organisation.add_team(Team("red", "default", 1, "operator", 1), ())
    before = await whole_log(database)
    for failing in (
        organisation.add_team(Team("red", "default", 1, "operator", 1), ()),
        organisation.put_members(
            (Member("default", "red", "bob", "lead", 1, "b"), Member("default", "none", "bob", "lead", 1, "b"))
        ),
        organisation.delete_member("default", "red", "nobody", "bob", 1),
        keys.add(StoredKey("k" * 26, "default", b"d", "wxyz", 1, "b", 1, user_id="charlie", team_id="none")),
        keys.delete("default", "unknown", "bob", 1),
    ):
        with pytest.raises((BadRequest, NotFound)):
            await failing
    assert await whole_log(database) == before


async def test_no_secret_is_in_the_log(database):
    metadata = {
        "password": "hunter2-canary",
        "deep": [{"api_key": "canary-in-a-list"}, f"see {CANARY}"],
        "token": ["canary-token"],
        CANARY: "as a name",
        "cost centre": "4711",
    }
    organisation, keys = SqlOrganisation(database), SqlKeys(database)
    await organisation.add_team(Team("red", "default", 1, CANARY, 1, metadata=metadata), ())
    await keys.add(StoredKey("k" * 26, "default", b"d" * 32, "wxyz", 1, "operator", 1, CANARY, metadata=metadata))
    await keys.change("default", "k" * 26, KeyChange(metadata=metadata | {"x": "AKIAIOSFODNN7EXAMPLE"}), "bob", 2)
    await organisation.delete_team("default", "red", "bob", 3)
    text = "\n".join(f"{one.actor} {one.id} {one.before} {one.after}" for one in await whole_log(database))
    assert [word for word in ("canary", "AKIA", "hunter2", "d" * 8, "6464") if word in text] == []
    assert "4711" in text and "wxyz" in text


async def test_concurrent_writers_make_one_chain(database):
    others = [database, Database(database.url)]
    await asyncio.gather(*(note(others[number % 2], number) for number in range(40)))
    await others[1].close()
    entries = await whole_log(database)
    assert_unbroken(entries)
    assert sorted(one.id for one in entries[1:]) == sorted(f"k{number}" for number in range(40))


async def test_the_database_refuses_to_change_or_delete_an_entry(database):
    before = await whole_log(database)
    statements: list[sa.Executable] = [audit_entry.update().values(actor="nobody"), audit_entry.delete()]
    if database.is_sqlite:
        statements.append(sa.text("INSERT OR REPLACE INTO audit_entry SELECT * FROM audit_entry"))
    else:
        statements.append(sa.text("TRUNCATE audit_entry"))
    for statement in statements:
        with pytest.raises(Exception, match=r"cannot be written|append-only") as caught:
            async with database.write() as connection:
                await connection.execute(statement)
        assert "append-only" in f"{caught.value} {caught.value.__cause__}"
    assert isinstance(caught.value, (StoreUnavailable, sa.exc.IntegrityError))
    assert await whole_log(database) == before


async def test_entries_are_found_by_who_what_and_when(database):
    await note(database, 1, actor="bob")
    await note(database, 2, action="key.delete")
    await note(database, 3, kind="team", id="red")
    log = SqlAudit(database)

    async def found(limit: int = 9, before: int | None = None, **where) -> list[int]:
        entries = await log.list_entries("default", AuditFilter(**where), limit=limit, before=before)
        return [entry.sequence for entry in entries]

    assert await found() == [4, 3, 2, 1]
    assert await found(limit=2) == [4, 3]
    assert await found(before=3) == [2, 1]
    assert await found(actor="bob") == [2]
    assert await found(action="key.delete") == [3]
    assert await found(kind="team", id="red") == [4]
    assert await found(since=1, until=3) == [3, 2]
    assert await log.list_entries("another", AuditFilter(), limit=9) == []
    head = await log.head("default")
    assert head is not None and (head.sequence, head.hash) == (4, (await whole_log(database))[-1].hash)


async def test_texts_that_no_engine_stores_alike_keep_the_chain_whole(database):
    await note(
        database, 1, actor="nul \0 and \ud800", id="x" * 500, after={"a\0\ud800": "b\0\ud800", "c": float("nan")}
    )
    entries = await whole_log(database)
    assert_unbroken(entries)
    assert json.loads(entries[-1].after or "") == {"a\ufffd?": "b\ufffd?", "c": "nan"}


async def test_every_refused_call_is_in_the_log_once(database, names):
    ledger = SqlLedger(database, names)
    caller = Caller("default", "k1", "alice", "red")
    refused = [
        Refused(bytes([number]) * 16, 5, 7, caller, "openai_chat", "claude", "admit", "budget_exceeded", "No.", ())
        for number in (1, 2)
    ]
    guesses = Unrecognised("default", "192.0.2.7", 5, 9, 1234)
    segment = Segment("p", 1)
    await ledger.apply(Batch(segment, 10, (refused[0], guesses, refused[1])))
    await ledger.apply(Batch(segment, 20, (refused[1], refused[0])))  # told again
    entries = await whole_log(database)
    assert_unbroken(entries)
    assert [(one.actor, one.action, one.kind, one.id, one.at) for one in entries[1:]] == [
        ("unknown key", "call.refuse", "address", "192.0.2.7", 5),
        ("key:k1", "call.refuse", "call", id_text(bytes([1]) * 16), 7),
        ("key:k1", "call.refuse", "call", id_text(bytes([2]) * 16), 7),
    ]
    assert json.loads(entries[1].after or "") == {
        "calls": 1234,
        "until": 9,
        "stage": "authenticate",
        "code": "invalid_api_key",
    }
    assert json.loads(entries[2].after or "") == {
        "key_id": "k1",
        "user_id": "alice",
        "team_id": "red",
        "door": "openai_chat",
        "model": "claude",
        "stage": "admit",
        "code": "budget_exceeded",
        "reason": "No.",
    }


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE audit_entry SET actor = 'eve' WHERE sequence = 4", Finding("altered", 4)),
        ("UPDATE audit_entry SET at = at + 1 WHERE sequence = 9", Finding("altered", 9)),
        ("UPDATE audit_entry SET before = NULL WHERE sequence = 2", Finding("altered", 2)),
        ("DELETE FROM audit_entry WHERE sequence IN (3, 4)", Finding("missing", 3, 4)),
        ("DELETE FROM audit_entry WHERE sequence > 7", Finding("cut_off", 8, 9)),
        ("DELETE FROM audit_entry", Finding("cut_off", 1, 9)),
        ("UPDATE audit_entry SET sequence = 11 - sequence WHERE sequence IN (5, 6)", Finding("out_of_order", 5)),
        ("UPDATE audit_entry SET sequence = sequence + 1 WHERE sequence > 6", Finding("missing", 7, 7)),
        (
            "INSERT INTO audit_entry SELECT org_id, 10, at, actor, action, kind, id, before, after, previous, hash "
            "FROM audit_entry WHERE sequence = 9",
            Finding("out_of_order", 10),
        ),
    ],
)
async def test_what_is_done_to_a_row_by_sql_is_named(database, statement, finding):
    for number in range(8):
        await note(database, number, before={"n": number})
    async with database.write() as connection:  # whoever owns the database can do this
        if database.is_sqlite:
            for trigger in ("update", "delete", "replace"):
                await connection.execute(sa.text(f"DROP TRIGGER audit_entry_no_{trigger}"))
        else:
            await connection.execute(sa.text("DROP TRIGGER audit_entry_no_change ON audit_entry"))
            await connection.execute(sa.text("ALTER TABLE audit_entry DROP CONSTRAINT audit_entry_pk"))
        if "sequence = sequence + 1" in statement and database.is_sqlite:  # it checks the key row by row
            await connection.execute(sa.text("UPDATE audit_entry SET sequence = -sequence - 1 WHERE sequence > 6"))
            statement = "UPDATE audit_entry SET sequence = -sequence WHERE sequence < 0"
        if "11 - sequence" in statement and database.is_sqlite:
            await connection.execute(sa.text("UPDATE audit_entry SET sequence = -sequence WHERE sequence IN (5, 6)"))
            statement = "UPDATE audit_entry SET sequence = 11 + sequence WHERE sequence < 0"
        await connection.execute(sa.text(statement))
    proof = Proof()
    proof.add(await whole_log(database))
    assert proof.end(await SqlAudit(database).head("default")) == finding


async def test_a_log_is_proven_by_its_address_alone(database, tmp_path, monkeypatch):
    """`sekisho audit` on either engine, with the address as a reference to a secret."""
    for number in range(3):
        await note(database, number)
    monkeypatch.setenv("THE_DATABASE", database.url.replace("+asyncpg", ""))
    monkeypatch.setenv("SEKISHO_LANG", "en")
    if database.is_sqlite:
        arguments = ["--home", str(tmp_path)]
    else:
        arguments = ["--home", str(tmp_path / "none"), "--database-url", "env:THE_DATABASE"]

    async def command(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, [*words, *arguments])

    assert "The log is whole: 4 entries." in (await command("verify")).stdout
    assert (await command("list", "--id", "k2")).stdout.split()[0] == "4"
    assert len((await command("export")).stdout.splitlines()) == 5
    wrong = await asyncio.to_thread(CliRunner().invoke, app, ["verify", "--database-url", "env:NOT_SET"])
    assert (wrong.exit_code, "NOT_SET" in wrong.stderr) == (2, True)


async def test_drains_administrators_and_browsers_append_without_waiting_in_a_circle(database):
    """Each kind of writer takes its locks in an order of its own; none may stop another, and the chain stays one."""
    others = [database, Database(database.url)]

    async def administrate(organisation: SqlOrganisation, who: str) -> None:
        for _ in range(4):
            await organisation.add_user(User(who, "default", 1, "operator", 1))
            await organisation.delete_user("default", who, "operator", 2)

    async def browse(sessions: SqlSessions, who: str) -> None:
        for number in range(4):
            code, session = f"{who}{number}".encode().ljust(32), f"{number}{who}".encode().ljust(32)
            await sessions.add_code("default", code, "operator", 1, 10**9, who)
            await sessions.redeem("default", code, session, Session(f"{who}{number}", "", "link", 2, 2, 10**9))
            await sessions.end("default", session, 3)

    async def drain(ledger: SqlLedger, process: str) -> None:
        caller = Caller("default", "k1", "alice", "red")
        why = ("claude", "admit", "budget_exceeded", "No.", ())
        for number in range(1, 5):
            calls = (Refused(f"{process}{number}".encode().ljust(16), 5, 7, caller, "openai_chat", *why),)
            await ledger.apply(Batch(Segment(process, 1), number, calls))

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(administrate(SqlOrganisation(one), f"user{place}") for place, one in enumerate(others)),
            *(browse(SqlSessions(one), f"user{place}") for place, one in enumerate(others)),
            *(drain(SqlLedger(one, Names(one)), f"p{place}") for place, one in enumerate(others)),
        )
    await others[1].close()
    entries = await whole_log(database)
    assert_unbroken(entries)
    done = Counter(entry.action for entry in entries)
    assert (done["user.create"], done["user.delete"], done["console.invite"], done["call.refuse"]) == (8, 8, 8, 8)
