"""`sekisho role|token|key` for people: roles, tokens, one-time links; as the operator and as somebody with a token."""

import asyncio
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from sekisho.access.roles import Principal
from sekisho.app.control_plane import (
    ControlPlane,
    ControlPlaneSettings,
    create_control_app,
    open_control_plane,
    serve_control_plane,
)
from sekisho.app.exclusive import bind_control_socket
from sekisho.app.serve import address_path
from sekisho.cli import login
from sekisho.cli.main import create_app
from sekisho.clock import FakeClock
from tests.acceptance.control_plane import CLAUDE


@dataclass
class Sekisho:
    """Runs `sekisho` in a thread; `plane`: what answers it."""

    plane: ControlPlane

    def __call__(self, words: str, *more: str, **options: Any) -> "asyncio.Future[Result]":
        return asyncio.ensure_future(
            asyncio.to_thread(CliRunner().invoke, create_app(), [*words.split(), *more], **options)
        )


@pytest.fixture
def home() -> Any:
    """A short path: the name of a Unix socket has at most 107 bytes."""
    folder = tempfile.mkdtemp(prefix="sk")
    yield Path(folder) / "home"
    shutil.rmtree(folder)


@pytest.fixture
async def sekisho(home: Path, monkeypatch) -> AsyncIterator[Sekisho]:
    """Runs `sekisho` while the control process serves here, on its socket and, for others, on a port."""
    monkeypatch.setenv("SEKISHO_HOME", str(home))
    monkeypatch.setenv("SEKISHO_LANG", "en")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.parent / "config"))
    (home / "run").mkdir(parents=True)
    settings = ControlPlaneSettings(models=lambda: (CLAUDE,), simulated=True)
    plane = await open_control_plane(home, settings, FakeClock())
    listener = bind_control_socket(home / "run" / "control.sock")
    port = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("SEKISHO_URL", f"http://127.0.0.1:{port.getsockname()[1]}")
    app = create_control_app(plane)
    serving = asyncio.ensure_future(serve_control_plane(plane, app, listener))
    gate = uvicorn.Server(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None))
    opened = asyncio.ensure_future(gate.serve(sockets=[port]))
    yield Sekisho(plane)
    gate.should_exit = True
    await opened
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    listener.close()
    port.close()
    await plane.close()


async def said(running: "asyncio.Future[Result]") -> str:
    done = await running
    assert done.exit_code == 0, done.output
    return done.stdout


async def test_roles_are_given_listed_taken_and_remembered(sekisho):
    await said(sekisho("user create alice"))
    await said(sekisho("team create red"))
    await said(sekisho("role create alice auditor"))
    await said(sekisho("role create alice team_lead --team red"))
    assert await said(sekisho("role list")) == "alice  auditor    everywhere\nalice  team_lead  red\n"
    assert await said(sekisho("role delete alice auditor --yes")) == "Deleted.\n"
    assert [one["role"] for one in json.loads(await said(sekisho("role list --json")))] == ["team_lead"]
    assert (await said(sekisho("role history"))).count("\n") == 3
    assert "audit:read, budgets:read" in await said(sekisho("role show"))
    refused = await sekisho("role create alice king")
    assert (refused.exit_code, "role" in refused.stderr) == (1, True)


async def test_somebody_with_a_token_uses_the_same_commands_within_its_rights(sekisho, monkeypatch):
    await said(sekisho("team create red --lead alice --member bob"))
    await said(sekisho("team create blue --lead charlie"))
    token = (await said(sekisho("token create alice --name laptop"))).strip()
    assert token.startswith("skt-")
    assert token not in await said(sekisho("token list"))
    monkeypatch.setenv("SEKISHO_TOKEN", token)
    assert "user:alice" in await said(sekisho("token whoami"))
    where = f"This is the Sekisho at {os.environ['SEKISHO_URL']} (SEKISHO_URL).\n"
    assert (await sekisho("key list")).stderr.count(where) == 0  # who only looks is not told
    asked = await sekisho("team delete blue", input="n\n")
    assert (asked.exit_code, asked.stderr.startswith(where)) == (1, True)
    assert (await sekisho("team delete blue --yes")).stderr.count(where) == 1
    address_path(Path(os.environ["SEKISHO_HOME"])).write_text(os.environ["SEKISHO_URL"] + "\n")
    assert where not in (await sekisho("team delete blue --yes")).stderr  # it is the one of this machine
    assert (await said(sekisho("key create --user bob --team red --model claude"))).startswith("sk-")
    refused = await sekisho("key create --user charlie --team blue")
    assert (refused.exit_code, "There is no team 'blue'" in refused.stderr) == (1, True)
    assert "blue" not in await said(sekisho("team list"))
    (own,) = json.loads(await said(sekisho("token list --json")))
    monkeypatch.delenv("SEKISHO_TOKEN")
    assert await said(sekisho("token delete --yes", own["id"])) == "Deleted.\n"
    monkeypatch.setenv("SEKISHO_TOKEN", token)
    gone = await sekisho("key list")
    assert (gone.exit_code, "revoked" in gone.stderr) == (1, True)


async def test_a_lead_is_told_in_the_own_language_that_a_wider_role_has_blocked_a_key(sekisho, monkeypatch):
    await said(sekisho("team create red --lead alice --member bob"))
    await said(sekisho("key create --alias bobs --user bob --team red"))
    await said(sekisho("key block bobs"))
    monkeypatch.setenv("SEKISHO_TOKEN", (await said(sekisho("token create alice"))).strip())
    for language, words in (("en", "blocked by a role above yours"), ("ja", "上位の権限で止められています")):
        monkeypatch.setenv("SEKISHO_LANG", language)
        refused = await sekisho("key unblock bobs")
        assert (refused.exit_code, words in refused.stderr) == (1, True), refused.stderr


async def test_somebody_is_invited_by_a_link_that_says_how_long_it_is_good(sekisho):
    await said(sekisho("user create alice"))
    invited = await sekisho("user invite alice")
    assert invited.exit_code == 0, invited.output
    assert invited.stdout.startswith(f"{os.environ['SEKISHO_URL']}/console/enter?code=")
    assert re.search(r"^This link works once, until \d{4}-\d\d-\d\d \d\d:\d\d \S+:$", invited.stderr, re.MULTILINE)


async def test_a_key_goes_by_link_to_whom_it_is_for(sekisho):
    url = "--url"
    made = await sekisho("key create --alias bob --user bob --hand-over")
    link = made.stdout.strip()
    assert "/console/hand-over/" in link
    assert "works once" in made.stderr
    assert "not handed over" in await said(sekisho("key list"))
    redeemed = await sekisho("key redeem", link)
    assert redeemed.stdout.startswith("sk-"), redeemed.output
    assert f"setup cline {url} {link.split('/console')[0]}" in redeemed.stderr
    again = await sekisho("key redeem", link)
    assert (again.exit_code, "used already" in again.stderr) == (1, True)
    rotated = (await said(sekisho("key rotate bob --grace 1h --hand-over --json"))).strip()
    assert await said(sekisho("key withdraw", json.loads(rotated)["hand_over"]["id"])) == "Withdrawn.\n"
    assert (await said(sekisho("key rotate bob --grace 0s"))).startswith("sk-")
    for nonsense in ("http://127.0.0.1:1/console/hand-over/x", "nonsense", link.replace("http", "ftp")):
        assert (await sekisho("key redeem", nonsense)).exit_code == 1


async def test_a_token_goes_by_link_too(sekisho):
    await said(sekisho("user create ci --service"))
    link = (await said(sekisho("token create ci --hand-over --link-expires 1h"))).strip()
    assert (await said(sekisho("key redeem", link))).startswith("skt-")


async def test_metadata_is_required_and_what_lacks_it_is_listed(sekisho):
    await said(sekisho("team create red"))
    assert (
        await said(sekisho("metadata require teams cost_centre --pattern [0-9]{4}")) == "teams  cost_centre  [0-9]{4}\n"
    )
    assert await said(sekisho("metadata incomplete")) == "team  red  cost_centre\n"
    refused = await sekisho("team create blue --metadata cost_centre=12")
    assert (refused.exit_code, "cost_centre" in refused.stderr) == (1, True)
    await said(sekisho("team create blue --metadata cost_centre=0815"))
    assert json.loads(await said(sekisho("metadata release teams cost_centre --json")))["teams"] == []
    assert (await sekisho("metadata require budgets x")).exit_code == 2


async def test_a_user_who_owns_something_is_deleted_with_a_successor(sekisho):
    await said(sekisho("team create red --lead alice --member bob"))
    await said(sekisho("user create ci --service --owner alice"))
    refused = await sekisho("user delete alice --yes")
    assert (refused.exit_code, "service account ci, team red" in refused.stderr) == (1, True)
    await said(sekisho("user delete alice --yes --transfer-to bob"))
    assert json.loads(await said(sekisho("team show red --json")))["leads"] == ["bob"]


async def test_a_person_signs_in_is_known_and_signs_out(sekisho, home, monkeypatch):
    await said(sekisho("user create alice"))
    loop, begun, post = asyncio.get_running_loop(), [], login._post

    def listen(*words: Any, **more: Any) -> dict[str, Any]:
        begun.append(post(*words, **more))
        return begun[-1]

    monkeypatch.setattr(login, "_post", listen)

    def approve(_wait_s: float) -> None:
        """What Alice does in her browser while the command line waits."""
        who = Principal("user:alice", "person", "alice")
        deciding = sekisho.plane.services().sign_in.devices.decide(begun[0]["user_code"], who, is_approved=True)
        asyncio.run_coroutine_threadsafe(deciding, loop).result(10)

    monkeypatch.setattr(login, "pause", approve)
    done = await sekisho("login")
    assert (done.exit_code, "Signed in as alice" in done.stderr) == (0, True), done.output
    assert done.stdout.strip().endswith(f"/console/device?code={begun[0]['user_code']}")
    kept = home.parent / "config" / "sekisho" / "credentials.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv("SEKISHO_URL")
    assert (await said(sekisho("whoami"))).startswith("alice  http://127.0.0.1:")
    monkeypatch.setenv("SEKISHO_HOME", str(home.parent / "elsewhere"))  # no Sekisho of this machine's own
    assert "alice" in await said(sekisho("user list"))
    kept.chmod(0o644)
    assert "chmod 600" in (await sekisho("whoami")).stderr
    kept.chmod(0o600)
    token = json.loads(kept.read_text())["token"]
    await said(sekisho("logout"))
    assert not kept.exists()
    assert await sekisho.plane.services().tokens.find_raw(token) is None
    assert (await sekisho("whoami")).exit_code == 1
    assert "not signed in" in (await sekisho("logout")).stderr


async def test_content_is_looked_at_searched_and_deleted(sekisho):
    assert "all is well" in await said(sekisho("content status"))
    searched = await sekisho("content search plan")
    assert (searched.exit_code, searched.stdout, searched.stderr) == (0, "", "Nothing was found.\n")
    assert await said(sekisho("content delete --user alice --yes")) == "Deleted: 0 calls.\n"
    assert (await sekisho("content delete --user alice --team red --yes")).exit_code == 1
    missing = await sekisho("content show", "0" * 26)
    assert (missing.exit_code, "no such call" in missing.stderr) == (1, True)
    await said(sekisho("team create red --content masked --content-days 9"))
    assert "masked, 9 days" in await said(sekisho("team show red"))
    assert json.loads(await said(sekisho("team update red --content default --json")))["content_level"] is None
