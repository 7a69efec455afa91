"""What is kept of a turn is the same, whether it was read by what is known of the turns before or in full."""

import random
from itertools import pairwise

import pytest

from sekisho.conversation.chain import Chain
from sekisho.conversation.kept import Conversations, Owner
from sekisho.dialects.body import parse_fields
from sekisho.record.task_turns import read_task
from sekisho.values import Door
from tests.contract.store.recordings import Desk
from tests.thorough import seeds
from tests.unit.conversation.conversations import DOORS, EDITS, FORMS, conversation, marked, written

TURNS = 8


def bodies(chance: random.Random, door: Door) -> list[bytes]:
    """Turns of a conversation that is edited at random between them."""
    body, form, made = conversation(chance, door, chance.randint(4, 12)), chance.choice(FORMS), []
    for _ in range(TURNS):
        sent = marked(chance, door, body) if chance.random() < 0.5 else body
        made.append(written(sent, form, ascii_only=chance.random() < 0.2))
        for edit in chance.sample(EDITS, chance.randint(1, 2)):
            edit(chance, door, body)
    return made


@pytest.mark.parametrize("door", DOORS)
@seeds(1)
async def test_every_turn_is_kept_as_if_it_were_read_in_full(database, tmp_path, door, seed):
    chance = random.Random(f"{door} {seed}")
    desk, conversations, owner = Desk(tmp_path, database), Conversations(worth_bytes=100), Owner("red", "k", door)
    tasks: dict[str, bytes] = {"red": b"r" * 16, "blue": b"b" * 16}
    ids: dict[str, list[bytes]] = {"red": [], "blue": []}
    sent = bodies(chance, door)
    for number, body in enumerate(sent):
        for team, chain in (("red", conversations.read(owner, body)), ("blue", Chain(door, body, parse_fields(body)))):
            desk.task_id = tasks[team]
            call_id, recording = desk.ask(body, door=door, chain=chain, team=team, stream=False)
            assert recording is not None
            recording.add(b"answer %d" % number)
            recording.end()
            ids[team].append(call_id)
            if team == "red":
                conversations.keep(owner, call_id, chain)
        if chance.random() < 0.4:
            await desk.keeper.take_once()
    await desk.keeper.take_once()
    assert conversations.hits or seed  # edits may leave no turn to go on from
    store = desk.keeper.store
    for call_id, body in [*zip(ids["red"], sent, strict=True), *zip(ids["blue"], sent, strict=True)]:
        found = await store.read(call_id)
        assert found is not None and (found.request, found.request_state) == (body, "whole")
    red, blue = [await read_task(store, task_id, after=b"", limit=100) for task_id in tasks.values()]
    assert [(one.turns, one.answer) for one in red] == [(one.turns, one.answer) for one in blue]
    for after, following in pairwise(ids["red"]):  # a page goes on as the whole does
        (page,) = await read_task(store, tasks["red"], after=after, limit=1)
        assert page.row.call_id == following
