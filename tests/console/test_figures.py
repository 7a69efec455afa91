"""Every figure of the console, its exports and the admin API is that of the calls, added up apart from the product."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from html import unescape
from itertools import combinations, product
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from sekisho.clock import id_text
from sekisho.web.console.language import Words
from tests.console.books import Books, Fact, cost, first_of, groups, known_books, month_end, usd
from tests.console.visitors import Visitor, to_the_cent
from tests.thorough import examples

pytestmark = [pytest.mark.xdist_group("figures"), pytest.mark.asyncio(loop_scope="module")]

# the zone of the books, the local time of now: on the day when summer time ends, on a last and on a first of a month
PLACES = (
    ("Asia/Tokyo", "2026-11-20T15:43:00"),
    ("America/New_York", "2026-11-01T23:30:00"),
    ("Asia/Kolkata", "2026-03-31T23:59:00"),
    ("UTC", "2026-11-10T00:00:01"),
)
WORDS = Words("en", ZoneInfo("UTC"))
DIMENSIONS = ("team", "user", "key", "tag", "model", "agent", "mode", "repository")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PLACES[: examples(2)], ids=lambda place: place[0])
async def books(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Books]:
    zone, now = request.param
    async with known_books(tmp_path_factory.mktemp("books"), zone, len(zone), now) as opened:
        yield opened


def charts(html: str) -> list[dict[str, Any]]:
    return [json.loads(unescape(text)) for text in re.findall(r"data-chart='([^']*)'", html)]


def nano(dollars: float) -> int:
    return round(dollars * 1e9)


async def drilled(visitor: Visitor, address: str) -> int:
    """What the calls behind an address of a page cost, by their export."""
    rows = await visitor.rows(unescape(address).removeprefix("/console/") + "&format=csv")
    return int(sum((Decimal(row["cost_usd"] or 0) for row in rows), Decimal()).scaleb(9))


def months_of(books: Books) -> list[date]:
    found = sorted({first_of(books.day(one.at), "month") for one in books.facts})
    return [(found[0] - timedelta(days=1)).replace(day=1), *found]  # before them an empty one


async def test_each_month_of_the_overview_is_that_of_the_calls(books: Books) -> None:
    manager = await books.visitor("mallory")
    for month in months_of(books):
        last = month_end(month)
        facts = books.of(month, last)
        before = books.of((month - timedelta(days=1)).replace(day=1), month - timedelta(days=1))
        html = await manager.html(f"overview?month={month:%Y-%m}")
        rows = await manager.rows(f"overview?month={month:%Y-%m}&format=csv")
        (org,) = [row for row in rows if row["scope"] == "org"]
        assert Decimal(org["spent_usd"]) == usd(cost(facts))
        for scope, key in (("team", "{0.team}"), ("member", "{0.team}/{0.user}"), ("key", "{0.key}")):
            wanted = {name: cost(some) for name, some in groups((key.format(one), one) for one in facts).items()}
            shown = {row["id"]: int(Decimal(row["spent_usd"]).scaleb(9)) for row in rows if row["scope"] == scope}
            assert {name: n for name, n in shown.items() if n} == {name: n for name, n in wanted.items() if n}, scope
        found = charts(html)
        if not facts:
            assert not found
            continue
        (chart,) = found
        days = [month + timedelta(days=number) for number in range((last - month).days + 1)]
        assert chart["dates"] == [day.isoformat() for day in days]
        known = [day for day in days if day <= books.today]
        daily = [cost(one for one in facts if books.day(one.at) == day) for day in known]
        assert [nano(one) for one in chart["daily"]] == daily
        assert [nano(one) for one in chart["spent"]] == [sum(daily[: number + 1]) for number in range(len(daily))]
        ended = (month - timedelta(days=1)).day
        sums = [cost(one for one in before if books.day(one.at).day <= day) for day in range(1, ended + 1)]
        assert [nano(one) for one in chart["before"]] == (sums[: len(days)] if before else [])
        days_of = await manager.rows(f"overview?month={month:%Y-%m}&format=csv&of=days")
        assert [row["day"] for row in days_of] == chart["dates"]
        for name, line in (("cost_usd", "daily"), ("sum_usd", "spent"), ("sum_of_month_before_usd", "before")):
            assert [int(Decimal(row[name]).scaleb(9)) for row in days_of if row[name]] == [nano(x) for x in chart[line]]
        day = known[len(known) // 2]
        assert await drilled(manager, chart["open"].replace("{day}", day.isoformat())) == daily[len(known) // 2]


async def test_each_slice_of_the_breakdown_is_that_of_its_calls(books: Books) -> None:
    manager = await books.visitor("mallory")
    last = books.today
    for number, by in enumerate(DIMENSIONS):
        period = ("day", "week", "month")[number % 3]
        first = first_of(last - timedelta(days=80), period)
        span = f"since={first}&until={last}"
        facts = books.of(first, last)
        html = await manager.html(f"breakdown?by={by}&period={period}&{span}")
        rows = await manager.rows(f"breakdown?by={by}&period={period}&{span}&format=csv")
        wanted = groups(((first_of(books.day(one.at), period), name), one) for one in facts for name in one.values(by))
        assert {
            (row["period"], row["value"].removeprefix("'")): int(Decimal(row["cost_usd"]).scaleb(9)) for row in rows
        } == {(day.isoformat(), name): cost(some) for (day, name), some in wanted.items()}
        for row in rows:
            some = wanted[date.fromisoformat(row["period"]), row["value"].removeprefix("'")]
            assert int(row["calls"]) == sum(one.end != "refused" for one in some)
            assert int(row["refused"]) == sum(one.end == "refused" for one in some)
            assert int(row["failed"]) == sum(one.end in ("failed", "interrupted") for one in some)
            for name in ("input_tokens", "cache_read_tokens", "cache_write_1h_tokens", "output_tokens"):
                assert int(row[name]) == sum(getattr(one.usage, name) for one in some), name
        (chart,) = charts(html)
        starts = sorted({first_of(first + timedelta(days=n), period) for n in range((last - first).days + 1)})
        assert chart["dates"] == [day.isoformat() for day in starts]
        bars = [sum(nano(one["values"][at]) for one in chart["series"]) for at in range(len(starts))]
        assert bars == [sum(cost(some) for (day, _), some in wanted.items() if day == start) for start in starts]
        total = WORDS.sum_cost(cost(facts))
        assert f"Total {total}" in html
        links = re.findall(r'<tr><td><a href="(/console/calls[^"]*)">.*?<td class="num b">([^<]*)</td>', html)
        sums = {
            name: cost(some) for name, some in groups((name, one) for one in facts for name in one.values(by)).items()
        }
        assert len(links) == len([name for name in sums if name or by in ("mode", "repository")])
        for address, shown in links[:2] + links[-1:]:
            name = parse_qs(urlsplit(unescape(address)).query)[by][0]
            assert WORDS.sum_cost(sums[name if name != "-" else ""]) == unescape(shown)
            assert await drilled(manager, address) == sums[name if name != "-" else ""], address
        at = max(range(len(starts)), key=lambda at: bars[at])
        address = chart["open"].replace("{day}", chart["dates"][at], 1).replace("{day}", chart["ends"][at], 1)
        assert by == "tag" or await drilled(manager, address) == bars[at]


FILTERS = (
    {"team": "red"},
    {"tag": "a b", "model": "nova-pro"},
    {"tag": "&x=1"},
    {"user": "dora", "team": "blue"},
    {"mode": "plan", "agent": "cline"},
    {"repository": "shop & co"},
    {"repository": "", "mode": ""},
)


@pytest.mark.parametrize("where", FILTERS, ids=str)
async def test_a_filtered_breakdown_is_that_of_the_calls_that_fit(books: Books, where: dict[str, str]) -> None:
    manager = await books.visitor("mallory")
    last = books.today
    first = last - timedelta(days=45)
    asked = urlencode({name: value or "-" for name, value in where.items()})
    facts = books.of(first, last, **where)
    assert facts
    for by in ("user", "mode"):
        address = f"breakdown?by={by}&period=day&since={first}&until={last}&{asked}"
        rows = await manager.rows(f"{address}&format=csv")
        wanted = groups(((str(books.day(one.at)), name), one) for one in facts for name in one.values(by))
        assert {(row["period"], row["value"]): int(Decimal(row["cost_usd"]).scaleb(9)) for row in rows} == {
            place: cost(some) for place, some in wanted.items()
        }
        html = await manager.html(address)
        (chart,) = charts(html)
        day = max(
            {day for day, _ in wanted}, key=lambda day: sum(cost(x) for (at, _), x in wanted.items() if at == day)
        )
        assert await drilled(manager, chart["open"].replace("{day}", day)) == sum(
            cost(some) for (at, _), some in wanted.items() if at == day
        )
        for address in re.findall(r'<tr><td><a href="(/console/calls[^"]*)">', html)[:2]:
            name = parse_qs(urlsplit(unescape(address)).query)[by][0]
            some = [one for one in facts if (name if name != "-" else "") in one.values(by)]
            assert await drilled(manager, address) == cost(some)


@pytest.mark.parametrize("zone_name", [place[0] for place in PLACES])
async def test_the_api_adds_up_the_same_calls_in_any_time_zone(books: Books, zone_name: str) -> None:
    zone = ZoneInfo(zone_name)
    last = datetime.fromtimestamp(books.now // 10**6, zone).date()
    first = last - timedelta(days=60)

    def day(one: Fact) -> date:
        return datetime.fromtimestamp(one.at // 10**6, zone).date()

    facts = [one for one in books.ended if first <= day(one) <= last]
    for number, by in enumerate([(), *combinations(DIMENSIONS, 2)][:: 29 // examples(6) or 1]):
        period = ("day", "week", "month")[number % 3]
        query = {"by": by, "period": period, "since": str(first), "until": str(last), "time_zone": zone_name}
        report = await books.api("spend", **query, limit=10_000)
        wanted = groups(
            (place, one)
            for one in facts
            for place in product([max(first, first_of(day(one), period))], *(one.values(name) for name in by))
        )
        names = ["period", *(f"{name}_id" if name in ("team", "user", "key") else name for name in by)]
        assert {tuple(row[name] for name in names): row["cost_nanousd"] for row in report["rows"]} == {
            (at.isoformat(), *rest): cost(some) for (at, *rest), some in wanted.items()
        }
        assert report["total"]["cost_nanousd"] == cost(facts)
        assert report["total"]["calls"] == sum(one.end != "refused" for one in facts)
        answer = await books.operator.get("/admin/v1/spend", params={**query, "format": "csv"})
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        assert [int(line["cost_nanousd"]) for line in lines] == [row["cost_nanousd"] for row in report["rows"]]
        assert [Decimal(line["cost_usd"]) for line in lines] == [usd(row["cost_nanousd"]) for row in report["rows"]]


async def test_a_day_of_the_calls_and_tasks_in_the_api_is_one_of_the_books(books: Books) -> None:
    for day in (books.today, first_of(books.today, "month")):
        calls = (await books.api("calls", since=str(day), until=str(day), limit=1000))["calls"]
        facts = [one for one in books.facts if books.day(one.at) == day]
        assert {one["id"]: one["cost_nanousd"] for one in calls} == {id_text(one.id): one.cost for one in facts}
        tasks = (await books.api("tasks", since=str(day), until=str(day), limit=1000))["tasks"]
        assert {one["id"] for one in tasks} >= {id_text(one.task) for one in facts if one.task}
        beside = (await books.api("tasks", since=str(day), until=str(day), mode="", limit=1000))["tasks"]
        assert {one["id"] for one in beside} >= {
            id_text(one.task) for one in facts if one.task and not one.mode and one.end in ("ok", "failed")
        }


async def test_the_keys_and_the_live_page_say_what_was_spent(books: Books) -> None:
    manager = await books.visitor()
    month = groups((one.key, one) for one in books.of(books.today.replace(day=1), books.today))
    rows = await manager.rows("keys?format=csv")
    assert {row["id"]: int(row["spent_nanousd_this_month"]) for row in rows} == {
        row["id"]: cost(month.get(row["id"], [])) for row in rows
    }
    assert WORDS.sum_cost(cost(books.of(books.today, books.today))) in await manager.page("live")
    running = [one for one in books.facts if one.end == "running"]
    assert f"Up to {WORDS.sum_cost(sum(one.reserved for one in running))}" in await manager.page("live") or running


async def test_tasks_cost_what_their_calls_cost(books: Books) -> None:
    manager = await books.visitor("mallory")
    tasks = groups((id_text(one.task), one) for one in books.facts if one.task)
    rows = await manager.rows("tasks?format=csv")
    assert {row["task_id"]: int(row["cost_nanousd"]) for row in rows} == {name: cost(x) for name, x in tasks.items()}
    dearest = await manager.rows("tasks?sort=cost&format=csv")
    assert [int(row["cost_nanousd"]) for row in dearest] == sorted(map(cost, tasks.values()), reverse=True)
    for name in list(tasks)[:3]:
        page = await manager.page(f"tasks/{name}")
        assert WORDS.call_cost(cost(tasks[name])) in page


async def test_a_list_of_tasks_has_those_with_a_call_on_these_days_of_the_books(books: Books) -> None:
    manager = await books.visitor("mallory")
    tasks = groups((id_text(one.task), one) for one in books.ended if one.task)
    spans = {name: (min(one.at for one in some), max(one.ended for one in some)) for name, some in tasks.items()}
    for day in [first_of(books.today, "month"), books.today - timedelta(days=19)]:
        rows = await manager.rows(f"tasks?since={day}&until={day}&format=csv")
        since, until = books.start(day), books.start(day + timedelta(days=1))
        wanted = {name for name, (first, last) in spans.items() if last >= since and first < until}
        assert {row["task_id"] for row in rows if row["calls"] != "0" or row["refused"] != "0"} == wanted


async def test_a_team_in_the_overview_leads_to_its_own_calls_in_every_month(books: Books) -> None:
    manager = await books.visitor("mallory")
    month = first_of(books.today, "month")
    for number in range(3):
        facts = books.of(month, month_end(month), team="red")
        html = unescape(await manager.html(f"overview?month={month:%Y-%m}&team=red"))
        (chart,) = charts(html)
        assert [nano(one) for one in chart["spent"]][-1] == cost(facts)
        days = [address for address in re.findall(r'<tr><td><a href="(/console/calls[^"]*)">', html)]
        days += [chart["open"].replace("{day}", day) for day in chart["dates"][:3]]
        assert [await drilled(manager, address) for address in days] == [
            cost(books.of(day, day, team="red")) for day in map(first_day_of, days)
        ]
        (slices,) = set(re.findall(r'href="(/console/breakdown[^"]*)&by=model"', html))
        rows = await manager.rows(f"{slices.removeprefix('/console/')}&by=agent&format=csv")
        assert sum(Decimal(row["cost_usd"]) for row in rows) == usd(cost(facts))
        before, *behind = re.findall(r'href="/console/overview\?(month=[^"]*)"', html)[:2]
        month = (month - timedelta(days=1)).replace(day=1)
        assert before == f"month={month:%Y-%m}&team=red"
        assert number == 0 or "&team=red" in behind[0]


def first_day_of(address: str) -> date:
    return date.fromisoformat(parse_qs(urlsplit(address).query)["since"][0])


async def test_the_rows_of_a_panel_add_up_to_its_month_or_say_why_not(books: Books) -> None:
    manager = await books.visitor("mallory")
    for month in months_of(books)[1:]:
        facts = books.of(month, month_end(month))
        html = unescape(await manager.html(f"overview?month={month:%Y-%m}"))
        panel = html.partition(f"<h2>{WORDS('overview.by.model')}</h2>")[2].partition("</section>")[0]
        models = sorted((cost(some) for some in groups((one.model, one) for one in facts).values()), reverse=True)
        rows = [*models[:6], *([sum(models[6:])] if models[6:] else [])]
        assert re.findall(r"</(?:a|span)><span>([^<]*)</span></p>", panel) == [WORDS.sum_cost(one) for one in rows]
        assert ("Others (1)" in panel) == (len(models) == 7)
        adds_up = sum(to_the_cent(usd(one)) for one in rows) == to_the_cent(usd(cost(facts)))
        assert ("Rows are rounded" in panel) == (not adds_up)


async def test_a_developer_sees_the_own_calls_alone(books: Books) -> None:
    dora = await books.visitor("dora", "developer")
    month = books.today.replace(day=1)
    facts = books.of(month, books.today, user="dora")
    html = await dora.html("me")
    (chart,) = charts(html)
    days = [month + timedelta(days=number) for number in range((books.today - month).days + 1)]
    assert chart["dates"] == [day.isoformat() for day in days]
    assert [nano(one) for one in chart["values"]] == [cost(x for x in facts if books.day(x.at) == day) for day in days]
    assert f"{WORDS.sum_cost(cost(facts))} this month" in html
    rows = await dora.rows("me?format=csv")
    assert [(row["day"], Decimal(row["cost_usd"])) for row in rows] == [
        (day, usd(nano(value))) for day, value in zip(chart["dates"], chart["values"], strict=True)
    ]
    assert await drilled(dora, chart["open"].replace("{day}", chart["dates"][-1])) == nano(chart["values"][-1])


async def test_a_lead_sees_the_own_team_alone(books: Books) -> None:
    lead = await books.visitor("alice", "team_lead")
    for month in months_of(books):
        facts = books.of(month, month_end(month), team="red")
        rows = await lead.rows(f"team?month={month:%Y-%m}&format=csv")
        assert sum((Decimal(row["spent_usd"]) for row in rows if row["scope"] == "team"), Decimal()) == usd(cost(facts))
        users = {name for name, some in groups((one.user, one) for one in facts).items() if cost(some)}
        spent = {row["id"].partition("/")[2] for row in rows if row["scope"] == "member" and row["spent_usd"] != "0"}
        assert spent == users
    first = books.today - timedelta(days=45)
    rows = await lead.rows(f"breakdown?by=user&period=day&since={first}&until={books.today}&format=csv")
    assert sum(Decimal(row["cost_usd"]) for row in rows) == usd(cost(books.of(first, books.today, team="red")))


def percentile(values: list[int], percent: int) -> int:
    """The least of the values that so many per cent of them do not pass."""
    return next(one for one in sorted(values) if 100 * sum(x <= one for x in values) >= percent * len(values))


async def test_people_against_the_band_and_yen_by_the_rate_of_the_day(books: Books) -> None:
    manager = await books.visitor("mallory")
    months = months_of(books)
    rates = [(months[2] + timedelta(days=9), "150.50"), (books.today, "163.2"), (books.today + timedelta(days=1), "1")]
    rates.append((month_end(months[3]), "154.999999"))
    asked = [{"day": str(day), "jpy_per_usd": rate} for day, rate in rates]
    await books.send("PUT", "settings/reporting", rates=asked, band_low_usd="20", band_high_usd="60")
    for month in months[1:-1]:
        facts = books.of(month, month_end(month))
        people = [cost(some) for name, some in groups((one.user, one) for one in facts).items() if name]
        page = await manager.page(f"overview?month={month:%Y-%m}")
        for percent in (50, 90):
            assert f"p{percent} {WORDS.dollars(percentile(people, percent))} " in page
        low, high = 20 * 10**9, 60 * 10**9
        counts = [sum(low <= x <= high for x in people), sum(x < low for x in people), sum(x > high for x in people)]
        assert "{} are within the band, {} below, {} above".format(*counts) in page
        rate = max((one for one in rates if one[0] <= month_end(month)), default=None)
        yen = re.findall(r"¥([\d,]+)", page)
        if rate is None:
            assert not yen
            continue
        exact = usd(cost(facts)) * Decimal(rate[1])
        assert yen[0].replace(",", "") == str(exact.quantize(Decimal(1), "ROUND_HALF_UP"))
        assert f"1 USD = {rate[1]} JPY (own rate of {WORDS.day(str(rate[0]))})" in page
    assert "1 USD = 163.2 JPY" in await manager.page("overview")


async def test_an_export_has_every_row_however_many_there_are(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sekisho.web.console.calls_list.EXPORT_ROWS", 150)
    monkeypatch.setattr("sekisho.web.console.tasks.EXPORT_TASKS", 20)
    monkeypatch.setattr("sekisho.web.console.records.EXPORT_ROWS", 7)
    manager, auditor = await books.visitor("mallory"), await books.visitor()
    rows = await manager.rows("calls?format=csv")
    assert [row["call_id"] for row in rows] == [id_text(one.id) for one in reversed(books.facts)]
    assert sum(Decimal(row["cost_usd"]) for row in rows) == usd(cost(books.facts))
    tasks = await manager.rows("tasks?format=csv")
    assert len(tasks) == len({row["task_id"] for row in tasks}) == len({one.task for one in books.facts if one.task})
    audited = [int(row["sequence"]) for row in await auditor.rows("audit?format=csv")]
    assert audited == list(range(len(audited), 0, -1))
    assert len(audited) > 14


def held(books: Books, **where: str) -> int:
    """What the open calls that fit can cost at most."""
    return sum(
        one.reserved
        for one in books.facts
        if one.end == "running" and all(value in one.values(name) for name, value in where.items())
    )


async def test_budgets_say_what_is_left_with_increases_and_what_was_given_back(books: Books) -> None:
    manager = await books.visitor("mallory")
    month, last = first_of(books.today, "month"), month_end(books.today)
    key = books.keys["charlie/blue"]
    scopes: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
        ("org", "default"): ("2000", {}),
        ("team", "red"): ("900.55", {"team": "red"}),
        ("team", "blue"): ("800", {"team": "blue"}),
        ("member", "red/alice"): ("300", {"team": "red", "user": "alice"}),
        ("key", key): ("70.000000001", {"key": key}),
    }
    made = {}
    for (kind, name), (amount, _) in scopes.items():
        body = {"scope": {"kind": kind, "id": name}, "amount_usd": amount, "window": {"kind": "month"}}
        made[kind, name] = (await books.send("POST", "budgets", **body))["id"]
    await books.send("PATCH", f"budgets/{made['team', 'red']}", increase={"amount_usd": "20.005", "until": "3d"})
    await books.send("POST", f"budgets/{made['team', 'red']}/credits", amount_usd="1.5", reason="a fault of ours")
    await books.send("POST", f"budgets/{made['member', 'red/alice']}/reset", reason="a fresh start")
    rows = {(row["scope"], row["id"]): row for row in await manager.rows("overview?format=csv")}
    told = {one["id"]: one for one in (await books.api("budgets", limit=100))["budgets"]}
    page = await manager.page("budgets")
    for scope, (amount, where) in scopes.items():
        spent, reserved = cost(books.of(month, last, **where)), held(books, **where)
        more = {("team", "red"): Decimal("21.505"), ("member", "red/alice"): usd(spent)}.get(scope, Decimal())
        row, budget = rows[scope], told[made[scope]]
        assert Decimal(row["budget_usd"]) == Decimal(amount) + more
        assert Decimal(row["spent_usd"]) == Decimal(budget["spent_usd"]) == usd(spent)
        assert Decimal(row["reserved_usd"]) == usd(reserved)
        assert Decimal(row["room_usd"]) == Decimal(amount) + more - usd(spent) - usd(reserved)
        assert Decimal(budget["credit_usd"]) == (Decimal("1.5") if scope == ("team", "red") else more)
        assert WORDS.sum_cost(spent) in page
    left = (last - books.today).days + 1
    overview = await manager.page("overview")
    assert f"{left} day{'s' * (left > 1)} left" in overview
    assert WORDS.sum_cost(int((Decimal(rows["org", "default"]["room_usd"])).scaleb(9))) in overview
    assert f"{WORDS.percent(cost(books.of(month, last)), 2000 * 10**9)} of the budget" in overview
    for one in made.values():
        await books.send("DELETE", f"budgets/{one}")


async def test_rows_add_up_also_where_a_budget_counts_more_than_its_row(books: Books) -> None:
    """A person in two teams has one budget for both; a team's month is that of another time zone; a key has no user."""
    manager = await books.visitor("mallory")
    month, last = first_of(books.today, "month"), month_end(books.today)
    person = {"kind": "user", "id": "dora"}
    made = [await books.send("POST", "budgets", scope=person, amount_usd="400", window={"kind": "month"})]
    window = {"kind": "month", "time_zone": "Pacific/Kiritimati"}
    made.append(
        await books.send("POST", "budgets", scope={"kind": "team", "id": "blue"}, amount_usd="900", window=window)
    )
    rows = await manager.rows("overview?format=csv")
    for level, above in (("member", "team"), ("team", "org"), ("key", "org")):
        for column in ("spent_usd", "reserved_usd"):
            below = sum(Decimal(row[column] or 0) for row in rows if row["scope"] == level)
            assert below == sum(Decimal(row[column] or 0) for row in rows if row["scope"] == above), (level, column)
    both, parts = cost(books.of(month, last, user="dora")), []
    for team in ("red", "blue"):
        (row,) = [one for one in rows if (one["scope"], one["id"]) == ("member", f"{team}/dora")]
        parts.append(Decimal(row["spent_usd"]))
        assert parts[-1] == usd(cost(books.of(month, last, user="dora", team=team)))
        assert Decimal(row["room_usd"]) == 400 - usd(both) - usd(held(books, user="dora"))
    assert sum(parts) == usd(both)
    (blue,) = [one for one in rows if (one["scope"], one["id"]) == ("team", "blue")]
    assert Decimal(blue["spent_usd"]) == usd(cost(books.of(month, last, team="blue")))
    before = await manager.rows(f"overview?month={month - timedelta(days=1):%Y-%m}&format=csv")
    assert {row["budget_usd"] for row in before} == {""}  # they were made this month
    for one in made:
        await books.send("DELETE", f"budgets/{one['id']}")


async def test_the_calls_behind_a_cut_period_are_those_of_the_bar(books: Books) -> None:
    """The first week begins on the day asked for, the last one ends there."""
    manager = await books.visitor("mallory")
    since, until = books.today - timedelta(days=24), books.today - timedelta(days=2)
    (chart,) = charts(await manager.html(f"breakdown?by=team&period=week&since={since}&until={until}"))
    for place, (first, last) in enumerate(zip(chart["dates"], chart["ends"], strict=True)):
        address = chart["open"].replace("{day}", first, 1).replace("{day}", last, 1)
        assert await drilled(manager, address) == sum(nano(one["values"][place]) for one in chart["series"])
    assert (chart["dates"][0], chart["ends"][-1]) == (str(since), str(until))


@pytest.mark.parametrize("span", ["since=0001-01-01&until=0002-01-01", "since=9999-12-30&until=9999-12-31", "since=x"])
async def test_days_out_of_reach_are_days_without_calls(books: Books, span: str) -> None:
    manager = await books.visitor("mallory")
    assert await manager.status(f"breakdown?{span}") == 200


async def test_links_are_of_the_days_that_are_shown(books: Books) -> None:
    """More days than a chart has are cut, and so are the days of its links."""
    manager = await books.visitor("mallory")
    html = unescape(await manager.html(f"breakdown?by=team&since=2001-01-01&until={books.today}"))
    links = re.findall(r'href="(/console/(?:calls|tasks|breakdown)\?[^"]*)"', html)
    assert len(links) > 10
    assert "2001-01-01" not in " ".join(link for link in links if not link.endswith("format=csv"))


async def test_what_is_left_of_a_daily_limit_is_that_of_its_scope(books: Books) -> None:
    dora = await books.visitor("dora", "developer")
    rooms = []
    for kind, name, where in (("member", "red/dora", {"team": "red"}), ("user", "dora", {})):
        body = {"scope": {"kind": kind, "id": name}, "amount_usd": "50", "window": {"kind": "day"}}
        made = await books.send("POST", "budgets", **body)
        await books.send("PATCH", f"budgets/{made['id']}", increase={"amount_usd": "3", "until": "3d"})
        mine: dict[str, str] = {"user": "dora", **where}
        spent = cost(books.of(books.today, books.today, **mine))
        rooms.append(max(0, 53 * 10**9 - spent - held(books, **mine)))
        page = await dora.html("me")
        assert f"{WORDS.sum_cost(min(rooms))} left of the daily limit" in page
        assert charts(page)[0]["limit"] == 53


async def test_a_task_over_two_months_shows_what_it_cost_as_a_whole(books: Books) -> None:
    manager = await books.visitor("mallory")
    month = first_of(books.today, "month")
    tasks = groups((id_text(one.task), one) for one in books.ended if one.task)
    since, until = books.start(month), books.start(month_end(month) + timedelta(days=1))
    now = {name: some for name, some in tasks.items() if any(one.ended >= since and one.at < until for one in some)}
    html = unescape(await manager.html("overview"))
    panel = html.partition("<h2>Dearest tasks</h2>")[2].partition("</section>")[0]
    shown = re.findall(r'/tasks/(\w{26}).*?<td class="num b">([^<]*)<', panel, re.DOTALL)
    dearest = sorted(now, key=lambda name: -cost(now[name]))[:7]
    assert shown == [(name, WORDS.sum_cost(cost(tasks[name]))) for name in dearest if cost(tasks[name])]
    (address,) = re.findall(r'href="/console/(tasks\?[^"]*sort=cost)"', panel)
    rows = await manager.rows(f"{address}&format=csv")
    assert [row["task_id"] for row in rows][:7] == dearest
    page = await manager.page(f"tasks/{dearest[0]}")
    some = tasks[dearest[0]]
    assert f" {sum(one.end != 'refused' for one in some)} calls" in re.sub(r"\s+", " ", page)
    assert f"{sum(one.end == 'refused' for one in some)} refused" in page
    assert WORDS.call_cost(cost(some)) in page
