"""The agents of the demonstration: their requests as they are on the wire, growing with every turn."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from sekisho.app.demo.organisation import Habit
from sekisho.app.demo.stories import Step, Story, listing
from sekisho.dialects.exchange import Text, ToolUse
from sekisho.simulator.answer import Answer, AnswerBlock, signed_thinking

_RULES_LINES = 260  # an agent's own instructions: some 12 KB
_MOST_BYTES = 480_000  # of a request: then the person begins anew, for every model ends somewhere
_SMALL = "claude-haiku-4-5"  # what titles are asked of
_CLOCK_MOVES = 0.15  # how often the minute is another one at the next call


@dataclass
class Request:
    """One request of an agent, and what the model will say to it."""

    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    answer: Answer


@dataclass
class Agent:
    """One task in one agent. `next` gives its requests in order; None when it is over.

    With a plan, the first steps only look; then comes the plan, and after the person's OK the rest."""

    story: Story
    model: str
    random: Random
    key: str
    habit: Habit = ""
    _at: int = -1
    _messages: list[dict[str, Any]] = field(default_factory=list)
    _is_planning: bool = False
    _sent_bytes: int = 0

    def __post_init__(self) -> None:
        self._prepare()

    def _prepare(self) -> None:
        raise NotImplementedError

    def next(self) -> Request | None:
        """The next request, with the answers so far in its history."""
        if self._at < 0:
            self._at = 0
            self._ask()
            self._is_planning = bool(self.story.plan)
            if (title := self._title()) is not None:
                return title
        if self._at >= len(self.story.steps) or self._sent_bytes > _MOST_BYTES:
            return None
        step = self.story.steps[self._at]
        if self._is_planning and step.deed not in ("read", "search"):
            self._is_planning = False
            return self._planning()
        self._at += 1
        return self._acting(step)

    def _title(self) -> Request | None:
        """What the agent asks beside the conversation, for the name of the task."""
        return None

    def _ask(self) -> None:
        raise NotImplementedError

    def _planning(self) -> Request:
        raise NotImplementedError

    def _acting(self, step: Step) -> Request:
        raise NotImplementedError

    def _counted(self, request: Request) -> Request:
        self._sent_bytes = len(request.body)
        return request

    def _outcome(self, step: Step) -> str:
        shown = listing(step.target, step.size, self.random) if step.size else ""
        return "\n".join(part for part in (step.result, shown) if part) or f"Edited {step.target}"

    def _id(self, prefix: str) -> str:
        return prefix + "".join(self.random.choices("abcdefghijkmnpqrstuvwxyz23456789", k=12))


def _tool(name: str, description: str, **properties: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "input_schema": {
            "type": "object",
            "properties": {key: {"type": "string", "description": about} for key, about in properties.items()},
            "required": list(properties),
        },
    }


class ClaudeCode(Agent):
    """Messages, with cache marks on the system text and the last message, and a session of its own."""

    _TOOLS = (
        _tool("Read", "Reads a file from the local file system.", file_path="The absolute path of the file"),
        _tool("Edit", "Replaces text in a file.", file_path="The file", old_string="Old text", new_string="New text"),
        _tool("Bash", "Runs a shell command and returns its output.", command="The command"),
        _tool("Grep", "Searches file contents with a regular expression.", pattern="The expression"),
    )

    def _prepare(self) -> None:
        self._session = str(UUID(int=self.random.getrandbits(128), version=4))
        rules = listing("instructions", _RULES_LINES, Random(1))
        self._system = [
            {"type": "text", "text": "You are Claude Code, a coding agent in the terminal."},
            {"type": "text", "text": rules, "cache_control": {"type": "ephemeral"}},
        ]

    def _ask(self) -> None:
        where = f"<env>Working directory: /home/dev/{self.story.repository}\nCurrent branch: {self.story.branch}</env>"
        reminder = "<system-reminder>Plan mode is active. Do not make any edits.</system-reminder>"
        reminders = [_text(reminder)] if self.story.plan else []
        self._messages.append(_user([_text(where), _text(self.story.ask), *reminders]))

    def _title(self) -> Request:
        said = {"role": "user", "content": [_text(f"<session>\n{self.story.ask}\n</session>")]}
        wanted = "Generate a concise, sentence-case title (3-7 words) for this coding session."
        body = {
            "model": _SMALL,
            "max_tokens": 200,
            "stream": True,
            "system": [_text(wanted)],
            "messages": [said],
            "metadata": {"user_id": json.dumps({"session_id": self._session})},
        }
        return self._sent(body, Answer((Text(json.dumps({"title": self.story.name})),), "end_turn"))

    def _planning(self) -> Request:
        request = self._request(Answer((signed_thinking("Plan first."), Text(self.story.plan)), "end_turn"))
        self._messages += [
            {"role": "assistant", "content": [_text(self.story.plan)]},
            _user([_text("OK")]),
        ]
        return request

    def _acting(self, step: Step) -> Request:
        blocks: list[AnswerBlock] = [Text(step.says)]
        said: list[dict[str, Any]] = [_text(step.says)]
        use = self._use(step)
        if use is not None:
            blocks.append(use)
            said.append({"type": "tool_use", "id": use.id, "name": use.name, "input": json.loads(use.input)})
        request = self._request(Answer(tuple(blocks), "tool_use" if use else "end_turn"))
        self._messages.append({"role": "assistant", "content": said})
        if use is not None:
            result = {"type": "tool_result", "tool_use_id": use.id, "content": self._outcome(step)}
            self._messages.append(_user([result | ({"is_error": True} if step.is_failure else {})]))
        return request

    def _use(self, step: Step) -> ToolUse | None:
        arguments: dict[str, tuple[str, dict[str, str]]] = {
            "read": ("Read", {"file_path": step.target}),
            "edit": ("Edit", {"file_path": step.target, "old_string": step.old, "new_string": step.new}),
            "run": ("Bash", {"command": step.target}),
            "search": ("Grep", {"pattern": step.target}),
        }
        if not step.deed:
            return None
        name, given = arguments[step.deed]
        return ToolUse(self._id("toolu_bdrk_"), name, json.dumps(given, ensure_ascii=False))

    def _request(self, answer: Answer) -> Request:
        last = self._messages[-1]["content"][-1]
        last["cache_control"] = {"type": "ephemeral"}
        body = {
            "model": self.model,
            "max_tokens": 16_000,
            "stream": True,
            "system": self._system,
            "messages": self._messages,
            "tools": self._TOOLS,
            "metadata": {"user_id": json.dumps({"session_id": self._session})},
        }
        request = self._sent(body, answer)
        del last["cache_control"]
        return request

    def _sent(self, body: dict[str, Any], answer: Answer) -> Request:
        headers = [
            (b"x-api-key", self.key.encode()),
            (b"user-agent", b"claude-cli/2.1.197 (external, cli)"),
            (b"x-claude-code-session-id", self._session.encode()),
            (b"anthropic-version", b"2023-06-01"),
            (b"content-type", b"application/json"),
        ]
        return self._counted(Request("/v1/messages", headers, _encoded(body), answer))


class Cline(Agent):
    """OpenAI chat, as through LiteLLM: no session; plan mode by words and tools; marks on rules and last words."""

    def _prepare(self) -> None:
        rules = listing("rules", _RULES_LINES, Random(2))
        self._rules = f"You are Cline, an AI coding agent. Your primary goal is to help with coding tasks.\n{rules}"
        self._minute = self.random.randrange(60)

    def _ask(self) -> None:
        where = self._details("PLAN" if self.story.plan else "ACT")
        self._messages += [
            {"role": "system", "content": self._rules},
            {"role": "user", "content": f"<task>\n{self.story.ask}\n</task>\n{where}"},
        ]

    def _planning(self) -> Request:
        request = self._request(Answer((Text(self.story.plan),), "end_turn"), is_plan=True)
        self._messages += [
            {"role": "assistant", "content": self.story.plan},
            {"role": "user", "content": f"OK\n{self._details('ACT')}"},
        ]
        return request

    def _details(self, mode: str) -> str:
        """What the agent puts behind the words of the person."""
        files = f"# Current Working Directory (/home/dev/{self.story.repository}) Files\nsrc/\ntests/"
        return f"<environment_details>\n{files}\n\n# Current Mode\n{mode} MODE\n</environment_details>"

    def _acting(self, step: Step) -> Request:
        arguments: dict[str, tuple[str, dict[str, Any]]] = {
            "read": ("read_files", {"files": [{"path": step.target}]}),
            "edit": ("editor", {"path": step.target, "old_text": step.old, "new_text": step.new}),
            "run": ("run_commands", {"commands": [step.target]}),
            "search": ("search_codebase", {"queries": [step.target]}),
        }
        if not step.deed:
            return self._request(Answer((Text(step.says),), "end_turn"))
        name, given = arguments[step.deed]
        use = ToolUse(self._id("tooluse_"), name, json.dumps(given, ensure_ascii=False))
        request = self._request(Answer((Text(step.says), use), "tool_use"), is_plan=self._is_planning)
        call = {"id": use.id, "type": "function", "function": {"name": name, "arguments": use.input}}
        result = {"query": step.target, "result": self._outcome(step), "success": not step.is_failure}
        self._messages += [
            {"role": "assistant", "content": step.says, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": use.id, "content": json.dumps(result, ensure_ascii=False)},
        ]
        return request

    def _request(self, answer: Answer, *, is_plan: bool = False) -> Request:
        body = {
            "model": self.model,
            "max_tokens": 8192,
            "messages": self._shown(),
            "tools": [one for one in _CLINE_TOOLS if not (is_plan and one["function"]["name"] == "editor")],
            "tool_choice": "auto",
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        headers = [
            (b"authorization", b"Bearer " + self.key.encode()),
            (b"user-agent", b"Cline/3.90.0"),
            (b"content-type", b"application/json"),
        ]
        return self._counted(Request("/v1/chat/completions", headers, _encoded(body), answer))

    def _shown(self) -> list[dict[str, Any]]:
        """The history as it is sent: with the habit's time of day in the rules, with marks unless the habit is to have
        none."""
        rules, *rest = self._messages
        if self.habit == "clock":
            self._minute += self.random.random() < _CLOCK_MOVES
            rules = rules | {"content": f"Current time: {9 + self._minute // 60}:{self._minute % 60:02}\n{self._rules}"}
        if self.habit == "unmarked":
            return [rules, *rest]
        said = [at for at, one in enumerate(rest) if one["role"] != "assistant"]
        marks = {at: _MARK if at in said[-2:] else {} for at in said}
        return [_in_parts(rules, _MARK), *(_in_parts(one, marks.get(at, {})) for at, one in enumerate(rest))]


_MARK = {"cache_control": {"type": "ephemeral"}}


def _in_parts(message: dict[str, Any], mark: dict[str, Any]) -> dict[str, Any]:
    """The message in the form that can carry a mark for the prompt cache, with this mark or none."""
    return message | {"content": [_text(message["content"]) | mark]}


def _function(name: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


_STRINGS = {"type": "array", "items": {"type": "string"}}
_CLINE_TOOLS = (
    _function(
        "read_files",
        "Read the content of files.",
        {"files": {"type": "array", "items": {"type": "object", "properties": {"path": {"type": "string"}}}}},
    ),
    _function("search_codebase", "Search the code base with regular expressions.", {"queries": _STRINGS}),
    _function("run_commands", "Run shell commands.", {"commands": _STRINGS}),
    _function("editor", "Edit a file.", {name: {"type": "string"} for name in ("path", "old_text", "new_text")}),
)
AGENTS: dict[str, type[Agent]] = {"claude-code": ClaudeCode, "cline": Cline}


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _user(content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "user", "content": content}
