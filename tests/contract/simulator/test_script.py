"""The scripted model works with the tools of each real agent, by the names in their schemas.

Each agent is a pretended one: it runs the tool calls on files in memory, as the real one would on disk.
"""

import json
import posixpath
import re
from collections.abc import Callable
from typing import Any

import pytest

from sekisho.simulator.server import Simulator
from tests.contract.simulator.conftest import SONNET, Bedrock, assistant, text, user

TASK = "The function add in calc.py subtracts instead of adding. Fix it by editing calc.py, then stop."
CALC = "def add(a, b):\n    return a - b\n"
FIXED = "def add(a, b):\n    return a + b\n"
DIRECTORY = "/home/alice/project"

Schema = dict[str, Any]
Files = dict[str, str]
Run = Callable[[Files, dict[str, Any]], str]


def strings(*names: str, required: tuple[str, ...] = (), **more: Schema) -> Schema:
    properties: Schema = {**{name: {"type": "string"} for name in names}, **more}
    return {"type": "object", "properties": properties, "required": list(required or names)}


def located(files: Files, path: str) -> str:
    """The key of a file: agents resolve relative paths themselves."""
    return posixpath.join(DIRECTORY, path)


def reading(key: str) -> Run:
    return lambda files, given: files[located(files, given[key])]


def replacing(path: str, old: str, new: str) -> Run:
    def run(files: Files, given: dict[str, Any]) -> str:
        place = located(files, given[path])
        if given.get(old) is None:
            files[place] = given[new]
            return "created"
        assert given[old] in files[place]
        files[place] = files[place].replace(given[old], given[new])
        return "edited"

    return run


def writing(path: str, content: str) -> Run:
    def run(files: Files, given: dict[str, Any]) -> str:
        files[located(files, given[path])] = given[content]
        return "written"

    return run


def read_many(files: Files, given: dict[str, Any]) -> str:
    return json.dumps([{"query": item["path"], "result": files[item["path"]]} for item in given["files"]])


def edit_many(files: Files, given: dict[str, Any]) -> str:
    for edit in given["edits"]:
        replacing("file_path", "old_string", "new_string")(files, {"file_path": given["file_path"], **edit})
    return "edited"


def edit_by_diff(files: Files, given: dict[str, Any]) -> str:
    found = re.fullmatch(r"------- SEARCH\n(.*)\n=======\n(.*)\n\+{7} REPLACE\n", given["diff"], re.DOTALL)
    assert found is not None
    return replacing("p", "o", "n")(files, {"p": given["path"], "o": found[1], "n": found[2]})


def apply_patch(files: Files, given: dict[str, Any]) -> str:
    lines = given["input"].splitlines()
    assert (lines[0], lines[-1]) == ("*** Begin Patch", "*** End Patch")
    kind, _, path = lines[1].removeprefix("*** ").partition(" File: ")
    added = "\n".join(line[1:] for line in lines[2:-1] if line.startswith("+"))
    removed = "\n".join(line[1:] for line in lines[2:-1] if line.startswith("-"))
    assert kind == "Add" or f"\n{removed}\n" in f"\n{files[located(files, path)]}"  # a patch takes whole lines
    if kind == "Add":
        files[located(files, path)] = added + "\n"
        return "Success"
    return replacing("p", "o", "n")(files, {"p": path, "o": removed, "n": added})


def shell(key: str) -> Run:
    """Understands the two commands that the script may run: sed on a file, and a file from standard input."""

    def run(files: Files, given: dict[str, Any]) -> str:
        command = given[key]
        command = command if isinstance(command, str) else command[-1]
        if found := re.search(r"sed -i 's/(.*)/(.*)/' (\S+)", command):
            place = located(files, found[3])
            files[place] = files[place].replace(found[1], found[2])
            return files[place]
        found = re.search(r"cat > (\S+) <<'EOF'\n(.*)EOF", command, re.DOTALL)
        assert found is not None
        files[located(files, found[1])] = found[2]
        return "ok"

    return run


READ_FILES = strings(files={"type": "array", "items": strings("path")}, required=("files",))
EDITS = {"type": "array", "items": strings("old_string", "new_string")}
RELATIVE = {"type": "string", "description": "The path, relative to the current working directory"}

# agent: (tools with their schema and what they do, text of the first message before the task)
AGENTS: dict[str, dict[str, tuple[Schema, Run]]] = {
    "cline": {
        "read_files": (READ_FILES, read_many),
        "run_commands": (strings(commands={"type": "array"}, required=("commands",)), shell("commands")),
        "editor": (
            strings("path", "old_text", "new_text", required=("path", "new_text")),
            replacing("path", "old_text", "new_text"),
        ),
    },
    "cline legacy": {
        "read_file": (strings(path=RELATIVE, required=("path",)), reading("path")),
        "write_to_file": (strings("content", path=RELATIVE, required=("path", "content")), writing("path", "content")),
        "replace_in_file": (strings("diff", path=RELATIVE, required=("path", "diff")), edit_by_diff),
    },
    "claude code": {
        "NotebookEdit": (strings("notebook_path", "new_source"), reading("none")),
        "Read": (strings("file_path"), reading("file_path")),
        "Edit": (strings("file_path", "old_string", "new_string"), replacing("file_path", "old_string", "new_string")),
        "Write": (strings("file_path", "content"), writing("file_path", "content")),
    },
    "codex": {
        "view_image": (strings("path"), reading("none")),
        "exec_command": (strings("cmd", "workdir", required=("cmd",)), shell("cmd")),
    },
    "codex with patches": {
        "shell": (strings(command={"type": "array", "items": {"type": "string"}}), shell("command")),
        "apply_patch": (strings("input"), apply_patch),
    },
    "opencode and kilo": {
        "bash": (strings("command", "description"), shell("command")),
        "read": (strings("filePath"), reading("filePath")),
        "edit": (strings("filePath", "oldString", "newString"), replacing("filePath", "oldString", "newString")),
        "write": (strings("content", "filePath"), writing("filePath", "content")),
    },
    "continue": {
        "Read": (strings("filepath"), reading("filepath")),
        "Write": (strings("filepath", "content"), writing("filepath", "content")),
        "MultiEdit": (strings("file_path", edits=EDITS, required=("file_path", "edits")), edit_many),
    },
    "continue, older": {
        "read_file": (strings("filepath"), reading("filepath")),
        "single_find_and_replace": (
            strings("filepath", "old_string", "new_string"),
            replacing("filepath", "old_string", "new_string"),
        ),
        "create_new_file": (strings("filepath", "contents"), writing("filepath", "contents")),
    },
    "continue, oldest": {
        "read_file": (strings("filepath"), reading("filepath")),
        "edit_existing_file": (strings("filepath", "changes"), writing("filepath", "changes")),
        "create_new_file": (strings("filepath", "contents"), writing("filepath", "contents")),
    },
}


async def work(bedrock: Bedrock, tools: dict[str, tuple[Schema, Run]], prompt: str, files: Files) -> list[str]:
    """Run the agent's loop until the model ends; the names of the tools it called."""
    config = {"tools": [{"toolSpec": {"name": name, "inputSchema": {"json": tools[name][0]}}} for name in tools]}
    messages = [user(text(f"<environment_context>\n<cwd>{DIRECTORY}</cwd>\n</environment_context>"), text(prompt))]
    called = list[str]()
    for _ in range(10):
        answer = await bedrock.call("converse", modelId=SONNET, messages=messages, toolConfig=config)
        messages.append(answer["output"]["message"])
        uses = [block["toolUse"] for block in answer["output"]["message"]["content"] if "toolUse" in block]
        if not uses:
            assert answer["stopReason"] == "end_turn"
            return called
        results = list[dict[str, Any]]()
        for use in uses:
            called.append(use["name"])
            content = tools[use["name"]][1](files, use["input"])
            results.append({"toolResult": {"toolUseId": use["toolUseId"], "content": [text(content)]}})
        messages.append(user(*results, text("<system-reminder>Stay on course.</system-reminder>")))
    raise AssertionError(f"the model never ended: {called}")


@pytest.mark.parametrize("agent", AGENTS)
async def test_every_agent_gets_its_file_fixed(bedrock: Bedrock, agent: str) -> None:
    files = {f"{DIRECTORY}/calc.py": CALC}
    called = await work(bedrock, AGENTS[agent], TASK, files)
    assert files == {f"{DIRECTORY}/calc.py": FIXED}
    assert 1 <= len(called) <= 3


@pytest.mark.parametrize("agent", AGENTS)
async def test_every_agent_gets_its_health_endpoint(bedrock: Bedrock, agent: str) -> None:
    files: Files = {}
    await work(bedrock, AGENTS[agent], "Add a health endpoint and its test.", files)
    assert set(files) == {f"{DIRECTORY}/app/health.py", f"{DIRECTORY}/tests/test_health.py"}
    for content in files.values():
        compile(content, "written", "exec")


async def test_a_task_after_a_task_starts_anew(bedrock: Bedrock) -> None:
    tools = AGENTS["claude code"]
    config = {"tools": [{"toolSpec": {"name": name, "inputSchema": {"json": tools[name][0]}}} for name in tools]}
    messages = [user(text("Hello")), assistant(text("Hello!")), user(text(TASK))]
    answer = await bedrock.call("converse", modelId=SONNET, messages=messages, toolConfig=config)
    assert answer["output"]["message"]["content"][1]["toolUse"]["name"] == "Read"
    messages += [assistant(text("Done.")), user(text("Thank you."))]
    answer = await bedrock.call("converse", modelId=SONNET, messages=messages, toolConfig=config)
    assert answer["stopReason"] == "end_turn"


async def test_a_tool_that_always_fails_ends_the_task(bedrock: Bedrock) -> None:
    tools = {name: (schema, lambda files, given: "Error: no") for name, (schema, _) in AGENTS["claude code"].items()}
    called = await work(bedrock, tools, TASK, {})
    assert len(called) <= 4


async def test_a_tool_that_does_nothing_is_not_called_for_ever(bedrock: Bedrock) -> None:
    tools = {"ask": (strings("question"), lambda files, given: "?")}
    assert await work(bedrock, tools, TASK, {}) == []
    assert await work(bedrock, tools, "Add a health endpoint.", {}) == []


async def test_an_agent_without_tools_gets_search_and_replace_blocks(bedrock: Bedrock) -> None:
    system = [text("Act as an expert. Describe each change with a *SEARCH/REPLACE block*.")]
    answer = await bedrock.call("converse", modelId=SONNET, system=system, messages=[user(text(TASK))])
    block = "calc.py\n```python\n<<<<<<< SEARCH\n    return a - b\n=======\n    return a + b\n>>>>>>> REPLACE\n```"
    assert block in answer["output"]["message"]["content"][0]["text"]


@pytest.mark.parametrize(
    ("prompt", "words"), [("Hello", "Hello! You have reached"), ("こんにちは", "こんにちは。こちらは")]
)
async def test_a_greeting_comes_in_the_language_of_the_prompt(bedrock: Bedrock, prompt: str, words: str) -> None:
    answer = await bedrock.call("converse", modelId=SONNET, messages=[user(text(prompt))])
    assert answer["output"]["message"]["content"][0]["text"].startswith(words)


async def test_a_prefilled_answer_is_continued(bedrock: Bedrock) -> None:
    messages = [user(text("Hello")), assistant(text("This is Bedrock"))]
    answer = await bedrock.call("converse", modelId=SONNET, messages=messages)
    assert answer["output"]["message"]["content"] == [{"text": "and that is all the simulator has to add."}]


async def test_a_title_is_made_of_the_first_words(bedrock: Bedrock) -> None:
    system = [text("You are a title generator. You output ONLY a thread title.")]
    messages = [user(text("Generate a title for this conversation:\n"), text(f'"{TASK}"'))]
    answer = await bedrock.call("converse", modelId=SONNET, system=system, messages=messages)
    assert answer["output"]["message"]["content"] == [{"text": "The function add in calc.py subtracts"}]


async def test_a_wanted_schema_is_met(bedrock: Bedrock) -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["title", "kind", "count", "tags", "nested", "either", "done", "none"],
        "properties": {
            "title": {"type": "string"},
            "kind": {"enum": ["bug", "idea"]},
            "count": {"type": "integer", "minimum": 3},
            "tags": {"type": "array", "minItems": 2, "items": {"const": "x"}},
            "nested": {"$ref": "#/$defs/pair"},
            "either": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "done": {"type": ["boolean", "null"]},
            "none": {"type": "null"},
        },
        "$defs": {"pair": {"type": "object", "additionalProperties": False, "properties": {}}},
    }
    request = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 500,
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
        "messages": [{"role": "user", "content": "<session>\nwhat does calc.py do\n</session>"}],
    }
    answer = await bedrock.call("invoke_model", modelId=SONNET, body=json.dumps(request))
    assert json.loads(json.loads(answer["body"].read())["content"][0]["text"]) == {
        "title": "what does calc.py do",
        "kind": "bug",
        "count": 3,
        "tags": ["x", "x"],
        "nested": {},
        "either": None,
        "done": False,
        "none": None,
    }


@pytest.mark.parametrize(("choice", "name"), [({"any": {}}, "one"), ({"tool": {"name": "two"}}, "two")])
async def test_a_forced_tool_is_called_with_fitting_arguments(bedrock: Bedrock, choice: Any, name: str) -> None:
    schema = strings("where", how={"type": "boolean"}, required=("where", "how"))
    tools = [{"toolSpec": {"name": name, "inputSchema": {"json": schema}}} for name in ("one", "two")]
    config = {"tools": tools, "toolChoice": choice}
    answer = await bedrock.call("converse", modelId=SONNET, messages=[user(text("Hello"))], toolConfig=config)
    use = answer["output"]["message"]["content"][-1]["toolUse"]
    assert (use["name"], use["input"]) == (name, {"where": "sample", "how": False})
    assert answer["stopReason"] == "tool_use"


async def test_the_script_is_followed_under_a_fault_too(bedrock: Bedrock, simulator: Simulator) -> None:
    simulator.fail_next("throttle")
    tools = AGENTS["claude code"]
    files = {f"{DIRECTORY}/calc.py": CALC}
    with pytest.raises(Exception, match="ThrottlingException"):
        await work(bedrock, tools, TASK, files)
    await work(bedrock, tools, TASK, files)
    assert files == {f"{DIRECTORY}/calc.py": FIXED}
