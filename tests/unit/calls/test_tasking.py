"""Whose calls share a task: nothing that a client calls its conversation leads into somebody else's."""

from sekisho.calls.tasking import owner_of
from sekisho.conversation.chain import Chain
from sekisho.conversation.claims import Claims
from sekisho.conversation.tasks import Sight, Tasks
from sekisho.dialects.body import parse_fields
from sekisho.values import VirtualKey

BODY = b'{"messages":[{"role":"user","content":"go on"}]}'


def task_of(key: VirtualKey, session: str) -> bytes:
    chain = Chain("anthropic_messages", BODY, parse_fields(BODY))
    return Tasks().assign(Sight(owner_of(key), b"ua", "", Claims(session), chain, b"c", 0)).id


def test_the_name_of_a_conversation_is_never_read_as_a_part_of_its_owner() -> None:
    nobodys = task_of(VirtualKey("k1", "org", b""), "s")
    assert task_of(VirtualKey("k2", "org", b"", user_id="key"), "k1\0s") != nobodys
    assert task_of(VirtualKey("k1", "org", b"", user_id="alice"), "s") != nobodys
    assert task_of(VirtualKey("k1", "org", b""), "s") == nobodys
