"""Hours, places and patterns of policies, judged beside a brute-force reading of the calendar."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.access.policies import Allowance, Denied, geography_of, hours_text, parse_hours
from sekisho.ledger.catalog import load_catalog
from sekisho.values import Deployment, Hours, Policy, Scope

ORG = Scope("org", "org")
OFFICE = "mon-fri 09:00-18:00"
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


@pytest.mark.parametrize("text", ["", "mon", "mon 9-18", "mon 24:00-25:00", "xyz 09:00-10:00", "mon 09:60-10:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is"):
        parse_hours(text, "UTC")


def test_only_an_id_that_tells_has_a_geography() -> None:
    def deployment(upstream_model: str, provider: str = "bedrock") -> Deployment:
        return Deployment("d", provider, "bedrock_converse", "http://x", upstream_model, "ap-northeast-1")  # type: ignore[arg-type]

    assert geography_of(deployment("jp.anthropic.claude-sonnet-4-5-20250929-v1:0")) == "jp"
    assert geography_of(deployment("anthropic.claude-sonnet-4-5-20250929-v1:0")) == "in-region"
    assert geography_of(deployment("arn:aws:bedrock:us-east-1:1:application-inference-profile/x")) == ""
    assert geography_of(deployment("gpt-4o", "openai")) == ""


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


def test_an_agent_that_says_nothing_fits_no_list() -> None:
    policy = Policy("p", ORG, agents=("cline", "claude-*"))
    allowance = Allowance([policy])
    assert allowance.agent("cline") is None
    assert allowance.agent("claude-code") is None
    assert allowance.agent("curl") == allowance.agent("") == Denied(policy, "agent")
