"""Random conversations of every dialect, and what agents and hostile clients do to them from turn to turn."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from sekisho.conversation.layout import HISTORY
from sekisho.values import Door

DOORS: list[Door] = ["anthropic_messages", "bedrock_invoke", "bedrock_converse", "openai_chat", "openai_responses"]
WORDS = (
    "def",
    "資料",
    "\\n",
    '"quoted"',
    "},{",
    '","role":"user"',
    "0123456789",
    "🦊",
    '"cache_control":{}',
    "]",
    '"messages":[',
    '"image',
    '"document"',
    "]}",
)
Body = dict[str, Any]
Separators = tuple[str, str]
FORMS: list[Separators] = [(",", ":"), (", ", ": "), (",\n ", " : ")]


def words(chance: random.Random, most: int) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(1, most)))


def exchange(chance: random.Random, door: Door, number: int) -> list[Body]:
    """What a model said and did, and what came back."""
    said, given, arguments = words(chance, 30), words(chance, 120), {"text": words(chance, 10)}
    uses_tool = chance.random() < 0.6
    name = f"c{number}"
    if door == "openai_responses":
        if uses_tool:
            call: Body = {"type": "function_call", "call_id": name, "name": "run", "arguments": json.dumps(arguments)}
            return [call, {"type": "function_call_output", "call_id": name, "output": given}]
        return [{"role": "assistant", "content": said}, {"role": "user", "content": given}]
    if door == "openai_chat":
        if uses_tool:
            function = {"name": "run", "arguments": json.dumps(arguments)}
            call = {"id": name, "type": "function", "function": function}
            results = [{"role": "tool", "tool_call_id": name, "content": odd(chance, given)}]
            if chance.random() < 0.1:
                results.append({"role": chance.choice(("system", "user", "assistant")), "content": odd(chance, said)})
            return [{"role": "assistant", "content": said, "tool_calls": [call]}, *results]
        return [{"role": "assistant", "content": said}, {"role": "user", "content": odd(chance, given)}]
    if door == "bedrock_converse":
        use: Body = {"text": said}
        result: Body = {"text": given}
        if uses_tool:
            use = {"toolUse": {"toolUseId": name, "name": "run", "input": arguments}}
            result = {"toolResult": {"toolUseId": name, "content": [{"text": given}]}}
        return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    use, result = {"type": "text", "text": said}, {"type": "text", "text": given}
    if uses_tool:
        use = {"type": "tool_use", "id": name, "name": "run", "input": arguments}
        result = {"type": "tool_result", "tool_use_id": name, "content": given}
    return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]


def odd(chance: random.Random, text: str) -> Any:
    """Mostly this text, sometimes what is joined, dropped, numbered or refused."""
    files = [{"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}}]
    return text if chance.random() < 0.85 else chance.choice(("", " ", [{"type": "text", "text": text}], files, None))


def conversation(chance: random.Random, door: Door, turns: int) -> Body:
    """A body of this door, its members in an order of some agent."""
    first = "Go. " + words(chance, 200)
    history: list[Body] = [{"role": "user", "content": [{"text": first}] if door == "bedrock_converse" else first}]
    for number in range(turns):
        history += exchange(chance, door, number)
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    body: Body = {HISTORY[door]: history, "extra": words(chance, 4)}
    if not door.startswith("bedrock"):
        body["model"] = "claude"
    if door == "bedrock_converse":
        body |= {"system": [{"text": words(chance, 30)}], "inferenceConfig": {"maxTokens": 900}}
        body["toolConfig"] = {"tools": [{"toolSpec": {"name": "run", "inputSchema": {"json": schema}}}]}
    elif door == "openai_chat":
        history.insert(0, {"role": "system", "content": words(chance, 30)})
        body |= {"max_tokens": 900, "tools": [{"type": "function", "function": {"name": "run", "parameters": schema}}]}
    elif door == "openai_responses":
        body |= {"instructions": words(chance, 30), "max_output_tokens": 900}
        body["tools"] = [{"type": "function", "name": "run", "parameters": schema}]
    else:
        body |= {"system": [{"type": "text", "text": words(chance, 30)}], "max_tokens": 900}
        body["tools"] = [{"name": "run", "description": words(chance, 20), "input_schema": schema}]
    names = list(body)
    chance.shuffle(names)
    return {name: body[name] for name in names}


def marked(chance: random.Random, door: Door, body: Body) -> Body:
    """The body with cache marks at some of the places where agents put them."""
    made = copy.deepcopy(body)
    mark = chance.choice(({"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}))
    if isinstance(made.get("system"), list) and chance.random() < 0.5:
        if door == "bedrock_converse":
            made["system"].append({"cachePoint": {"type": "default"}})
        else:
            made["system"][-1]["cache_control"] = mark
    history = made[HISTORY[door]]
    for turn in chance.sample(history, min(2, len(history))) + history[-1:]:
        mark_turn(door, turn, mark)
    return made


def marked_last(door: Door, body: Body) -> Body:
    """The body with a cache mark at its end, where most agents put one."""
    made = copy.deepcopy(body)
    mark_turn(door, made[HISTORY[door]][-1], {"type": "ephemeral"})
    return made


def mark_turn(door: Door, turn: Body, mark: Body) -> None:
    content = turn.get("content")
    if door == "bedrock_converse":
        turn["content"].append({"cachePoint": {"type": "default"}})
    elif isinstance(content, list):
        content[-1]["cache_control"] = mark
    elif door == "openai_chat":
        turn["cache_control"] = mark


def append(chance: random.Random, door: Door, body: Body) -> None:
    history = body[HISTORY[door]]
    history += exchange(chance, door, 1000 + len(history))


def take_back(chance: random.Random, door: Door, body: Body) -> None:
    if len(body[HISTORY[door]]) > 3:
        del body[HISTORY[door]][-2:]


def compact(chance: random.Random, door: Door, body: Body) -> None:
    history = body[HISTORY[door]]
    history[:] = [*history[:2], *exchange(chance, door, 5000)]


def edit_anywhere(chance: random.Random, door: Door, body: Body) -> None:
    history = body[HISTORY[door]]
    at = chance.randrange(len(history))
    text = words(chance, 20)
    history[at] = {"role": "user", "content": [{"text": text}] if door == "bedrock_converse" else text}


def change_member(chance: random.Random, door: Door, body: Body) -> None:
    body["extra"] = words(chance, 30)


def change_tools(chance: random.Random, door: Door, body: Body) -> None:
    if isinstance(body.get("tools"), list):
        body["tools"].append(copy.deepcopy(body["tools"][0]))


def drop_member(chance: random.Random, door: Door, body: Body) -> None:
    body.pop("extra", None)


def add_member(chance: random.Random, door: Door, body: Body) -> None:
    body["more"] = words(chance, 5)


def reorder_members(chance: random.Random, door: Door, body: Body) -> None:
    shuffle_keys(chance, body)


def reorder_keys(chance: random.Random, door: Door, body: Body) -> None:
    shuffle_keys(chance, chance.choice(body[HISTORY[door]]))


def shuffle_keys(chance: random.Random, made: Body) -> None:
    members = list(made.items())
    chance.shuffle(members)
    made.clear()
    made.update(members)


def hold_no_list(chance: random.Random, door: Door, body: Body) -> None:
    body[HISTORY[door]] = chance.choice(["text", {}, [], None, [[]], [1], ["text"]])


Edit = Callable[[random.Random, Door, Body], None]
EDITS: tuple[Edit, ...] = (
    append,
    append,
    append,
    append,
    take_back,
    compact,
    edit_anywhere,
    change_member,
    change_tools,
    drop_member,
    add_member,
    reorder_members,
    reorder_keys,
)


def written(body: Body, form: Separators, *, ascii_only: bool) -> bytes:
    return json.dumps(body, separators=form, ensure_ascii=ascii_only).encode()


def damaged(chance: random.Random, body: bytes) -> bytes:
    """The body as a hostile or broken client might send it: something cut out, doubled, exchanged or put in."""
    at = chance.randrange(len(body))
    end = min(len(body), at + chance.choice((0, 1, 2, 8, 100, 5_000)))
    put = chance.choice(
        (
            b"",
            b'"',
            b"\\",
            b"\xff",
            b"\xe9\x96",
            b"}",
            b"]",
            b"{",
            b"[",
            b",",
            b" ",
            b'],"extra":1,"messages":[',
            b'"extra":"twice",',
            b'"m\\u0065ssages":[],',
            b'"model":"other",',
            b"1",
            b"null",
            body[at:end] * 2,
            body[chance.randrange(len(body)) :][:50],
        )
    )
    return body[:at] + put + body[end:]
