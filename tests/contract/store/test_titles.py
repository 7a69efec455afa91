"""Titles of tasks, on both engines: of the first call in which a person wrote, by any id of the task."""

from sekisho.ledger.journal import Caller, Opened, TaskNote
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.record.content import TITLE, ContentRow, NewText
from sekisho.store.sql.content import SqlContent
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.names import Names

NOW = 1_763_035_200_000_000
OLD, NEW = b"o" * 16, b"n" * 16
CALLER = Caller("default", "k", "alice", "red")


def call_id(number: int) -> bytes:
    return (NOW // 1000 + number).to_bytes(6, "big") + bytes(10)


async def test_a_task_has_the_title_of_its_first_call_in_which_a_person_wrote(database):
    rows = SqlContent(database)
    vault = (await rows.add_vault("default", "red", b"wrapped", 0)).id
    notes = [TaskNote(OLD, turn="title"), TaskNote(OLD, turn="human"), TaskNote(NEW, OLD, turn="human")]
    opened = [
        Opened(call_id(number), NOW + number * 1000, CALLER, "openai_chat", "m", False, 1, 1, task=note)
        for number, note in enumerate(notes)
    ]
    await SqlLedger(database, Names(database)).apply(Batch(Segment("p", 1), 1, tuple(opened)))
    kept = [
        ContentRow(
            call_id=one.call_id, vault=vault, started_at=one.started_at, user_id="alice", key_id="k",
            task_id=note.id, level="full", door="openai_chat", stream=False,
        )
        for one, note in zip(opened, notes, strict=True)
    ]  # fmt: skip
    texts = [NewText(one.call_id, TITLE, vault, b"sealed %d" % number) for number, one in enumerate(opened)]
    await rows.keep([], kept, [], texts, None, NOW)
    for wanted in (OLD, NEW):
        found = await rows.titles({wanted, b"x" * 16})
        assert {task: (row.call_id, text.sealed) for task, (row, text) in found.items()} == {
            wanted: (call_id(1), b"sealed 1")
        }
    assert [text.part for text in await rows.texts([vault], "", before=b"", limit=9)] == []
