"""Which task a call belongs to: on the requests recorded from the agents, and on made conversations of all of them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bench.conversations import CODEX_MAIN_AGENT, KINDS, Kind, Made, Step, a_day
from bench.tasks import score, sight_of

from sekisho.calls.agents import identify, identify_by_body
from sekisho.conversation.chain import Chain
from sekisho.conversation.claims import Claims, read_claims
from sekisho.conversation.tasks import Repetition, Sight, Task, Tasks
from sekisho.dialects.body import parse_fields
from sekisho.values import Door

SAMPLES = Path(__file__).parents[2] / "samples"
DOORS: dict[str, Door] = {
    "/chat/": "openai_chat",
    "/responses": "openai_responses",
    "/messages": "anthropic_messages",
    "/converse": "bedrock_converse",
    "/invoke": "bedrock_invoke",
}
SECOND = 1_000_000
# What the scores do not fall below, on the days that are tried here: precision and recall. Beside each other: one
# process, two that know nothing of each other and get the calls at random, one that is started anew.
NAMED = ((1.0, 1.0), (1.0, 0.9), (1.0, 0.95))
UNNAMED = ((0.95, 0.95), (0.75, 0.7), (0.9, 0.85))
FLOORS = {"cline-legacy": NAMED, "claude-code": NAMED, "claude-code-ids-in-body": NAMED, "codex": NAMED}
FLOORS |= {"opencode": NAMED, "kilo": NAMED, "aider": ((0.9, 0.9), (0.5, 0.3), (0.9, 0.8))}


def recorded(name: str, number: int = 0) -> Sight:
    content = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    request = content.get("requests", [content])[number]
    headers = {key.lower().encode(): value.encode() for key, value in (request.get("headers") or {}).items()}
    body = json.dumps(request["body"]).encode()
    fields = parse_fields(body)
    agent = identify_by_body(identify(headers), body, fields)
    door = next(door for part, door in DOORS.items() if part in request["path"])
    claims = read_claims(agent.session, headers, fields)
    most = request["body"].get("max_tokens") or 0
    return Sight("alice", headers.get(b"user-agent", b""), agent.name, claims, Chain(door, body, fields), b"1", 0, most)


@pytest.mark.parametrize(
    ("name", "number", "turn", "mode"),
    [
        ("cline", 0, "agent", "act"),
        ("cline-legacy", 0, "agent", "act"),
        ("cline-legacy", 1, "agent", "act"),
        ("anthropic-claude-code", 0, "agent", "act"),
        ("anthropic-claude-code-title", 0, "title", ""),
        ("anthropic-claude-code-bedrock-probe", 0, "probe", ""),
        ("codex", 0, "agent", "act"),
        ("opencode", 0, "title", ""),
        ("opencode", 1, "agent", "plan"),
        ("kilo", 0, "agent", "act"),
        ("continue", 0, "agent", "act"),
        ("aider", 0, "human", "act"),
        ("converse-cline", 0, "agent", "act"),
        ("sdk-openai", 0, "human", ""),
    ],
)
def test_turn_and_mode_of_what_was_recorded(name: str, number: int, turn: str, mode: str) -> None:
    task = Tasks().assign(recorded(name, number))
    assert (task.turn, task.mode) == (turn, mode)


@pytest.mark.parametrize(
    ("system", "said", "mode"),
    [
        ("You are Cline, an AI coding agent.\n# Plan Mode\nYou are in Plan mode.", "go", "plan"),
        (
            "You are Cline, an AI coding agent.",
            "<mode_notice>switched from plan mode to act mode</mode_notice>go",
            "act",
        ),
        ("You are Claude Code", "go\n<system-reminder>\nPlan mode is active.\n</system-reminder>", "plan"),
        ("Act as an expert code analyst.", "go", "plan"),
        ("You are a poet.", "go", ""),
    ],
)
def test_mode_by_what_agents_write(system: str, said: str, mode: str) -> None:
    task = Talk().ask(chat(("system", system), ("user", said)))
    assert (task.turn, task.mode) == ("human", mode)


def test_repository_and_branch_are_named_without_where_they_lie() -> None:
    system = "You are Claude Code\nWorking directory: /home/x/portal\nCurrent branch: fix/list\n"
    task = Talk().ask(chat(("system", system), ("user", "go")))
    assert (task.repository, task.branch) == ("portal", "fix/list")


@pytest.mark.parametrize("setting", range(3), ids=["one", "two", "restarted"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.agent)
def test_scores_do_not_fall(kind: Kind, setting: int) -> None:
    one = score(kind, ("one process", "two processes", "restarted")[setting], days=1)
    precision, recall = FLOORS.get(kind.agent, UNNAMED)[setting]
    assert one.precision >= precision, f"precision {one.precision:.3f}"
    assert one.recall >= recall, f"recall {one.recall:.3f}"
    if setting == 0:
        assert one.turns / one.calls >= 0.99
        assert one.modes / one.calls >= 0.99


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.agent)
def test_nothing_is_joined_across_owners(kind: Kind) -> None:
    """The same requests, ids and all, from another team at the same time."""
    tasks, mine, theirs = Tasks(), set[bytes](), set[bytes]()
    for number, made in enumerate(a_day(kind, 3, tasks=4)):
        sight = sight_of(made, number.to_bytes(16, "big"))
        for owner, found in (("org/red/alice", mine), ("org/blue/charlie", theirs)):
            task = tasks.assign(msgspec.structs.replace(sight, owner=owner, call_id=owner.encode() + sight.call_id))
            found.update((task.id, task.was))
    assert not (mine & theirs) - {b""}


def chat(*steps: tuple[str, str], **fields: Any) -> bytes:
    messages = [{"role": role, "content": text} for role, text in steps]
    return json.dumps({"model": "m", "messages": messages, **fields}).encode()


class Talk:
    """Calls of one owner, one second apart, each answered before the next unless said otherwise."""

    def __init__(self) -> None:
        self.tasks = Tasks()
        self.now_us = 0
        self.calls = 0

    def ask(self, body: bytes, *, owner: str = "alice", claims: Claims = Claims(), error: str = "", ends=True) -> Task:  # noqa: B008
        self.now_us += SECOND
        self.calls += 1
        call_id = str(self.calls).encode()
        chain = Chain("openai_chat", body, parse_fields(body))
        task = self.tasks.assign(Sight(owner, b"ua", "cline", claims, chain, call_id, self.now_us))
        if ends:
            self.tasks.ended(call_id, self.now_us, error=error, asked_for_tools=False)
        return task


def test_a_session_has_the_same_task_in_every_process() -> None:
    body = chat(("user", "go"))
    first, second = (Talk().ask(body, claims=Claims("s-1")) for _ in range(2))
    assert first.id == second.id
    assert Talk().ask(body, claims=Claims("s-1"), owner="bob").id != first.id


def test_a_conversation_without_ids_has_the_same_task_in_every_process_once_it_is_answered() -> None:
    talk = Talk()
    first = talk.ask(chat(("user", "fix it")))
    later = chat(("user", "fix it"), ("assistant", "done"), ("user", "thanks"))
    second, elsewhere = talk.ask(later), Talk().ask(later)
    assert second.id == elsewhere.id
    assert second.was == first.id
    assert elsewhere.was == b""


def test_the_same_first_words_after_an_answer_begin_another_task() -> None:
    talk = Talk()
    assert talk.ask(chat(("user", "fix it"))).id != talk.ask(chat(("user", "fix it"))).id


def test_the_same_request_after_a_failure_is_no_new_turn() -> None:
    talk = Talk()
    first = talk.ask(chat(("user", "fix it")), error="upstream_unavailable")
    again = talk.ask(chat(("user", "fix it")))
    assert (again.id, again.turn) == (first.id, "repeat")


def test_two_that_run_at_once_with_the_same_words_are_two_tasks() -> None:
    talk = Talk()
    assert talk.ask(chat(("user", "fix it")), ends=False).id != talk.ask(chat(("user", "fix it")), ends=False).id


def test_a_tool_call_that_fails_in_the_same_way_is_counted() -> None:
    talk, steps = Talk(), [("user", "fix it")]
    found = [talk.ask(chat(*steps)).repetition]
    for number in range(3):
        steps += [("assistant", "run make"), ("tool", f"Error: exited with code 2 after {number} s")]
        found.append(talk.ask(chat(*steps)).repetition)
    assert found == [None, None, Repetition("tool", 2), Repetition("tool", 3)]
    steps += [("assistant", "I give up"), ("user", "try the other way")]
    assert talk.ask(chat(*steps)).repetition is None
    steps += [("assistant", "run make"), ("tool", "Error: exited with code 2 after 9 s")]
    assert talk.ask(chat(*steps)).repetition is None


def test_results_that_differ_are_no_loop() -> None:
    talk, steps = Talk(), [("user", "fix it")]
    for name in ("parser", "lexer", "writer"):
        steps += [("assistant", "run make"), ("tool", f"Error: exited with code 2 in {name}")]
        assert talk.ask(chat(*steps)).repetition is None


def test_what_is_sent_again_without_a_lasting_failure_is_no_loop() -> None:
    for error in ("", "upstream_unavailable", "rate_limit_exceeded", "budget_exceeded", "invalid_request"):
        talk = Talk()
        steps = [("user", "fix it"), ("assistant", "run make"), ("tool", "ok")]
        assert {talk.ask(chat(*steps), error=error).repetition for _ in range(200)} == {None}, error


def test_an_error_that_comes_again_and_again_is_named() -> None:
    talk = Talk()
    found = [talk.ask(chat(("user", "fix it")), error="upstream_rejected").repetition for _ in range(4)]
    assert found[-1] == Repetition("error", 3, "upstream_rejected")


def test_memory_is_bounded() -> None:
    talk = Talk()
    for number in range(300):
        talk.ask(chat(("user", f"task {number}")))
    assert talk.tasks.remembered == 64


def test_claims_of_codex() -> None:
    metadata = {
        "agent_name": f"{CODEX_MAIN_AGENT}/2",
        "root_turn_id": "t-1",
        "request_kind": "turn",
        "workspaces": {"/home/x/portal": {"latest_git_commit_hash": "0", "branch": "main"}},
    }
    headers = {b"x-codex-turn-metadata": json.dumps(metadata).encode(), b"thread-id": b"th-2"}
    assert read_claims("s-2", headers, {}) == Claims(
        "s-2", agent="th-2", root_turn="t-1", kind="sub_agent", repository="portal", branch="main"
    )
    assert read_claims("s-2", {b"x-codex-turn-metadata": b"{"}, {}) == Claims("s-2")


@pytest.mark.parametrize(("key", "session"), [("my-app", ""), ("0198c1f2-8a7b-7c3d-9e4f-a1b2c3d4e5f6", "same")])
def test_a_cache_key_that_all_calls_of_an_application_share_is_no_session(key: str, session: str) -> None:
    fields = parse_fields(json.dumps({"prompt_cache_key": key}).encode())
    assert read_claims(key, {}, fields).session == (key if session else "")


def test_the_truth_of_made_conversations_holds_every_agent() -> None:
    """The oracle itself: each call of a day grows from its own task, and every kind of turn is there."""
    turns = {made.turn for kind in KINDS for made in a_day(kind, 0)}
    assert turns == {"human", "agent", "title", "side", "compaction", "sub_agent", "repeat"}
    assert isinstance(a_day(KINDS[0], 0)[0], Made)
    assert Step("human").calls == []
