"""Hours, places and patterns of policies, judged beside a brute-force reading of the calendar."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from sekisho.access.policies import Allowance, Denied, geography_of, hours_text, parse_hours, problems_of
from sekisho.ledger.catalog import load_catalog
from sekisho.values import Deployment, Hours, Policy, Provider, Scope

ORG = Scope("org", "org")
OFFICE = "mon-fri 09:00-18:00"
ALWAYS = (Hours(tuple(range(7)), 0, 1440),)
MODELS = {one.name: one for one in load_catalog().bedrock_models("ap-northeast-1", "http://x", "c")}


def at(text: str, zone: str = "Asia/Tokyo") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1_000_000)


def open_at(text: str, moment: str, zone: str = "Asia/Tokyo") -> bool:
    return Allowance([Policy("p", ORG, hours=(parse_hours(text, zone),))]).time(at(moment, zone)) is None


@pytest.mark.parametrize(
    ("hours", "moment", "is_open"),
    [
        (OFFICE, "2026-03-02T09:00", True),  # a Monday
        (OFFICE, "2026-03-02T08:59", False),
        (OFFICE, "2026-03-02T18:00", False),
        (OFFICE, "2026-03-01T10:00", False),
        ("fri 22:00-06:00", "2026-03-06T23:00", True),
        ("fri 22:00-06:00", "2026-03-07T05:59", True),
        ("fri 22:00-06:00", "2026-03-06T05:00", False),
        ("sat-mon 00:00-24:00", "2026-03-01T23:59", True),
        ("sat-mon 00:00-24:00", "2026-03-03T00:00", False),
    ],
)
def test_hours_are_those_of_their_zone(hours: str, moment: str, is_open: bool) -> None:
    assert open_at(hours, moment) is is_open


def test_hours_follow_the_clocks_of_summer() -> None:
    zone = "Europe/Berlin"
    assert open_at("sun 02:30-03:30", "2026-03-29T03:15", zone)  # 02:30 to 03:00 does not exist on that day
    assert not open_at("sun 02:30-03:30", "2026-03-29T03:30", zone)


@given(
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(0, 1440),
    st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu"]),
    st.integers(0, 14 * 1440),
)
def test_hours_agree_with_a_walk_over_every_minute(
    days: set[int], start: int, end: int, zone: str, minutes: int
) -> None:
    hours = Hours(tuple(sorted(days)), start, end, zone)
    moment = datetime(2026, 5, 4, tzinfo=UTC) + timedelta(minutes=minutes)
    local = moment.astimezone(ZoneInfo(zone))
    length = (end - start) if end > start else 1440 - start + end
    begins = ((local.replace(hour=0, minute=0) - timedelta(days=back) + timedelta(minutes=start)) for back in (0, 1))
    expected = any(one.weekday() in days and one <= local < one + timedelta(minutes=length) for one in begins)
    allowance = Allowance([Policy("p", ORG, hours=(hours,))])
    assert (allowance.time(int(moment.timestamp()) * 1_000_000) is None) == expected


@given(st.sets(st.integers(0, 6), min_size=1), st.integers(0, 1439), st.integers(0, 1440))
def test_hours_are_read_as_they_are_written(days: set[int], start: int, end: int) -> None:
    hours = Hours(tuple(sorted(days)), start, end, "Asia/Tokyo")
    assert parse_hours(hours_text(hours), "Asia/Tokyo") == hours


@pytest.mark.parametrize(
    ("days", "text"),
    [((0, 1, 2, 3, 4), "mon-fri"), ((0, 1), "mon,tue"), ((0, 2, 3, 4, 6), "mon,wed-fri,sun"), ((5, 6), "sat,sun")],
)
def test_days_that_follow_each_other_are_said_short(days: tuple[int, ...], text: str) -> None:
    assert hours_text(Hours(days, 0, 60)) == f"{text} 00:00-01:00"


@pytest.mark.parametrize("text", ["", "mon", "mon 9-18", "mon 24:00-25:00", "xyz 09:00-10:00", "mon 09:60-10:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is"):
        parse_hours(text, "UTC")


def deployment(upstream_model: str, provider: Provider = "bedrock") -> Deployment:
    return Deployment("d", provider, "bedrock_converse", "http://x", upstream_model, "ap-northeast-1")


def test_only_an_id_that_tells_has_a_geography() -> None:
    assert geography_of(deployment("jp.anthropic.claude-sonnet-4-5-20250929-v1:0")) == "jp"
    assert geography_of(deployment("anthropic.claude-sonnet-4-5-20250929-v1:0")) == "in-region"
    assert geography_of(deployment("arn:aws:bedrock:us-east-1:1:application-inference-profile/x")) == ""
    assert geography_of(deployment("gpt-4o", "openai")) == ""


@pytest.mark.parametrize("model", ["kr.anthropic.claude-x", "us-iso.anthropic.claude-x", "uk.meta.llama-x"])
def test_a_geography_that_nobody_knows_yet_is_no_region(model: str) -> None:
    assert geography_of(deployment(model)) == ""


def test_every_model_of_the_catalog_has_a_geography() -> None:
    catalog = load_catalog()
    ids = {id for listed in catalog.models for id in listed.bedrock_ids}
    assert [id for id in ids if not geography_of(deployment(id))] == []
    assert {geography_of(deployment(listed.id)) for listed in catalog.models} == {"in-region"}


def test_an_agent_is_judged_by_its_own_name_however_many_came_before() -> None:
    allowance = Allowance([Policy("p", ORG, agents=("cline",))])
    for number in range(1_500):
        assert allowance.agent(f"agent-{number}") is not None
    assert allowance.agent("cline") is None
    assert allowance.agent("") is not None


def test_japan_only_leaves_no_way_out_of_japan() -> None:
    policy = Policy("p", ORG, regions=("ap-northeast-1", "ap-northeast-3"), geographies=("in-region", "jp"))
    allowance = Allowance([policy])
    left = {name: allowance.model(model) for name, model in MODELS.items()}
    for name, model in left.items():
        all_places = {geography_of(one) for one in MODELS[name].deployments}
        if isinstance(model, Denied):
            assert not all_places & {"in-region", "jp"}
            assert (model.policy, model.gate) == (policy, "geography")
        else:
            assert {geography_of(one) for one in model.deployments} == all_places & {"in-region", "jp"}
    assert any(isinstance(model, Denied) for model in left.values())
    assert any(not isinstance(model, Denied) for model in left.values())


def test_policies_of_several_scopes_all_hold_and_the_widest_is_named() -> None:
    org = Policy("b", ORG, models=("claude-*", "nova-*"))
    team = Policy("a", Scope("team", "red"), models=("nova-*",))
    allowance = Allowance([team, org])
    assert allowance.model(MODELS["nova-pro"]) is MODELS["nova-pro"]
    assert allowance.model(MODELS["claude-haiku-4-5"]) == Denied(team, "model")
    other = next(model for name, model in MODELS.items() if not name.startswith(("claude-", "nova-")))
    assert allowance.model(other) == Denied(org, "model")


HOLIDAYS = ("2026-03-20", "2026-12-29/2027-01-03")


@pytest.mark.parametrize(
    ("hours", "moment", "closed"),
    [
        (OFFICE, "2026-03-19T10:00", ""),
        (OFFICE, "2026-03-20T10:00", "2026-03-20"),
        (OFFICE, "2026-12-28T17:59", ""),
        (OFFICE, "2026-12-29T09:00", "2026-12-29/2027-01-03"),
        (OFFICE, "2027-01-01T09:00", "2026-12-29/2027-01-03"),
        (OFFICE, "2027-01-04T09:00", ""),
        ("thu 22:00-06:00", "2026-03-20T05:00", ""),  # a night belongs to the day on which it began
        ("fri 22:00-06:00", "2026-03-21T05:00", "2026-03-20"),
    ],
)
def test_a_holiday_has_no_hours(hours: str, moment: str, closed: str) -> None:
    policy = Policy("p", ORG, hours=(parse_hours(hours, "Asia/Tokyo"),), holidays=HOLIDAYS)
    denied = Allowance([policy]).time(at(moment))
    assert denied == (Denied(policy, "holiday", closed) if closed else None)


def test_where_hours_of_two_zones_meet_a_day_counts_where_it_is_no_holiday() -> None:
    zones = ("Asia/Tokyo", "America/New_York")
    hours = tuple(parse_hours("mon-sun 00:00-24:00", zone) for zone in zones)
    allowance = Allowance([Policy("p", ORG, hours=hours, holidays=("2026-03-20",))])
    assert allowance.time(at("2026-03-20T09:00")) is None  # still the 19th in New York
    assert allowance.time(at("2026-03-20T23:00")) is not None
    assert allowance.time(at("2026-03-21T01:00")) is None


@given(st.dates(), st.integers(0, 400), st.integers(-2, 402))
def test_holidays_are_all_days_from_the_first_to_the_last(first: date, length: int, days: int) -> None:
    assume(date(2, 1, 1) < first < date(9990, 1, 1))
    last, day = first + timedelta(days=length), first + timedelta(days=days)
    policy = Policy("p", ORG, hours=(parse_hours("mon-sun 00:00-24:00", "UTC"),), holidays=(f"{first}/{last}",))
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    denied = Allowance([policy]).time(int(moment.timestamp()) * 1_000_000)
    assert (denied is not None) == (first <= day <= last)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, ["models"]),
        ({"providers": ("azure",), "geographies": ("mars", "jp", "x")}, ["providers", "geographies", "geographies"]),
        ({"prefers": ("tokyo", "region:", "planet:earth", "region:ap-*")}, ["prefers"] * 3),
        (
            {"holidays": ("2026-02-30", "2026-W01-1", "20260301", "2026-03-02/2026-03-01"), "hours": ALWAYS},
            ["holidays"] * 4,
        ),
        ({"holidays": ("2026-03-01",), "models": ("*",)}, ["holidays"]),
        ({"max_output_tokens": 1}, []),
        ({"prefers": ("account:a",)}, []),
    ],
)
def test_what_makes_no_sense_in_a_policy_is_named(fields: dict[str, Any], named: list[str]) -> None:
    assert [name for name, _ in problems_of(Policy("p", ORG, **fields))] == named


def test_a_family_is_the_catalogs_whatever_a_model_is_called() -> None:
    policy = Policy("p", ORG, families=("claude", "no*"))
    renamed = replace(MODELS["claude-haiku-4-5"], name="our-default")
    allowance = Allowance([policy])
    assert allowance.model(renamed) is renamed
    assert allowance.model(replace(MODELS["nova-pro"], name="claude-copy")).name == "claude-copy"
    other = next(model for model in MODELS.values() if model.family not in ("claude", "nova"))
    assert allowance.model(other) == Denied(policy, "family")
    assert allowance.model(replace(other, family="")) == Denied(policy, "family")


def test_a_wish_nobody_knows_yet_changes_no_order() -> None:
    model = MODELS["claude-sonnet-4-5"]
    assert Allowance([Policy("p", ORG, prefers=("planet:earth",))]).model(model) is model


def test_an_agent_that_says_nothing_fits_no_list() -> None:
    policy = Policy("p", ORG, agents=("cline", "claude-*"))
    allowance = Allowance([policy])
    assert allowance.agent("cline") is None
    assert allowance.agent("claude-code") is None
    assert allowance.agent("curl") == allowance.agent("") == Denied(policy, "agent")
