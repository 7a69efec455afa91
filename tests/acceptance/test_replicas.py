"""Three machines on one PostgreSQL and one Valkey, as three homes with real processes."""

import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_postgresql import ledger, rows
from tests.acceptance.test_processes import HELLO
from tests.servers import own_database, own_valkey

pytestmark = pytest.mark.xdist_group("processes and stores")
MASTER = "sk-master-of-this-test"


@dataclass
class Machines:
    """Running replicas, and the settings that a further one needs."""

    servers: list[Served]
    url: str
    settings: dict[str, str]

    def admin(self, method: str, path: str, body: object = None, at: int = 0) -> dict:
        """A write or a question to the admin API of one of them."""
        status, said = self.servers[at].ask(method, path, body, key=MASTER)
        assert status in (200, 201, 204), said
        return json.loads(said) if said else {}

    def statuses(self, key: str) -> list[int]:
        """What a call with this key gets on each of them."""
        return [server.ask("POST", "/v1/messages", HELLO, key=key)[0] for server in self.servers]


@contextmanager
def machines(folder: Path, number: int, **settings: str) -> Iterator[Machines]:
    with own_database() as url, own_valkey() as (valkey, _), ExitStack() as running:
        shared = {
            "SEKISHO_DATABASE_URL": url,
            "SEKISHO_VALKEY_URL": valkey,
            "SEKISHO_PEPPER": secrets.token_hex(32),
            "SEKISHO_MASTER_KEY": MASTER,
            "SEKISHO_REPLICATED": "true",
            "SEKISHO_JOURNAL_DURABILITY": "cluster",
            **settings,
        }
        with ThreadPoolExecutor(number) as starting:
            homes = [folder / f"m{number}" for number in range(number)]
            started = list(starting.map(lambda home: running.enter_context(served(home, **shared)), homes))
        yield Machines(started, url, shared)


def test_what_is_revoked_on_one_machine_is_revoked_on_all(tmp_path: Path) -> None:
    with machines(tmp_path, 3) as three:
        three.admin("POST", "/admin/v1/teams", {"id": "red"})
        blocked, deleted, of_team, poor = (
            three.admin("POST", "/admin/v1/keys", {"alias": name, "team_id": team})
            for name, team in (("blocked", ""), ("deleted", ""), ("of a team", "red"), ("poor", ""))
        )
        raw = [one["key"] for one in (blocked, deleted, of_team, poor)]
        for key in raw:
            wait_for(lambda: three.statuses(key) == [200] * 3, "a new key works everywhere", 10)  # noqa: B023
        assert set(ledger(three.url).values()) == {"ok"} and len(ledger(three.url)) >= 12
        three.admin("POST", f"/admin/v1/keys/{blocked['id']}/block", at=0)
        assert three.servers[0].ask("POST", "/v1/messages", HELLO, key=raw[0])[0] == 401  # at once where it was said
        three.admin("DELETE", f"/admin/v1/keys/{deleted['id']}", at=1)
        three.admin("DELETE", "/admin/v1/teams/red", at=2)
        for key in raw[:3]:
            wait_for(lambda: three.statuses(key) == [401] * 3, "a revoked key is refused everywhere", 10)  # noqa: B023
        let_somebody_leave(three)
        scope = {"kind": "key", "id": poor["id"]}
        budget = {"scope": scope, "amount_usd": "0.000000001", "window": {"kind": "day"}}
        three.admin("POST", "/admin/v1/budgets", budget, at=1)
        wait_for(lambda: three.statuses(raw[3]) == [400] * 3, "an empty budget refuses everywhere", 10)
        assert len(rows(three.url, "select id from replica")) == 3
    assert len(list(tmp_path.glob("*/replica"))) == 3


def let_somebody_leave(three: Machines) -> None:
    """The directory turns a person off at one machine: none takes the person's key any more."""
    person = three.admin("POST", "/scim/v2/Users", {"userName": "alice@example.com"}, at=1)
    key = three.admin("POST", "/admin/v1/keys", {"user_id": "alice@example.com"})["key"]
    wait_for(lambda: three.statuses(key) == [200] * 3, "a new key works everywhere", 10)
    change = {"Operations": [{"op": "replace", "value": {"active": False}}]}
    before = time.monotonic()
    three.admin("PATCH", f"/scim/v2/Users/{person['id']}", change, at=2)
    wait_for(lambda: three.statuses(key) == [401] * 3, "a leaver's key is refused everywhere", 10)
    print(f"a leaver's key is dead on three machines in {time.monotonic() - before:.3f} s")


def test_who_may_share_a_database_is_said_at_the_start(tmp_path: Path) -> None:
    with machines(tmp_path, 1) as one:
        alone = {"SEKISHO_DATABASE_URL": one.url, "SEKISHO_PEPPER": one.settings["SEKISHO_PEPPER"]}
        with pytest.raises(AssertionError, match="set replicated"), served(tmp_path / "alone", **alone):
            pass
        other = one.settings | {"SEKISHO_PEPPER": secrets.token_hex(32)}
        with pytest.raises(AssertionError, match="made with another pepper"), served(tmp_path / "other", **other):
            pass
    with pytest.raises(AssertionError) as refused, served(tmp_path / "bare", SEKISHO_REPLICATED="true"):
        pass
    for needed in ("database_url", "valkey_url", "journal_durability cluster", "pepper"):
        assert needed in str(refused.value)
