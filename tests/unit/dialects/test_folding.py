from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.dialects.exchange import (
    CachePoint,
    Image,
    Message,
    Part,
    RedactedThinking,
    Request,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
)
from sekisho.dialects.folding import (
    CONTINUE,
    NO_OUTPUT,
    NO_RESULT,
    cap_cache_points,
    close,
    drop_blank,
    fold,
    fold_system,
    input_object,
    pair_tools,
    renamed_tools,
    safe_name,
    system_as_user,
)
from sekisho.values import Quirks
from tests.unit.dialects.neutral import MESSAGES, QUIRKS, requests


def user(*parts: Part) -> Message:
    return Message("user", parts)


def assistant(*parts: Part) -> Message:
    return Message("assistant", parts)


@given(requests(), QUIRKS)
def test_a_folded_history_keeps_every_rule_of_the_providers(request, quirks):
    folded = fold(request, quirks)
    roles = [message.role for message in folded.messages]
    assert roles[0] == "user"
    assert all(left != right for left, right in pairwise(roles))
    assert set(roles) <= {"user", "assistant"}
    assert quirks.prefill or roles[-1] == "user"
    calls: list[str] = []
    for before, message in zip((None, *folded.messages), folded.messages, strict=False):
        assert any(not isinstance(part, CachePoint) for part in message.parts)
        asked = [part.id for part in before.parts if isinstance(part, ToolUse)] if before else []
        answered = [part.tool_use_id for part in message.parts if isinstance(part, ToolResult)]
        assert sorted(asked) == sorted(answered)
        content = [part for part in message.parts if not isinstance(part, CachePoint)]
        assert all(isinstance(part, ToolResult) for part in content[: len(answered)])
        calls += asked
        for part in message.parts:
            assert not isinstance(part, Text) or part.text.strip()
            assert not isinstance(part, Thinking) or (part.signature and quirks.thinking)
    assert len(calls) == len(set(calls))
    assert quirks.system or not folded.system


@given(requests(), QUIRKS)
def test_folding_twice_is_folding_once(request, quirks):
    folded = fold(request, quirks)
    assert fold(folded, quirks) == folded


@given(requests(), st.integers(0, 4), st.booleans())
def test_cache_points_are_few_and_never_grow_longer(request, limit, may_1h):
    capped = cap_cache_points(request, limit, may_1h=may_1h)
    ttls = [tool.cache_ttl for tool in capped.tools if tool.cache_ttl]
    for parts in (capped.system, *(message.parts for message in capped.messages)):
        ttls += [part.ttl for part in parts if isinstance(part, CachePoint)]
    assert len(ttls) <= limit
    assert ttls == sorted(ttls)  # "1h" sorts before "5m"
    assert may_1h or "1h" not in ttls


def test_the_last_cache_points_stay():
    tool = Tool("t", "", {}, cache_ttl="1h")
    point = CachePoint()
    request = Request(
        "m", (user(Text("a"), point, Text("b"), point), user(Text("c"), point)), (Text("s"), point), (tool,)
    )
    capped = cap_cache_points(request, 2, may_1h=True)
    assert capped.tools[0].cache_ttl is None
    assert capped.system == (Text("s"),)
    assert capped.messages == (user(Text("a"), Text("b"), point), user(Text("c"), point))


def test_a_cache_point_cannot_begin_a_list_or_follow_thinking_or_another():
    point = CachePoint()
    request = Request("m", (user(point, Text("a"), point, point), assistant(Thinking("t", "s"), point)))
    assert cap_cache_points(request, 4, may_1h=True).messages == (
        user(Text("a"), point),
        assistant(Thinking("t", "s")),
    )


def test_system_messages_join_the_system_text_at_the_top_and_the_user_later():
    system, messages = fold_system(
        (Text("one"),),
        (Message("system", (Text("two"),)), user(Text("hi")), Message("system", (Text("three"), CachePoint()))),
    )
    assert system == (Text("one"), Text("two"))
    assert messages == (user(Text("hi")), user(Text(system_as_user("three")), CachePoint()))


def test_an_interrupted_tool_loop_can_go_on():
    history = (
        user(Text("go")),
        assistant(ToolUse("1", "Read", "{}"), ToolUse("2", "Read", "{}")),
        user(Text("stop"), ToolResult("2", (Text("two"),)), CachePoint(), Text("now this")),
        assistant(ToolUse("3", "Read", "{}")),
    )
    assert pair_tools(history)[2:] == (
        user(
            ToolResult("2", (Text("two"),)),
            CachePoint(),
            ToolResult("1", (Text(NO_RESULT),), is_error=True),
            Text("stop"),
            Text("now this"),
        ),
        assistant(ToolUse("3", "Read", "{}")),
        user(ToolResult("3", (Text(NO_RESULT),), is_error=True)),
    )


def test_a_result_without_its_call_becomes_text_with_its_images():
    picture = Image("png", "aGk=")
    assert pair_tools((user(ToolResult("9", (Text("old"), picture))),)) == (
        user(Text("Result of the earlier tool call 9:"), Text("old"), picture),
    )


def test_call_ids_used_twice_are_renamed_together_with_their_results():
    turn = (assistant(ToolUse("call_0", "a", "{}")), user(ToolResult("call_0", (Text("r"),))))
    paired = pair_tools((*turn, *turn))
    assert [part.id for message in paired for part in message.parts if isinstance(part, ToolUse)] == [
        "call_0",
        "call_0_2",
    ]
    assert paired[3].parts == (ToolResult("call_0_2", (Text("r"),)),)


def test_the_same_call_written_twice_in_a_turn_is_one():
    paired = pair_tools((assistant(ToolUse("1", "a", "{}"), ToolUse("1", "a", "{}")), user(ToolResult("1", ()))))
    assert paired == (assistant(ToolUse("1", "a", "{}")), user(ToolResult("1", ())))


def test_blank_text_goes_and_blank_results_say_so():
    assert drop_blank((assistant(Text(" ")), user(Text("\n"), ToolResult("1", (Text(""),))), user(CachePoint()))) == (
        user(ToolResult("1", (Text(NO_OUTPUT),))),
    )


def test_a_beginning_of_the_answer_is_kept_only_for_models_that_take_it():
    messages = (user(Text("hi")), assistant(Text("The answer is ")))
    assert close(messages, prefill=True) == (user(Text("hi")), assistant(Text("The answer is")))
    assert close(messages, prefill=False) == (*messages, user(Text(CONTINUE)))
    assert close((), prefill=True) == (user(Text(CONTINUE)),)


@given(MESSAGES)
def test_a_model_without_system_text_gets_it_from_the_user(messages):
    folded = fold(Request("m", messages, system=(Text("be kind"),)), Quirks(system=False))
    assert folded.system == ()
    assert Text("be kind") in folded.messages[0].parts or any(
        isinstance(part, ToolResult) for part in folded.messages[0].parts
    )


@pytest.mark.parametrize("name", ["Read", "a-b_C9", "x" * 64])
def test_legal_names_stay(name):
    assert safe_name(name) == name


@given(st.text(min_size=1, max_size=90), st.text(min_size=1, max_size=90))
def test_other_names_become_legal_and_stay_apart(one, other):
    assert 1 <= len(safe_name(one)) <= 64
    assert safe_name(safe_name(one)) == safe_name(one)
    assert (safe_name(one) == safe_name(other)) == (one == other) or safe_name(one) == other or safe_name(other) == one


def test_renamed_tools_lead_back():
    tools = (Tool("Read", "", {}), Tool("mcp.a/b", "", {}))
    assert renamed_tools(tools) == {safe_name("mcp.a/b"): "mcp.a/b"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"a": 1}', {"a": 1}), ("", {}), ("  ", {}), ('{"a', {"arguments": '{"a'}), ("[1]", {"arguments": "[1]"})],
)
def test_tool_input_is_always_an_object(text, expected):
    assert msgspec.json.decode(input_object(text)) == expected


def test_unsigned_thinking_goes_and_all_of_it_for_models_without():
    parts = (Thinking("a", "sig"), Thinking("b"), RedactedThinking("eA=="), Text("c"))
    history = (user(Text("q")), assistant(*parts), user(Text("q")))
    request = Request("m", history)
    assert fold(request, Quirks(thinking=("enabled",))).messages[1].parts == (parts[0], parts[2], parts[3])
    assert fold(request, Quirks()).messages[1].parts == (parts[3],)
