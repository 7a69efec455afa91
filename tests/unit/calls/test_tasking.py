"""Joining calls to tasks: whose calls share one, and what is heard of their answers."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sekisho.calls.tasking import Heard, owner_of
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


@given(st.text(max_size=150), st.sampled_from(["text", "content", "delta"]), st.booleans())
def test_the_beginning_of_an_answer_is_read_as_json_says_it(text: str, name: str, is_ascii: bool) -> None:
    whole = json.dumps({"id": "1", name: text, "n": 1}, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    heard = Heard()
    heard.hear(whole[: whole.rindex(b'", "n"')])  # its end is not there yet
    assert heard.text == ""
    heard.hear(whole)
    assert heard.text == text
