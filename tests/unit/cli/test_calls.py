"""`sekisho call` prints what the admin API says of calls."""

from typing import Any

import pytest
from typer.testing import CliRunner

from sekisho.cli import calls
from sekisho.record.calls import CallRow
from sekisho.values import Usage
from sekisho.web.admin.calls import CallDetail, render_call

AT = 1_763_000_000_000_000
ROW = CallRow(
    bytes(16), 1, "ok", "default", "key-1", "alice", "red", (), "cline", "4.1", "", "openai_chat", "claude", True, 900,
    9, AT, AT + 1_000_000, stop_reason="tool_use", usage=Usage(1_000, 5, 0, 0, 20, 3), cost_nanousd=1_500_000,
    tools=(("", 488), ("Read", 2)),
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    paths: list[str] = []

    def ask(_home: object, _method: str, path: str) -> Any:
        paths.append(path)
        call = render_call(ROW).model_dump()
        if "?" in path:
            return {"calls": [] if "nobody" in path else [call], "next": None}
        return CallDetail(attempts=[], **call).model_dump()

    monkeypatch.setattr(calls, "ask", ask)
    return paths


def said(*words: str, language: str = "en") -> str:
    return CliRunner().invoke(calls.app, list(words), env={"SEKISHO_LANG": language}).output


def test_a_list_has_the_tools_that_were_called(asked: list[str]) -> None:
    head, line = said("list", "--user", "alice", "--limit", "5").splitlines()
    assert asked == ["/admin/v1/calls?user_id=alice&limit=5"]
    assert head.split()[-2:] == ["tools", "called"]
    assert line.split()[-4:] == ["1,025", "$0.0015", "+×488", "Read×2"]
    assert "There are no such calls." in said("list", "--user", "nobody")


@pytest.mark.parametrize(("language", "words"), [("en", "tools called: "), ("ja", "呼び出したツール: ")])
def test_one_call_says_which_tools_it_called(asked: list[str], language: str, words: str) -> None:
    assert f"{words}+×488 Read×2\n" in said("show", "0" * 26, language=language)
    assert '"Read": 2' in said("show", "0" * 26, "--json")
