"""The coding tasks that the simulated model can do for real: fix `calc.py`; add a health endpoint with its test."""

import re
import shlex

import msgspec

from sekisho.simulator.script.conversation import Conversation, Step
from sekisho.simulator.script.toolbox import Call, Toolbox

TRIGGERS = re.compile(r"calc\.py|health[ -]?endpoint|ヘルスチェック", re.IGNORECASE)

STEPS_MAX = 12
_ERRORS_MAX = 2

_CALC = "calc.py"
_WRONG = "return a - b"
_RIGHT = "return a + b"

_FILES = {
    "app/health.py": '''"""GET /health: says that the service is up."""

import json


def health() -> dict[str, str]:
    """What the endpoint answers."""
    return {"status": "ok"}


def application(environ, start_response):
    """The endpoint as a WSGI application."""
    is_health = environ["PATH_INFO"] == "/health"
    status, body = ("200 OK", health()) if is_health else ("404 Not Found", {"error": "not found"})
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
''',
    "tests/test_health.py": """from app.health import application, health


def test_health_says_ok():
    assert health() == {"status": "ok"}


def test_the_endpoint_answers_with_json():
    statuses = []
    body = application({"PATH_INFO": "/health"}, lambda status, headers: statuses.append(status))
    assert (statuses, body) == (["200 OK"], [b'{"status": "ok"}'])
""",
}


class Turn(msgspec.Struct, frozen=True):
    """What the model says in one turn, before it becomes an answer. `calls` are made together."""

    text: str = ""
    calls: tuple[Call, ...] = ()


def is_asked(conversation: Conversation) -> bool:
    """Whether the instruction names one of the tasks."""
    return TRIGGERS.search(conversation.instruction) is not None


def next_turn(conversation: Conversation, toolbox: Toolbox) -> Turn:
    """The next turn of the task that is asked for."""
    steps = conversation.steps
    failures = sum(_has_failed(step) for step in steps)
    if len(steps) >= STEPS_MAX or failures > _ERRORS_MAX:
        return Turn("I could not finish the task with the tools that I have here.")
    if _CALC in conversation.instruction.lower():
        return _fix_calc(conversation, toolbox)
    return _add_health_endpoint(steps, toolbox)


def aider_turn(conversation: Conversation) -> Turn | None:
    """The same fix for an agent without tools that reads SEARCH/REPLACE blocks from the text."""
    if "SEARCH/REPLACE" not in conversation.system + conversation.instruction:
        return None
    if _CALC not in conversation.instruction:
        return None
    block = f"{_CALC}\n```python\n<<<<<<< SEARCH\n    {_WRONG}\n=======\n    {_RIGHT}\n>>>>>>> REPLACE\n```"
    return Turn(f"`add` must return the sum of its arguments.\n\n{block}\n")


def _fix_calc(conversation: Conversation, toolbox: Toolbox) -> Turn:
    steps = conversation.steps
    if any(_RIGHT in _written(step) and not _has_failed(step) for step in steps):
        return Turn("Done: `add` in `calc.py` now returns the sum of its arguments.")
    tried = sum(_RIGHT in _written(step) for step in steps)
    has_read = any(_WRONG in step.result for step in steps)
    reading = toolbox.read(_CALC)
    if not has_read and reading is not None and not any(step.name == reading.name for step in steps):
        return Turn("I will read `calc.py` first.", (reading,))
    whole = f"def add(a, b):\n    {_RIGHT}\n"
    ways = (
        toolbox.replace(_CALC, f"    {_WRONG}", f"    {_RIGHT}"),
        toolbox.run(f"sed -i {shlex.quote(f's/{_WRONG}/{_RIGHT}/')} {_CALC} && cat {_CALC}"),
        toolbox.rewrite(_CALC, whole),
    )
    choices = [call for call in ways if call is not None]
    if tried < len(choices):
        return Turn("`add` subtracts. I will change it to add.", (choices[tried],))
    return Turn(f"In `{_CALC}`, line 2 should read `{_RIGHT}` instead of `{_WRONG}`.")


def _add_health_endpoint(steps: tuple[Step, ...], toolbox: Toolbox) -> Turn:
    for path, content in _FILES.items():
        if any(content.strip() in _written(step) and not _has_failed(step) for step in steps):
            continue
        directory = path.rpartition("/")[0]
        tried = sum(path in _written(step) for step in steps)
        ways = (
            toolbox.write(path, content),
            toolbox.run(f"mkdir -p {directory} && cat > {path} <<'EOF'\n{content}EOF"),
        )
        choices = [call for call in ways if call is not None]
        if tried >= len(choices):
            return Turn(f"I would create `{path}`, but no tool here lets me.")
        return Turn(f"I will create `{path}`.", (choices[tried],))
    return Turn("Done: `app/health.py` answers GET /health, and `tests/test_health.py` covers it.")


def _written(step: Step) -> str:
    """All texts of the call's arguments, as they were written (patches lose their `+`)."""
    return "\n".join(_texts(step.input))


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value, re.sub(r"^\+", "", value, flags=re.MULTILINE)]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def _has_failed(step: Step) -> bool:
    return step.is_error or step.result.lstrip().lower().startswith("error")
