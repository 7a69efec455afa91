"""Spend as a manager sees it: GET /admin/v1/spend as JSON and CSV, and `sekisho spend`, all with the same figures."""

import asyncio
import csv
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sekisho.app.control_plane import create_control_app, serve_control_plane
from sekisho.app.exclusive import bind_control_socket
from sekisho.cli.main import create_app
from sekisho.ledger.journal import Caller, Opened, Settled
from sekisho.ledger.journal_files import JournalWriter
from sekisho.values import Usage
from tests.acceptance.control_plane import bearer, running_control_plane

HOUR_US = 3_600_000_000
NOON = 1_763_035_200_000_000  # 2025-11-13 12:00 UTC, 21:00 in Tokyo


@pytest.fixture
def home() -> Any:
    """A short path: the name of a Unix socket has at most 107 bytes."""
    folder = tempfile.mkdtemp(prefix="sk")
    yield Path(folder) / "home"
    shutil.rmtree(folder)


def write_calls(home: Path) -> None:
    """Three calls: Alice before and after midnight in Tokyo, Bob once with a team that looks like a formula."""
    writer = JournalWriter(home / "journal", "call-1", segment_bytes=1 << 20)
    made = (("alice", "red", NOON, 5), ("alice", "red", NOON + 4 * HOUR_US, 70), ("bob", "=1+1", NOON, 900))
    for number, (user, team, at, cost) in enumerate(made):
        call_id = (at // 1000).to_bytes(6, "big") + number.to_bytes(10, "big")
        caller = Caller("default", f"key-{user}", user, team, ("x",), "cline")
        usage = Usage(10, 20, 30, 0, 40, 5)
        writer.append(Opened(call_id, at, caller, "openai_chat", "claude", False, 10, cost))
        writer.append(Settled(call_id, at + 9, "ok", None, "", "", True, False, usage, cost, cost, (), 1, 1, ()))
    writer.close()


async def test_days_are_those_of_the_callers_time_zone(tmp_path):
    async with running_control_plane(tmp_path / "home") as running:
        write_calls(tmp_path / "home")
        await running.plane.drain_once()

        async def ask(**query: Any) -> Any:
            return (await running.operator.get("/admin/v1/spend", params=query)).json()

        days = {"period": "day", "since": "2025-11-13", "until": "2025-11-14"}
        tokyo = await ask(by="user", user="alice", time_zone="Asia/Tokyo", **days)
        assert [(row["period"], row["starts_at"], row["cost_nanousd"]) for row in tokyo["rows"]] == [
            ("2025-11-13", "2025-11-12T15:00:00Z", 5),
            ("2025-11-14", "2025-11-13T15:00:00Z", 70),
        ]
        utc = await ask(by="user", user="alice", time_zone="UTC", **days)
        assert [(row["period"], row["cost_nanousd"]) for row in utc["rows"]] == [("2025-11-13", 75)]
        assert utc["rows"][0]["usage"] == {
            "input_tokens": 20,
            "cache_read_tokens": 40,
            "cache_write_5m_tokens": 60,
            "cache_write_1h_tokens": 0,
            "output_tokens": 80,
            "reasoning_tokens": 10,
        }
        assert (await ask(since="2025-11-14", time_zone="Asia/Tokyo"))["total"]["cost_nanousd"] == 70


async def test_rows_come_in_pages(tmp_path):
    async with running_control_plane(tmp_path / "home") as running:
        write_calls(tmp_path / "home")
        await running.plane.drain_once()
        first = (await running.operator.get("/admin/v1/spend?by=user&limit=1")).json()
        rest = (await running.operator.get(f"/admin/v1/spend?by=user&limit=1&after={first['next']}")).json()
        assert [row["user_id"] for row in first["rows"] + rest["rows"]] == ["bob", "alice"]
        assert rest["next"] is None
        assert first["total"] == rest["total"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("time_zone=Mars/Olympus", "time_zone"),
        ("time_zone=../../etc/passwd", "time_zone"),
        ("since=yesterday", "since"),
        ("since=2025-11-14&until=2025-11-12", "until"),
        ("period=day&since=1990-01-01&until=2025-01-01", "since"),
        ("by=nothing", "by"),
        ("by=team&limit=0", "limit"),
        ("by=team&after=-1", "after"),
        ("format=csv", "by"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(tmp_path, query, param):
    async with running_control_plane(tmp_path / "home") as running:
        answer = await running.operator.get(f"/admin/v1/spend?{query}")
        assert answer.status_code == 400
        assert param in json.dumps(answer.json()["error"])


async def test_csv_and_the_command_line_show_the_same_figures(home, monkeypatch):
    monkeypatch.setenv("SEKISHO_HOME", str(home))
    async with running_control_plane(home) as running:
        write_calls(home)
        await running.plane.drain_once()
        (home / "run").mkdir(exist_ok=True)
        listener = bind_control_socket(home / "run" / "control.sock")
        serving = asyncio.ensure_future(serve_control_plane(running.plane, create_control_app(running.plane), listener))

        async def say(language: str, *words: str) -> str:
            env = {"SEKISHO_LANG": language}
            result = await asyncio.to_thread(CliRunner().invoke, create_app(), ["spend", *words], env=env)
            assert result.exit_code == 0, result.output
            return result.output

        asked = ("--by", "team", "--by", "model")
        rows = list(csv.DictReader(io.StringIO(await say("en", *asked, "--csv"))))
        assert [(row["team_id"], row["model"], row["calls"], row["cost_usd"]) for row in rows] == [
            ("'=1+1", "claude", "1", "0.000000900"),
            ("red", "claude", "2", "0.000000075"),
        ]
        report = json.loads(await say("en", *asked, "--json"))
        assert [row["cost_nanousd"] for row in report["rows"]] == [900, 75]
        table = await say("en", *asked, "--per", "day", "--since", "2025-11-13", "--until", "2025-11-13")
        assert table.splitlines()[1].split() == [
            "2025-11-13",
            "=1+1",
            "claude",
            "1",
            "0",
            "0",
            "60",
            "40",
            "$0.000000900",
        ]
        assert table.splitlines()[-1] == "Total: $0.000000975, 3 calls (0 failed), 0 refused"
        assert "合計: $0.000000975、コール 3 件（うち失敗 0 件）、拒否 0 件" in await say("ja", *asked)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        listener.close()


async def test_a_lead_sees_the_spend_of_the_own_team_and_a_developer_the_own_calls_only(tmp_path):
    async with running_control_plane(tmp_path / "home") as running:
        write_calls(tmp_path / "home")
        await running.plane.drain_once()
        for team in ("red", "blue"):
            await running.operator.post("/admin/v1/teams", json={"id": team})
        for name, team, role in (("alice", "red", "member"), ("bob", "red", "lead"), ("charlie", "blue", "lead")):
            await running.operator.post(f"/admin/v1/teams/{team}/members", json={"user_id": name, "role": role})

        async def seen(name: str, query: str = "") -> list[tuple[str, int]]:
            made = await running.operator.post("/admin/v1/tokens", json={"user_id": name, "expires_in": "30d"})
            headers = bearer(made.json()["token"])
            report = (await running.gate.get(f"/admin/v1/spend?by=user&by=team{query}", headers=headers)).json()
            assert report["total"]["cost_nanousd"] == sum(row["cost_nanousd"] for row in report["rows"])
            return [(row["user_id"], row["cost_nanousd"]) for row in report["rows"]]

        assert await seen("alice") == [("alice", 75)]
        assert await seen("alice", "&user=bob") == []
        assert await seen("bob") == [("alice", 75)]  # of the team that Bob leads
        assert await seen("bob", "&user=bob") == [("bob", 900)]  # Bob's own, whatever the team
        assert await seen("bob", "&user=alice&team=blue") == []
        assert await seen("charlie") == []
        assert await seen("charlie", "&team=red") == []
