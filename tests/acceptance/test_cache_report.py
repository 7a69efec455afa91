"""Prompt caches as people look at them: GET /admin/v1/cache, its breaks, a task's, and `sekisho cache`."""

import asyncio
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
from sekisho.clock import id_text
from sekisho.ledger.journal import CacheBreak, Caching
from sekisho.record.cache import REMEDIES
from tests.acceptance.control_plane import Running, bearer, running_control_plane, task_of


@pytest.fixture
def home() -> Any:
    """A short path: the name of a Unix socket has at most 107 bytes."""
    folder = tempfile.mkdtemp(prefix="sk")
    yield Path(folder) / "home"
    shutil.rmtree(folder)


async def broken_call(running: Running, key: dict[str, Any], lost: int) -> bytes:
    first = await running.call_of(key, caching=Caching(500))
    broke = CacheBreak("tools_order", "tools", "", 90, lost, first)
    return await running.call_of(key, caching=Caching(-40, broke))


async def test_api_and_commands_tell_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_control_plane(home) as running:
        for team in ("red", "blue"):
            await running.operator.post("/admin/v1/teams", json={"id": team})
        await running.operator.post("/admin/v1/users", json={"id": "bob"})
        await running.operator.post("/admin/v1/teams/red/members", json={"user_id": "bob", "role": "member"})
        token = (await running.operator.post("/admin/v1/tokens", json={"user_id": "bob"})).json()["token"]
        bob, other = [
            (await running.operator.post("/admin/v1/keys", json=one)).json()
            for one in ({"user_id": "bob", "team_id": "red"}, {"team_id": "blue"})
        ]
        call_id = await broken_call(running, bob, 7_000)
        await broken_call(running, other, 9_000)

        report = (await running.operator.get("/admin/v1/cache?by=team")).json()
        assert [
            (row["team_id"], row["calls"], row["saved_nanousd"], row["lost_nanousd"]) for row in report["rows"]
        ] == [
            ("blue", 2, 460, 9_000),
            ("red", 2, 460, 7_000),
        ]
        assert (report["total"]["lost_nanousd"], report["total"]["hit_rate"]) == (16_000, round(1 / 3, 6))
        own = (await running.gate.get("/admin/v1/cache?by=cause", headers=bearer(token))).json()
        assert [(row["cause"], row["calls"], row["lost_nanousd"]) for row in own["rows"]] == [("tools_order", 1, 7_000)]
        breaks = (await running.gate.get("/admin/v1/cache/breaks?limit=1", headers=bearer(token))).json()
        (told,) = breaks["breaks"]
        assert (told["call_id"], told["task_id"]) == (id_text(call_id), id_text(task_of(bob)))
        assert (told["cause"], told["remedy"], breaks["next"]) == ("tools_order", REMEDIES["tools_order"], None)
        task = (await running.gate.get(f"/admin/v1/tasks/{told['task_id']}/cache", headers=bearer(token))).json()
        assert (task["total"]["saved_nanousd"], [one["cause"] for one in task["causes"]]) == (460, ["tools_order"])
        hidden = f"/admin/v1/tasks/{id_text(task_of(other))}/cache"
        assert (await running.gate.get(hidden, headers=bearer(token))).status_code == 404
        assert (await running.operator.get("/admin/v1/tasks/x/cache")).status_code == 400

        (home / "run").mkdir(parents=True, exist_ok=True)
        listener = bind_control_socket(home / "run" / "control.sock")
        serving = asyncio.ensure_future(serve_control_plane(running.plane, create_control_app(running.plane), listener))
        monkeypatch.setenv("SEKISHO_HOME", str(home))

        async def say(language: str, *words: str) -> str:
            monkeypatch.setenv("SEKISHO_LANG", language)
            result = await asyncio.to_thread(CliRunner().invoke, create_app(), ["cache", *words])
            assert result.exit_code == 0, result.output
            return result.output

        assert json.loads(await say("en", "report", "--json")) == report
        table = await say("en", "report", "--by", "team", "--by", "day")
        assert "blue" in table and "$0.000009000" in table and "hit rate 33.3 %, saved $0.000000920" in table
        assert "tools_order" in await say("ja", "report", "--by", "cause")
        listed = await say("ja", "breaks", "--task", told["task_id"])
        assert REMEDIES["tools_order"]["ja"] in listed and id_text(call_id) in listed
        assert "損失 $0.000007000" in await say("ja", "task", told["task_id"])
        assert "No cache was broken." in await say("en", "breaks", "--cause", "expired")
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        listener.close()
