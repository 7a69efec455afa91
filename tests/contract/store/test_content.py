"""What is kept of calls: given back to the byte, however calls build on each other, and gone once it is deleted."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.errors import StoreUnavailable
from sekisho.record.content import ContentFilter
from sekisho.record.conversation import read_answer, read_request
from sekisho.record.task_turns import read_task
from sekisho.store.sql.tables.content import content, content_block, content_pack, content_text
from tests.contract.store.recordings import Desk

SAMPLES = Path(__file__).parents[2] / "samples"
DOORS = {
    "/v1/messages": "anthropic_messages",
    "/v1/chat/completions": "openai_chat",
    "/v1/responses": "openai_responses",
}


def recorded_tasks() -> dict[str, tuple[Any, list[dict]]]:
    """Every recorded agent's requests in their order, with their door."""
    found: dict[str, tuple[Any, list[dict]]] = {}
    for path in sorted(SAMPLES.glob("*.json")):
        sample = json.loads(path.read_text(encoding="utf-8"))
        for request in sample.get("requests", [sample]):
            route = request["path"].partition("?")[0]
            door = next((door for end, door in DOORS.items() if route.endswith(end.removeprefix("/v1"))), "")
            door = door or ("bedrock_converse" if "converse" in route else "bedrock_invoke")
            found.setdefault(f"{path.stem} {door}", (door, []))[1].append(request["body"])
    return found


@pytest.fixture
def desk(database, tmp_path) -> Desk:
    return Desk(tmp_path, database)


async def counts(desk: Desk) -> dict[str, int]:
    async with desk.database.read() as connection:
        return {
            table.name: (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
            for table in (content, content_block, content_pack, content_text)
        }


NOTHING = {"content": 0, "content_block": 0, "content_pack": 0, "content_text": 0}


@pytest.mark.parametrize("layout", [{"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}])
async def test_what_agents_sent_is_given_back_to_the_byte(desk, layout):
    kept = {}
    for door, bodies in recorded_tasks().values():
        before = None
        for number, one in enumerate(bodies):
            body = json.dumps(one, **layout).encode()
            before = desk.call(body, b"data: {}\n\n" * number, b"data: [DONE]\n\n", door=door, after=before)
            kept[before] = (body, b"data: {}\n\n" * number + b"data: [DONE]\n\n")
    await desk.keeper.take_once()
    for call_id, (body, answer) in kept.items():
        found = await desk.keeper.store.read(call_id)
        assert (found.request, found.answer) == (body, answer)


async def test_what_is_said_meanwhile_is_taken_the_next_time(desk, monkeypatch):
    take, ids = desk.keeper.store.take, [desk.call(b'{"n":0}', b"answer")]

    async def take_while_calls_come(segment, frames):
        await take(segment, frames)
        if len(ids) < 3:
            ids.append(desk.call(b'{"n":%d}' % len(ids), b"answer"))

    monkeypatch.setattr(desk.keeper.store, "take", take_while_calls_come)
    assert [await desk.keeper.take_once() for _ in range(4)] == [2, 2, 2, 0]
    assert [(await desk.keeper.store.read(one)).request for one in ids] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']


TEXTS = st.text(max_size=80)
MESSAGES = st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "assistant"]), TEXTS)
HISTORY = {
    "openai_chat": "messages",
    "openai_responses": "input",
    "anthropic_messages": "messages",
    "bedrock_converse": "messages",
    "bedrock_invoke": "messages",
}


@st.composite
def conversations(draw) -> list[tuple[str, int | None, bytes]]:
    """Bodies, each with its door and the number of the one it is an edit of: messages added, changed, taken away."""
    door = draw(st.sampled_from(sorted(HISTORY)))
    made: list[tuple[str, int | None, bytes]] = []
    bodies: list[dict] = []
    for number in range(draw(st.integers(2, 7))):
        before = draw(st.integers(0, number - 1)) if number else None
        body = json.loads(json.dumps(bodies[before])) if before is not None else {HISTORY[door]: []}
        history = body[HISTORY[door]]
        for _ in range(draw(st.integers(0, 2))):
            del history[draw(st.integers(0, len(history))) :]
        history += draw(st.lists(MESSAGES, max_size=3))
        if draw(st.booleans()):
            body["tools"] = draw(st.lists(TEXTS, max_size=2))
        body["system"] = draw(st.sampled_from([body.get("system", "s" * 90), "x", 7, '"]}],']))
        bodies.append(body)
        made.append((door, before, json.dumps(body, ensure_ascii=draw(st.booleans())).encode()))
    return made


@given(conversations(), st.lists(st.integers(0, 6), unique=True), st.integers(1, 7))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
async def test_deleting_some_calls_leaves_the_others_whole(desk, made, deleted, taken_every):
    ids: list[bytes] = []
    for number, (door, before, body) in enumerate(made):
        ids.append(
            desk.call(body, b"answer %d " % number * 9, door=door, after=None if before is None else ids[before])
        )
        if number % taken_every == 0:
            await desk.keeper.take_once()
    await desk.keeper.take_once()
    gone = {ids[number] for number in deleted if number < len(ids)}
    for call_id in sorted(gone):
        assert await desk.keeper.forget(ContentFilter(call_id=call_id)) == 1
    for number, (call_id, (_, _, body)) in enumerate(zip(ids, made, strict=True)):
        found = await desk.keeper.store.read(call_id)
        if call_id in gone:
            assert found is None
        else:
            assert (found.request, found.answer) == (body, b"answer %d " % number * 9)
    await desk.keeper.forget(ContentFilter(user_id="alice"))
    assert (await counts(desk), desk.files()) == (NOTHING, [])


async def test_a_deleted_call_leaves_no_byte_that_only_it_had(desk):
    first = desk.call(b'{"messages":["%s","%s"]}' % (b"shared" * 20, b"only-first" * 20), b"its answer" * 20)
    desk.call(b'{"messages":["%s","%s"]}' % (b"shared" * 20, b"second" * 20), after=first)
    await desk.keeper.forget(ContentFilter(call_id=first))
    (pack,) = desk.files()
    vault = (await desk.rows.vaults("default"))[0]
    kept = desk.keeper.store._open_pack(vault.id, pack.name)
    assert b"shared" in kept
    assert b"only-first" not in kept
    assert b"its answer" not in kept


async def test_a_call_that_goes_on_after_a_deletion_is_whole(desk):
    first = desk.call(b'{"messages":["%s"]}' % (b"one" * 50))
    await desk.keeper.forget(ContentFilter(call_id=first))
    body = b'{"messages":["%s","two"]}' % (b"one" * 50)
    second = desk.call(body, after=first)
    await desk.keeper.take_once()
    assert (await desk.keeper.store.read(second)).request == body


async def test_teams_share_no_block_and_a_team_is_deleted_with_its_key(desk):
    body = b'{"messages":["%s"]}' % (b"the same text " * 20)
    red, blue = desk.call(body, b"answer" * 20), desk.call(body, b"answer" * 20, team="blue")
    await desk.keeper.take_once()
    assert (await counts(desk))["content_block"] == 4
    assert await desk.keeper.forget_team("red") == 1
    assert await desk.keeper.store.read(red) is None
    assert (await desk.keeper.store.read(blue)).request == body
    assert [vault.team_id for vault in await desk.rows.vaults("default")] == ["blue"]
    assert len(desk.files()) == 1


async def test_old_content_goes_by_the_days_of_its_team(desk):
    old = desk.call(b'{"messages":["old"]}'), desk.call(b'{"messages":["old"]}', team="blue")
    await desk.keeper.take_once()
    desk.clock.advance(10 * 86_400)
    new = desk.call(b'{"messages":["new"]}')
    await desk.keeper.take_once()
    desk.keeper.days = {"blue": 7, "red": 0}
    await desk.keeper.sweep()
    found = [await desk.keeper.store.read(call_id) is not None for call_id in (*old, new)]
    assert found == [True, False, True]


async def test_nothing_readable_lies_on_the_disk_once_it_is_taken(desk):
    desk.call(b'{"messages":["%s"]}' % (b"a secret plan " * 9), b"a secret answer " * 9)
    desk.spool.close()
    await desk.keeper.take_once()
    assert b"secret" not in desk.raw_bytes()
    assert desk.keeper.health().spool_bytes == 0


async def test_a_store_whose_key_is_gone_says_so_and_makes_no_other(desk):
    desk.call(b'{"messages":[]}')
    await desk.keeper.take_once()
    (desk.home / "content-key").unlink()
    desk.spool.close()
    again = Desk(desk.home, desk.database)
    again.call(b'{"messages":[]}', team="blue")
    with pytest.raises(StoreUnavailable, match="restore"):
        await again.keeper.take_once()
    assert not (desk.home / "content-key").exists()


async def test_a_task_reads_as_one_conversation_in_which_nothing_stands_twice(desk):
    """Its oracle: the last request, which holds all that was said before it, and the last answer."""
    for name, (door, bodies) in recorded_tasks().items():
        desk.task_id = name.encode()[:16].ljust(16)
        before = None
        for body in bodies:
            before = desk.call(json.dumps(body).encode(), b'{"choices":[]}', door=door, after=before)
        await desk.keeper.take_once()
        told = await read_task(desk.keeper.store, desk.task_id, after=b"", limit=100)
        assert [one.row.call_id for one in told][-1] == before
        pages = []
        for number, one in enumerate(told):
            cursor = told[number - 1].row.call_id if number else b""
            pages += await read_task(desk.keeper.store, desk.task_id, after=cursor, limit=1)
            assert pages[-1] == one
        if name.startswith(("cline ", "codex", "continue", "anthropic-cline")):
            said = tuple(turn for one in told for turn in one.turns)
            assert said == read_request(door, json.dumps(bodies[-1]).encode())


async def test_masked_content_is_masked_before_it_is_written_and_reads_the_same_all_along(desk):
    secrets = (b"AKIAABCDEFGHIJKLMNOP", b"sato@mail.example.com", "０９０－１２３４－５６７８".encode())
    history: list[dict] = []
    before = None
    for number in range(3):
        history.append({"role": "user", "content": f"{number}: {secrets[0].decode()} {secrets[2].decode()}"})
        body = json.dumps({"model": "m", "user": secrets[1].decode(), "messages": history}, ensure_ascii=number == 1)
        word = secrets[0].decode()
        delta = 'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
        answer = [(delta % part).encode() for part in (word[:7], word[7:], " ok")]  # cut apart, as streams do
        before = desk.call(body.encode(), *answer, after=before, level="masked", stream=True)
        desk.masked.finish()
        history.append({"role": "assistant", "content": "ok"})
        for part in ("spool", "content"):
            assert not [one for one in secrets if one in b"".join(files_in(desk.home / part))]
    await desk.keeper.take_once()
    found = await desk.keeper.store.read(before)
    assert (found.level, found.request_state, found.answer_state) == ("masked", "whole", "whole")
    shown = json.loads(found.request)
    assert [one["role"] for one in shown["messages"]] == ["user", "assistant"] * 2 + ["user"]
    assert len({one["content"].split(" ", 1)[1] for one in shown["messages"][::2]}) == 1  # the same placeholders
    (turn,) = read_answer("openai_chat", found.answer, stream=True, form=found.answer_form)
    assert turn.parts[0].text == shown["messages"][0]["content"].split(" ")[1] + " ok"
    assert not [one for one in secrets if one.decode() in found.request.decode() + found.answer.decode()]


async def test_what_is_to_be_masked_and_finds_no_room_is_lost_not_written(desk):
    desk.masked._most_bytes = 100
    call_id = desk.call(b'{"messages":["%s"]}' % (b"x" * 200), b"answer", level="masked")
    desk.call(b'{"messages":[]}')
    desk.masked.finish()
    await desk.keeper.take_once()
    found = await desk.keeper.store.read(call_id)
    assert (found.request, found.answer, found.request_state) == (None, None, "lost")


def files_in(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
