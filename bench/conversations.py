"""Made conversations of every agent, as the agents write them, with the truth of which call belongs to which task.

Each agent's requests have the shape that was recorded from it: dialect, headers, ids or none, how a history grows, how
it is summarised, what is asked beside it (titles, commit messages, sub-agents). One person runs several tasks at a time
on one key, some begin with the same words; another one does the same in another team.
"""

import heapq
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from sekisho.values import Door

_WORDS = (
    "the parser drops a trailing comma when lists are nested fix test module config value error table index cache "
    "route handler client retry budget journal stream token prompt order first last empty wrong slow missing"
).split()
_TOOLS = ("read_file", "edit_file", "run_command", "search", "list_files")
_SECOND = 1_000_000
CODEX_MAIN_AGENT = "/root"  # on the wire; its sub-agents are below it


@dataclass
class Made:
    """One request and what is true of it. `ended_us`: when its answer ends, or its failure (`error`)."""

    at_us: int
    task: int
    owner: str
    agent: str
    door: Door
    headers: dict[bytes, bytes]
    body: dict[str, Any]
    turn: str
    mode: str
    ended_us: int
    error: str = ""
    asked_for_tools: bool = False
    tool: bytes = b""
    said: str = ""


@dataclass
class Step:
    """One message of a history. `calls`: id, name, arguments; `results`: id, text."""

    who: Literal["human", "model", "tools"]
    text: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Kind:
    """An agent: how it writes, and what it does. `names`: session headers; `mode_by`: where the mode is said."""

    agent: str
    door: Door
    user_agent: bytes
    main: str
    names: Literal["claude", "claude_body", "codex", "opencode", "litellm", "none"] = "none"
    titles: bool = False
    sub_agents: bool = False
    mode_by: Literal["system", "reminder", "none"] = "none"
    compacts: Literal["tail", "summary", "cut", "none"] = "none"
    tools: bool = True


KINDS: tuple[Kind, ...] = (
    Kind("cline", "openai_chat", b"ai-sdk/openai-compatible/3.0.37", "You are Cline, an AI coding agent.",
         sub_agents=True, mode_by="system", compacts="tail"),
    Kind("cline-bedrock", "bedrock_converse", b"ai-sdk/amazon-bedrock/5.0.62", "You are Cline, an AI coding agent.",
         sub_agents=True, mode_by="system", compacts="tail"),
    Kind("cline-anthropic", "anthropic_messages", b"ai-sdk/anthropic/3.0.37", "You are Cline, an AI coding agent.",
         mode_by="system", compacts="summary"),
    Kind("cline-legacy", "openai_chat", b"Cline/3.89.0", "You are Cline, a highly skilled software engineer",
         names="litellm", mode_by="reminder", compacts="cut"),
    Kind("claude-code", "anthropic_messages", b"claude-cli/2.1.197 (external, cli)",
         "You are Claude Code, Anthropic's official CLI for Claude.", names="claude", titles=True, sub_agents=True,
         mode_by="reminder", compacts="summary"),
    Kind("claude-code-ids-in-body", "bedrock_invoke", b"claude-cli/2.1.197 (external, sdk-cli)",
         "You are a Claude agent, built on Anthropic's Claude Agent SDK.", names="claude_body", mode_by="reminder",
         compacts="summary"),
    Kind("codex", "openai_responses", b"codex_exec/0.169.0 (Debian 12.0.0; x86_64)",
         "You are a coding agent running in the Codex CLI", names="codex", sub_agents=True, compacts="summary"),
    Kind("opencode", "openai_chat", b"opencode/1.18.33 ai-sdk/provider-utils/4.0.23", "You are OpenCode, the best",
         names="opencode", titles=True, sub_agents=True, mode_by="reminder", compacts="summary"),
    Kind("kilo", "openai_chat", b"Kilo-Code/7.7.9 ai-sdk/provider-utils/4.0.27", "You are Kilo, a highly skilled",
         names="opencode", sub_agents=True, mode_by="reminder", compacts="summary"),
    Kind("continue", "openai_chat", b"ls/JS 5.23.2", "You are an agent in the Continue CLI.", compacts="summary"),
    Kind("aider", "openai_chat", b"OpenAI/Python 2.20.0", "Act as an expert software developer.", titles=True,
         mode_by="system", compacts="tail", tools=False),
    Kind("openai-sdk", "openai_chat", b"OpenAI/Python 3.54.0", "Answer in one line.", tools=False),
    Kind("anthropic-sdk", "anthropic_messages", b"Anthropic/Python 2.12.0", "", tools=True, compacts="none"),
)  # fmt: skip


class Conversation:
    """One task of one agent: makes its requests in turn."""

    def __init__(self, kind: Kind, task: int, owner: str, rng: random.Random, start_us: int, prompt: str) -> None:
        self.kind, self.task, self.owner, self.rng = kind, task, owner, rng
        self.now_us = start_us
        self.prompt = prompt
        self.session = "".join(rng.choices("0123456789abcdef", k=32))
        self.repository = rng.choice(("billing", "portal", "batch"))
        self.mode = "plan" if kind.mode_by != "none" and rng.random() < 0.4 else "act"
        self.steps: list[Step] = []
        self.user_agent = kind.user_agent
        self.parent = ""  # of a sub-agent
        self.main = kind.main
        self.examples = kind.agent == "aider"

    def requests(self) -> Iterator[Made]:
        """All of its requests, in the order of time; between them others may come."""
        rng = self.rng
        for number in range(rng.randint(1, 4)):  # what the person writes
            self.steps.append(Step("human", self.prompt if number == 0 else _text(rng, 12)))
            if number and self.mode == "plan" and rng.random() < 0.7:
                self.mode = "act"
            if number == 0 and self.kind.titles and self.kind.agent != "aider":
                yield self.title()
            yield from self.work()
            if self.kind.agent == "aider" and rng.random() < 0.6:
                yield self.commit()
            if self.kind.compacts != "none" and len(self.steps) > 5 and rng.random() < 0.2:
                yield from self.compact()  # the person asks for it
            self.now_us += int(rng.choice((20, 90, 600, 5 * 3600)) * _SECOND)  # reads, thinks, goes home

    def work(self) -> Iterator[Made]:
        """The agent's turns for one message of the person."""
        rng = self.rng
        turn = "human"
        for left in range(rng.randint(0, 6) if self.kind.tools else 0, -1, -1):
            calls = [(_id(rng), rng.choice(_TOOLS), _text(rng, 3)) for _ in range(rng.choice((1, 1, 1, 2)))]
            answer = Step("model", rng.choice(("", _text(rng, 4))), calls) if left else Step("model", _text(rng, 9))
            yield from self.asked(turn, answer)
            self.steps.append(answer)
            if not left:
                return
            if self.kind.sub_agents and not self.parent and rng.random() < 0.12:
                yield from self.sub_agent()
            self.steps.append(Step("tools", results=[(one, _text(rng, 25)) for one, _, _ in calls]))
            turn = "agent"
            if self.kind.compacts != "none" and not self.parent and len(self.steps) > 9 and rng.random() < 0.1:
                yield from self.compact()  # the context is full

    def asked(self, turn: str, answer: Step) -> Iterator[Made]:
        """One turn; now and then it fails and the client sends it again."""
        rng = self.rng
        turn = "sub_agent" if self.parent else turn
        while rng.random() < 0.06:
            yield self.made(turn, error="upstream_unavailable")
            turn = "repeat"
            self.now_us += rng.randint(1, 8) * _SECOND
        yield self.made(turn, answer=answer)

    def made(self, turn: str, *, error: str = "", answer: Step | None = None, body: Any = None) -> Made:
        """A request of now; time goes on to the end of its answer and a little more."""
        at_us = self.now_us
        ended_us = at_us + self.rng.randint(2, 25) * _SECOND
        self.now_us = ended_us + self.rng.randint(1, 30) * (_SECOND // 10)
        calls = answer.calls if answer else []
        mode = "" if turn in ("title", "side", "compaction") and body is not None else self.said_mode()
        return Made(
            at_us, self.task, self.owner, self.kind.agent, self.kind.door, self.headers(turn, body is not None),
            body if body is not None else self.body(self.steps), turn, mode, ended_us, error, bool(calls),
            calls[0][0].encode() if calls else b"", answer.text if answer else "",
        )  # fmt: skip

    def said_mode(self) -> str:
        """The mode that is to be found: what the agent is in, "act" where it has tools and says nothing."""
        if self.kind.mode_by == "none" or self.parent:
            return "act" if self.kind.tools else ""
        return self.mode

    # What is asked beside the conversation.

    def title(self) -> Made:
        """A title for the conversation, asked without tools."""
        words = f"<session>\n{self.prompt}\n</session>" if self.kind.agent == "claude-code" else self.prompt
        steps = [Step("human", words)]
        system = "You are a title generator. You output ONLY a thread title."
        self.now_us -= 20 * _SECOND
        made = self.made("title", body=self.render(system, steps, has_tools=False))
        self.now_us = made.at_us + 20 * _SECOND + 50_000
        return made

    def commit(self) -> Made:
        """The message of a commit, by aider."""
        system = "You are an expert software engineer that generates concise, one-line Git commit messages"
        return self.made("side", body=self.render(system, [Step("human", "diff --git " + _text(self.rng, 30))]))

    def sub_agent(self) -> Iterator[Made]:
        """Another agent that this one starts and waits for."""
        child = Conversation(self.kind, self.task, self.owner, self.rng, self.now_us, _text(self.rng, 14))
        child.parent, child.mode, child.repository = self.session, "act", self.repository
        child.main = "You look for places in the code. " + _text(self.rng, 6)
        child.steps.append(Step("human", child.prompt))
        yield from child.work()
        self.now_us = child.now_us

    def compact(self) -> Iterator[Made]:
        """The history becomes a summary, or loses its middle."""
        rng, kind = self.rng, self.kind
        if kind.compacts == "cut":
            self.steps = self.steps[:2] + self.steps[-2 if self.steps[-2].who == "human" else -3 :]
            return
        ask = Step("human", "Your task is to create a detailed summary of the conversation so far.")
        if kind.agent == "aider":
            system = "*Briefly* summarize this partial conversation about programming."
            body = self.render(system, [Step("human", self.prompt)], has_tools=False)
        else:
            body = self.body([*self.steps, ask])
        words = _text(rng, 30)
        yield self.made("compaction", body=body, answer=Step("model", words))
        begin = "I spoke to you previously about a number of things." if kind.agent == "aider" else _SUMMARY
        summary = Step("human", f"{begin}\n{words}")
        is_working = self.steps[-1].who == "tools"
        if kind.compacts == "tail":
            self.steps = [summary, Step("model", "Ok."), *self.steps[-2:]]
        else:
            self.steps = [summary] if is_working else [summary, Step("model", "I go on from there.")]

    # How it is written.

    def headers(self, turn: str, is_aside: bool) -> dict[bytes, bytes]:
        """As the agent sends them."""
        headers = {b"user-agent": self.user_agent}
        session, parent = self.session.encode(), self.parent.encode()
        match self.kind.names:
            case "claude":
                headers[b"x-claude-code-session-id"] = parent or session
                if parent:
                    headers[b"x-claude-code-agent-id"] = session
            case "codex":
                metadata = {"agent_name": CODEX_MAIN_AGENT, "root_turn_id": "r" + self.session, "thread_source": "user"}
                if parent:
                    metadata = {
                        "agent_name": f"{CODEX_MAIN_AGENT}/1",
                        "root_turn_id": "r" + self.parent,
                        "thread_source": "subagent",
                    }
                metadata["request_kind"] = "compaction" if turn == "compaction" else "turn"
                workspaces = {f"/home/x/{self.repository}": {"latest_git_commit_hash": "0" * 40}}
                headers[b"session-id"] = headers[b"thread-id"] = session
                headers[b"x-codex-turn-metadata"] = json.dumps({**metadata, "workspaces": workspaces}).encode()
            case "opencode":
                headers[b"x-session-id"] = b"ses_" + session
                if parent:
                    headers[b"x-parent-session-id"] = b"ses_" + parent
        return headers

    def body(self, steps: list[Step]) -> dict[str, Any]:
        """The request with this history."""
        system = f"{self.main}\n{_PROSE}\nWorking directory: /home/x/{self.repository}\n"
        if self.kind.mode_by == "system" and self.kind.agent != "aider" and not self.parent:
            system += "# Plan Mode\nYou are in Plan mode.\n" if self.mode == "plan" else ""
        if self.kind.agent == "aider":
            role = "architect engineer" if self.mode == "plan" else "software developer"
            rules = "" if self.mode == "plan" else "Describe each change with a *SEARCH/REPLACE block*."
            return self.render(f"Act as an expert {role}.\n{_PROSE}{rules}", self.aider_steps(steps))
        if not self.main:
            system = ""
        return self.render(system, steps)

    def aider_steps(self, steps: list[Step]) -> list[Step]:
        """With what aider puts around the history: examples, repository map, files, rules."""
        examples = [Step("human", "Change get_factorial() to use math.factorial"), Step("model", _PROSE)]
        switch = [Step("human", "I switched to a new code base. Please don't consider the above files."),
                  Step("model", "Ok.")]  # fmt: skip
        files = [Step("human", "I have *added these files to the chat* so you can go ahead.\n" + _text(self.rng, 20)),
                 Step("model", "Ok, any changes I propose will be to those files.")]  # fmt: skip
        if self.mode == "plan":
            return [*examples, *switch, *steps[:-1], *files, steps[-1]]
        last = Step("human", steps[-1].text + "\n\n# *SEARCH/REPLACE block* Rules:\n\nEvery block must match.")
        return [*examples, *switch, *steps[:-1], *files, last]

    def render(self, system: str, steps: list[Step], *, has_tools: bool = True) -> dict[str, Any]:
        """A body in the agent's dialect."""
        reminder = ""
        if self.kind.mode_by == "reminder" and has_tools and not self.parent:
            reminder = _REMINDERS[self.kind.agent == "cline-legacy"][self.mode]
        tools = [{"name": name} for name in _TOOLS] if has_tools and self.kind.tools else []
        body = _RENDER[self.kind.door](system, steps, reminder, tools)
        if self.kind.names == "litellm":
            body["litellm_session_id"] = "cline-" + self.session
        if self.kind.names in ("claude", "claude_body"):
            said = {"device_id": "d", "account_uuid": "", "session_id": self.parent or self.session}
            body["metadata"] = {"user_id": json.dumps(said)}
        if self.kind.names == "codex":
            body["prompt_cache_key"] = self.session
        return body


_SUMMARY = "This session is being continued from a previous conversation that ran out of context."
_PROSE = "Use the tools, keep to the conventions of the code, and change no more than was asked for. " * 4
_REMINDERS = (
    {"plan": "<system-reminder>\nPlan mode is active. Do not edit.\n</system-reminder>", "act": ""},
    {
        "plan": "<environment_details>\n# Current Mode\nPLAN MODE\n</environment_details>",
        "act": "<environment_details>\n# Current Mode\nACT MODE\n</environment_details>",
    },
)


def _chat(system: str, steps: list[Step], reminder: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    last_human = max(place for place, step in enumerate(steps) if step.who == "human")
    for place, step in enumerate(steps):
        if step.who == "human":
            parts = [{"type": "text", "text": step.text}]
            if reminder and place == last_human:
                parts.append({"type": "text", "text": reminder})
            messages.append({"role": "user", "content": parts if reminder else step.text})
        elif step.who == "model":
            message: dict[str, Any] = {"role": "assistant", "content": step.text}
            if step.calls:
                message["tool_calls"] = [
                    {"id": one, "type": "function", "function": {"name": name, "arguments": json.dumps({"q": text})}}
                    for one, name, text in step.calls
                ]
            messages.append(message)
        else:
            messages += [{"role": "tool", "tool_call_id": one, "content": text} for one, text in step.results]
    body: dict[str, Any] = {"model": "m", "messages": messages, "stream": True}
    if tools:
        body["tools"] = [{"type": "function", "function": tool} for tool in tools]
    return body


def _anthropic(system: str, steps: list[Step], reminder: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    last_human = max(place for place, step in enumerate(steps) if step.who == "human")
    for place, step in enumerate(steps):
        if step.who == "human":
            parts: list[dict[str, Any]] = [{"type": "text", "text": step.text}]
            if reminder and place == last_human:
                parts.append({"type": "text", "text": reminder})
            messages.append({"role": "user", "content": parts})
        elif step.who == "model":
            parts = [{"type": "text", "text": step.text}] if step.text else []
            parts += [{"type": "tool_use", "id": o, "name": n, "input": {"q": t}} for o, n, t in step.calls]
            messages.append({"role": "assistant", "content": parts})
        else:
            parts = [{"type": "tool_result", "tool_use_id": o, "content": t} for o, t in step.results]
            messages.append({"role": "user", "content": parts})
    messages[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
    body: dict[str, Any] = {"model": "m", "max_tokens": 32000, "messages": messages, "stream": True}
    if system:
        body["system"] = [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]
    if tools:
        body["tools"] = [{**tool, "input_schema": {"type": "object"}} for tool in tools]
    return body


def _converse(system: str, steps: list[Step], reminder: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for step in steps:
        if step.who == "human":
            messages.append({"role": "user", "content": [{"text": step.text}]})
        elif step.who == "model":
            parts: list[dict[str, Any]] = [{"text": step.text}] if step.text else []
            parts += [{"toolUse": {"toolUseId": o, "name": n, "input": {"q": t}}} for o, n, t in step.calls]
            messages.append({"role": "assistant", "content": parts})
        else:
            parts = [{"toolResult": {"toolUseId": o, "content": [{"text": t}]}} for o, t in step.results]
            messages.append({"role": "user", "content": parts})
    last = max(place for place, step in enumerate(steps) if step.who == "human")
    messages[last]["content"].append({"cachePoint": {"type": "default"}})
    body: dict[str, Any] = {"system": [{"text": system}], "messages": messages, "inferenceConfig": {"maxTokens": 9000}}
    if tools:
        body["toolConfig"] = {"tools": [{"toolSpec": tool} for tool in tools]}
    return body


def _responses(system: str, steps: list[Step], reminder: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
    def message(role: str, text: str) -> dict[str, Any]:
        kind = "output_text" if role == "assistant" else "input_text"
        return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}

    items = [
        message("developer", system),
        message("user", "<environment_context>\n<cwd>/x</cwd>\n</environment_context>"),
    ]
    for step in steps:
        if step.who == "human":
            items.append(message("user", step.text))
        elif step.who == "model":
            items += [message("assistant", step.text)] if step.text else []
            items += [
                {"type": "function_call", "name": n, "arguments": json.dumps({"q": t}), "call_id": o}
                for o, n, t in step.calls
            ]
        else:
            items += [{"type": "function_call_output", "call_id": o, "output": t} for o, t in step.results]
    body: dict[str, Any] = {"model": "m", "input": items, "stream": True, "store": False}
    if tools:
        body["tools"] = [{"type": "function", **tool} for tool in tools]
    return body


_RENDER: dict[Door, Callable[[str, list[Step], str, list[dict[str, Any]]], dict[str, Any]]] = {
    "openai_chat": _chat,
    "anthropic_messages": _anthropic,
    "bedrock_invoke": _anthropic,
    "bedrock_converse": _converse,
    "openai_responses": _responses,
}


def a_day(kind: Kind, seed: int, tasks: int = 14) -> list[Made]:
    """The requests of two people who use one agent for a day, in the order of time."""
    rng = random.Random(f"{kind.agent}/{seed}")
    shared = [_text(rng, 10) for _ in range(3)]
    heap: list[tuple[int, int, Made, Iterator[Made]]] = []
    for number in range(tasks):
        owner = "org/red/alice" if number % 3 else "org/blue/charlie"
        prompt = rng.choice(shared) if rng.random() < 0.25 else _text(rng, 11)
        start_us = rng.choice((0, rng.randint(0, 1_200), rng.randint(0, 8 * 3600))) * _SECOND + number * 1000
        conversation = Conversation(kind, number, owner, rng, start_us + 60 * _SECOND, prompt)
        requests = conversation.requests()
        first = next(requests)
        heapq.heappush(heap, (first.at_us, number, first, requests))
    day: list[Made] = []
    while heap:
        _, number, made, requests = heapq.heappop(heap)
        day.append(made)
        following = next(requests, None)
        if following is not None:
            heapq.heappush(heap, (following.at_us, number, following, requests))
    return day


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words)) + "."


def _id(rng: random.Random) -> str:
    return "call_" + "".join(rng.choices("0123456789abcdef", k=12))
