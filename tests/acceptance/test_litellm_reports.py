"""LiteLLM's spend routes: every figure equals a sum over the calls that a test keeps itself."""

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sekisho.clock import new_id
from sekisho.ledger.journal import Caller, Opened, Refused, Settled
from sekisho.ledger.journal_files import JournalWriter
from sekisho.values import Usage
from tests.acceptance.control_plane import MASTER, Running, bearer, running_control_plane, token_of

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = 4
USERS = ("alice", "bob", "charlie")
TEAMS = ("red", "blue", "")
TAGS = ((), ("x",), ("x", "y"))
MODELS = ("claude", "nova")


@dataclass
class Called:
    """One call as the test remembers it."""

    day: str
    key: str
    user: str
    team: str
    tags: tuple[str, ...]
    model: str
    usage: Usage
    cost_nanousd: int
    is_refused: bool
    is_failed: bool


@dataclass
class Books:
    """A control plane with calls in it, and the test's own list of them. `tokens`: digest by key id."""

    running: Running
    calls: list[Called] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = await self.running.gate.get(path, params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: dict[str, Any], status: int = 200) -> Any:
        answer = await self.running.gate.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def sums(self, name_of: Callable[[Called], Iterable[Hashable]]) -> dict[Hashable, Counter[str]]:
        """By brute force: what every name has, a call counting once for each of its names."""
        found: dict[Hashable, Counter[str]] = defaultdict(Counter)
        for call in self.calls:
            for name in name_of(call):
                found[name].update(
                    {
                        "cost": call.cost_nanousd,
                        "input": call.usage.prompt_tokens,
                        "output": call.usage.output_tokens,
                        "read": call.usage.cache_read_tokens,
                        "written": call.usage.cache_write_5m_tokens + call.usage.cache_write_1h_tokens,
                        "all": 1,
                        "good": not call.is_refused and not call.is_failed,
                    }
                )
        return found


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with running_control_plane(tmp_path / "home") as running:
        running.gate.headers.update(bearer(MASTER))
        books = Books(running)
        for team in TEAMS[:2]:
            await books.post("/team/new", {"team_id": team, "team_alias": team.title()})
        for user in USERS:
            for team in TEAMS:
                alias = f"{user} in {team}"
                made = await books.post("/key/generate", {"key_alias": alias, "user_id": user, "team_id": team or None})
                (listed,) = (await running.operator.get("/admin/v1/keys", params={"alias": alias})).json()["keys"]
                books.tokens[listed["id"]] = made["token"]
        write_calls(books)
        await running.plane.drain_once()
        yield books


def write_calls(books: Books) -> None:
    dice = random.Random(11)
    key_ids = list(books.tokens)
    with JournalWriter(books.running.home / "journal", "calls") as writer:
        for number in range(150):
            place = dice.randrange(len(key_ids))
            at = FIRST + timedelta(seconds=dice.randrange(DAYS * 86_400))
            at_us = int(at.timestamp()) * 1_000_000
            call = Called(
                f"{at:%Y-%m-%d}",
                key_ids[place],
                USERS[place // 3],
                TEAMS[place % 3],
                dice.choice(TAGS),
                dice.choice(MODELS),
                Usage(*(dice.randrange(10_000) for _ in range(5))),
                dice.randrange(10**9),
                is_refused=number % 10 == 0,
                is_failed=number % 10 == 1,
            )
            caller = Caller("default", call.key, call.user, call.team, call.tags)
            call_id = new_id(at_us)
            if call.is_refused:
                call.usage, call.cost_nanousd = Usage(), 0
                why = (call.model, "admit", "budget_exceeded", "No.", ())
                writer.append(Refused(call_id, at_us, at_us + 5, caller, "openai_chat", *why))
            else:
                writer.append(Opened(call_id, at_us, caller, "openai_chat", call.model, False, 9, 10**9))
                money = call.cost_nanousd
                ending = (None, "", "", True, False, call.usage, money, money, (), 1, 1, ())
                writer.append(Settled(call_id, at_us + 9, "failed" if call.is_failed else "ok", *ending))
            books.calls.append(call)


def usd(sums: Counter[str]) -> float:
    return sums["cost"] / 1_000_000_000


def assert_metrics(shown: dict[str, Any], sums: Counter[str], prefix: str = "") -> None:
    wanted = {
        "spend": usd(sums),
        "prompt_tokens": sums["input"],
        "completion_tokens": sums["output"],
        "total_tokens": sums["input"] + sums["output"],
        "cache_read_input_tokens": sums["read"],
        "cache_creation_input_tokens": sums["written"],
        "api_requests": sums["all"],
        "successful_requests": sums["good"],
        "failed_requests": sums["all"] - sums["good"],
    }
    assert {name: shown[prefix + name] for name in wanted} == wanted


RANGE = {"start_date": "2026-11-01", "end_date": "2026-11-04"}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/user/daily/activity", lambda call: [call.user]),
        ("/team/daily/activity", lambda call: [call.team]),
        ("/organization/daily/activity", lambda call: ["default"]),
        ("/tag/daily/activity", lambda call: call.tags),
    ],
)
async def test_daily_activity_equals_the_calls(books, path, names):
    if path.startswith("/tag"):
        books.calls = [call for call in books.calls if call.tags]
    answer = await books.get(path, **RANGE)
    days = books.sums(lambda call: [call.day])
    assert [one["date"] for one in answer["results"]] == sorted((str(day) for day in days), reverse=True)
    for one in answer["results"]:
        day = one["date"]
        assert_metrics(one["metrics"], days[day])
        for part, name_of in (
            ("models", lambda call: [call.model]),
            ("model_groups", lambda call: [call.model]),
            ("api_keys", lambda call: [books.tokens[call.key]]),
            ("entities", names),
            ("providers", lambda call: ["bedrock" if call.model == "claude" else "unknown"]),
        ):
            wanted = books.sums(lambda call, name_of=name_of: [(call.day, name) for name in name_of(call)])
            shown = one["breakdown"][part]
            assert shown.keys() == {name for at, name in wanted if at == day}
            for name, group in shown.items():
                assert_metrics(group["metrics"], wanted[day, name])
        by_model_and_key = books.sums(lambda call: [(call.day, call.model, books.tokens[call.key])])
        for model, group in one["breakdown"]["models"].items():
            for token, of_key in group["api_key_breakdown"].items():
                assert_metrics(of_key["metrics"], by_model_and_key[day, model, token])
    assert_metrics(answer["metadata"], books.sums(lambda _: ["all"])["all"], "total_")
    assert (answer["metadata"]["page"], answer["metadata"]["total_pages"]) == (1, 1)


async def test_daily_activity_is_paged_and_filtered(books):
    first = await books.get("/user/daily/activity", **RANGE, page_size=3)
    second = await books.get("/user/daily/activity", **RANGE, page_size=3, page=2)
    assert [len(one["results"]) for one in (first, second)] == [3, 1]
    assert [one["metadata"]["has_more"] for one in (first, second)] == [True, False]
    assert (await books.get("/user/daily/activity", **RANGE, page=99))["results"] == []

    key = books.calls[0].key
    for path, query, keeps in (
        ("/user/daily/activity", {"user_id": "bob"}, lambda call: call.user == "bob"),
        ("/user/daily/activity", {"api_key": books.tokens[key]}, lambda call: call.key == key),
        ("/user/daily/activity", {"model": "nova"}, lambda call: call.model == "nova"),
        ("/team/daily/activity", {"team_ids": "red, blue"}, lambda call: call.team in ("red", "blue")),
        ("/tag/daily/activity", {"tags": "y"}, lambda call: "y" in call.tags),
        ("/tag/daily/activity", {"tags": "x,y"}, lambda call: call.tags),
    ):
        answer = await books.get(path, **RANGE, **query)
        wanted = books.sums(lambda call, keeps=keeps: ["kept"] if keeps(call) else [])["kept"]
        assert_metrics(answer["metadata"], wanted, "total_")
    red = (await books.get("/team/daily/activity", **RANGE))["results"][0]["breakdown"]["entities"]["red"]
    assert red["metadata"] == {"team_alias": "Red"}


async def test_the_report_by_team_and_by_user_equals_the_calls(books):
    for group_by, listed, name_of in (
        ("team", "teams", lambda call: call.team),
        ("customer", "customers", lambda call: call.user),
    ):
        answer = await books.get("/global/spend/report", **RANGE, group_by=group_by)
        wanted = books.sums(lambda call, name_of=name_of: [(call.day, name_of(call))])
        parts = books.sums(
            lambda call, name_of=name_of: [(call.day, name_of(call), call.model, books.tokens[call.key])]
        )
        shown = {}
        for day in answer:
            assert day["group_by_day"].endswith("T00:00:00+00:00")
            for one in day[listed]:
                name = one["team_id"] if group_by == "team" else one["customer"]
                shown[day["group_by_day"][:10], name] = one["total_spend"]
                for part in one["metadata"]:
                    sums = parts[day["group_by_day"][:10], name, part["model"], part["api_key"]]
                    assert (part["spend"], part["total_tokens"]) == (usd(sums), sums["input"] + sums["output"])
        assert shown == {name: usd(sums) for name, sums in wanted.items()}
    teams = (await books.get("/global/spend/report", **RANGE))[0]["teams"]
    assert {one["team_name"] for one in teams} <= {"Red", "Blue", ""}


async def test_the_report_by_key_equals_the_calls(books):
    answer = await books.get("/global/spend/report", **RANGE, group_by="api_key")
    wanted = books.sums(lambda call: [books.tokens[call.key], (books.tokens[call.key], call.model)])
    assert {one["api_key"] for one in answer} == set(books.tokens.values())
    for one in answer:
        sums = wanted[one["api_key"]]
        assert (one["total_cost"], one["total_input_tokens"], one["total_output_tokens"]) == (
            usd(sums),
            sums["input"],
            sums["output"],
        )
        for part in one["model_details"]:
            assert part["total_cost"] == usd(wanted[one["api_key"], part["model"]])
    costs = [one["total_cost"] for one in answer]
    assert costs == sorted(costs, reverse=True)
    token = books.tokens[books.calls[0].key]
    (only,) = await books.get("/global/spend/report", **RANGE, api_key=token)
    assert only["total_cost"] == usd(wanted[token])
    bob = await books.get("/global/spend/report", **RANGE, group_by="api_key", internal_user_id="bob")
    assert {one["api_key"] for one in bob} == {books.tokens[call.key] for call in books.calls if call.user == "bob"}


async def test_the_sums_over_all_time_equal_the_calls(books):
    keys = books.sums(lambda call: [books.tokens[call.key]])
    users = books.sums(lambda call: [call.user])
    tags = books.sums(lambda call: call.tags)
    shown = await books.get("/spend/keys")
    assert [one["spend"] for one in shown] == sorted((one["spend"] for one in shown), reverse=True)
    assert {one["token"]: one["spend"] for one in shown} == {name: usd(sums) for name, sums in keys.items()}
    assert {one["user_id"]: one["spend"] for one in await books.get("/spend/users")} == {
        name: usd(sums) for name, sums in users.items()
    }
    assert [one["user_id"] for one in await books.get("/spend/users", user_id="bob")] == ["bob"]
    await books.get("/spend/users", 404, user_id="nobody")
    assert await books.get("/spend/tags") == [
        {"individual_request_tag": name, "log_count": tags[name]["all"], "total_spend": usd(tags[name])}
        for name in sorted(tags, key=lambda name: -tags[name]["cost"])
    ]
    total = sum(call.cost_nanousd for call in books.calls) / 1_000_000_000
    assert await books.get("/global/spend") == {"spend": total, "max_budget": None}
    assert (await books.get("/organization/list"))[0]["spend"] == total
    info = await books.get("/organization/info", organization_id="default")
    assert [one["user_id"] for one in info["members"]] == ["alice", "bob", "charlie"]
    await books.get("/organization/info", 404, organization_id="another")


async def test_a_spend_is_shown_within_the_window_of_a_budget(books):
    token = books.tokens[books.calls[1].key]
    await books.post("/key/update", {"key": token, "max_budget": 500, "budget_duration": "1d"})
    (one,) = [one for one in await books.get("/spend/keys") if one["token"] == token]
    assert one == (await books.get("/key/info", key=token))["info"]


@pytest.mark.parametrize(
    "path",
    [
        "/user/daily/activity",
        "/user/daily/activity?start_date=2026-11-01",
        "/user/daily/activity?start_date=2026-11-02&end_date=2026-11-01",
        "/user/daily/activity?start_date=0001-01-01&end_date=9999-12-30",
        "/user/daily/activity?start_date=2026-11-01&end_date=2026-11-04&page=0",
        "/user/daily/activity?start_date=2026-11-01&end_date=2026-11-04&page_size=1001",
        "/team/daily/activity?start_date=2026-11-01&end_date=2026-11-04&exclude_team_ids=red",
        "/global/spend/report",
        "/global/spend/report?start_date=x&end_date=y",
        "/global/spend/report?start_date=2026-11-02&end_date=2026-11-01",
        "/global/spend/report?start_date=2026-11-01&end_date=2026-11-04&group_by=planet",
        "/global/spend/report?start_date=2026-11-01&end_date=2026-11-04&customer_id=a&internal_user_id=b",
        "/spend/tags?start_date=x",
        "/spend/keys?nonsense=1",
        "/organization/info",
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(tmp_path, path):
    async with running_control_plane(tmp_path / "home") as running:
        answer = await running.gate.get(path, headers=bearer(MASTER))
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error"), answer.text
        assert (await running.gate.get(path)).status_code == 401


async def test_only_who_may_see_everybody_gets_reports_and_unknown_keys_are_404(books):
    key = (await books.post("/key/generate", {}))["key"]
    for path in ("/spend/keys", "/global/spend", "/global/spend/report", "/user/daily/activity", "/organization/list"):
        answer = await books.running.gate.get(path, headers=bearer(key), params=RANGE if "daily" in path else {})
        assert answer.status_code == 403
    await books.get("/user/daily/activity", 404, **RANGE, api_key="sk-unknown-key-0000000000")
    await books.get("/organization/daily/activity", 404, **RANGE, organization_ids="another")


async def test_a_key_is_regenerated_with_a_grace(tmp_path):
    async with running_control_plane(tmp_path / "home") as running:
        books = Books(running)
        running.gate.headers.update(bearer(MASTER))
        made = await books.post("/key/generate", {"key_alias": "alice", "max_budget": 5})
        new = await books.post("/key/regenerate", {"key": made["key"], "grace_period": "1h", "duration": "30d"})
        assert new["key"] != made["key"]
        assert (new["token"], new["key_alias"], new["max_budget"]) == (token_of(running.home, new["key"]), "alice", 5)
        assert new["expires"] is not None
        old = await running.gate.get("/key/info", headers=bearer(made["key"]))
        assert old.status_code == 200
        running.clock.advance(3601)
        old = await running.gate.get("/key/info", headers=bearer(made["key"]))
        assert old.status_code == 401
        again = await books.post(f"/key/{new['token']}/regenerate", {"new_key": "sk-brought-along-0123456789"})
        assert again["key"] == "sk-brought-along-0123456789"
        assert (await running.gate.get("/key/info", headers=bearer(new["key"]))).status_code == 401
        bare = await running.gate.post(f"/key/{again['token']}/regenerate")
        assert bare.status_code == 200
        token = bare.json()["token"]
        for path, body, status in (
            ("/key/regenerate", {}, 400),
            ("/key/regenerate", {"key": "sk-unknown-0000000000000000"}, 404),
            ("/key/regenerate", {"key": token, "grace_period": "soon"}, 400),
            ("/key/regenerate", {"key": token, "grace_period": "99999w"}, 400),
            ("/key/regenerate", {"key": token, "duration": "-5"}, 400),
            ("/key/regenerate", {"key": token, "new_key": "short"}, 400),
            ("/key/regenerate", {"key": token, "max_budget": 7}, 400),
            (f"/key/{token}/regenerate", {"key": "sk-another-00000000000000000"}, 400),
        ):
            await books.post(path, body, status)
        assert (await books.get("/key/info", key=token))["info"]["token"] == token


async def test_what_counts_against_a_key_is_set_back_and_kept_on_record(tmp_path):
    async with running_control_plane(tmp_path / "home") as running:
        books = Books(running)
        running.gate.headers.update(bearer(MASTER))
        made = await books.post("/key/generate", {"max_budget": 5, "budget_duration": "1d"})
        listed = (await running.operator.get("/admin/v1/keys")).json()["keys"][0]
        await running.call_of(listed, cost_nanousd=3_000_000_000)
        path = f"/key/{made['token']}/reset_spend"
        lower = await books.post(path, {"reset_to": 1.25})
        assert {name: lower[name] for name in ("key_hash", "spend", "previous_spend", "max_budget")} == {
            "key_hash": made["token"],
            "spend": 1.25,
            "previous_spend": 3.0,
            "max_budget": 5.0,
        }
        wrongs: tuple[Any, ...] = (2, -1, "NaN", "Infinity", None, [], 1e30, "x")
        for wrong in wrongs:
            await books.post(path, {"reset_to": wrong}, 400)
        await books.post(path, {}, 400)
        nothing = await books.post(path, {"reset_to": 0})
        assert (nothing["spend"], nothing["previous_spend"]) == (0.0, 1.25)
        same = await books.post(path, {"reset_to": 0})
        assert same["previous_spend"] == 0.0
        log = (await running.operator.get("/admin/v1/audit", params={"kind": "budget"})).json()["entries"]
        assert [one["action"] for one in log] == ["budget.reset", "budget.credit", "budget.create"]
        free = await books.post("/key/generate", {})
        await books.post(f"/key/{free['token']}/reset_spend", {"reset_to": 0}, 400)


async def test_a_price_is_calculated_from_counted_tokens(tmp_path):
    async with running_control_plane(tmp_path / "home") as running:
        books = Books(running)
        running.gate.headers.update(bearer(MASTER))
        usage = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 400}}
        answer = {"model": "claude", "usage": usage}
        refused = await books.post("/spend/calculate", {"completion_response": answer}, 400)
        assert "no known price" in refused["error"]["message"]
        wrongs: tuple[dict[str, Any], ...] = (
            {},
            {"model": "unknown", "completion_response": answer},
            {"model": "claude", "messages": [{"role": "user", "content": "hi"}]},
            {"completion_response": answer | {"usage": usage | {"prompt_tokens": 399}}},
            {"completion_response": answer | {"usage": usage | {"completion_tokens": -1}}},
            {"completion_response": answer | {"usage": usage | {"completion_tokens": 1e300}}},
            {"model": "claude", "completion_response": answer, "mode": "batch"},
        )
        for wrong in wrongs:
            await books.post("/spend/calculate", wrong, 400)
