"""What policies allow: compiled once for the policies that a key comes under, then asked at every call.

Above: the authorize stage, the model lists, explain. Below: the values. Everything here is pure; a policy never makes
more possible than the key's own list of models does. Source: docs/why/policies.md
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from sekisho.values import Deployment, Hours, Model, Policy, Provider, ScopeKind

PolicyGate = Literal["model", "family", "provider", "region", "geography", "account", "agent", "hours", "holiday"]

POLICY_LISTS = (
    "models",
    "families",
    "providers",
    "regions",
    "geographies",
    "accounts",
    "agents",
    "hours",
    "holidays",
    "prefers",
)
POLICY_FIELDS = (*POLICY_LISTS, "max_output_tokens")
IN_REGION = "in-region"
GEOGRAPHIES = frozenset({"us", "eu", "apac", "jp", "au", "in", "ca", "sa", "global", "us-gov"})
"""The prefixes of Bedrock's inference profiles."""
_KNOWN: dict[str, tuple[str, ...]] = {
    "providers": get_args(Provider),
    "geographies": (IN_REGION, *sorted(GEOGRAPHIES)),
}
"""Fields that take these words only."""

_SHORT_MAKERS = frozenset({"ai21", "luma", "meta", "qwen", "xai", "zai"})
_GEOGRAPHY_CHARACTERS = 4  # no longer is any prefix but global, unless it has a hyphen
_KEPT_AGENTS = 512
_WIDEST_FIRST: dict[ScopeKind, int] = {"org": 0, "team": 1, "member": 2, "user": 3, "key": 4, "tag": 5}
_MINUTE_US = 60_000_000
_HOLIDAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:/([0-9]{4}-[0-9]{2}-[0-9]{2}))?")
_DAY_MINUTES = 1440


class Denied(msgspec.Struct, frozen=True):
    """What is not allowed, and the policy that says so. `holiday`: the one that is today, as the policy writes it."""

    policy: Policy
    gate: PolicyGate
    holiday: str = ""


def geography_of(deployment: Deployment) -> str:
    """Where a deployment of Bedrock may answer; empty where its id does not tell: such a one fits no list."""
    if deployment.provider != "bedrock" or deployment.upstream_model.startswith("arn:"):
        return ""
    prefix = deployment.upstream_model.partition(".")[0]
    if prefix in GEOGRAPHIES:
        return prefix
    if "-" in prefix or (len(prefix) <= _GEOGRAPHY_CHARACTERS and prefix not in _SHORT_MAKERS):
        return ""  # it may be a geography that is younger than this list
    return IN_REGION


_DEPLOYMENT_GATES: tuple[tuple[PolicyGate, Callable[[Policy], tuple[str, ...]], Callable[[Deployment], str]], ...] = (
    ("provider", lambda policy: policy.providers, lambda deployment: deployment.provider),
    ("region", lambda policy: policy.regions, lambda deployment: deployment.region),
    ("geography", lambda policy: policy.geographies, geography_of),
    ("account", lambda policy: policy.accounts, lambda deployment: deployment.account),
)
_PREFERRED: dict[str, Callable[[Deployment], str]] = {gate: property_of for gate, _, property_of in _DEPLOYMENT_GATES}


class Allowance:
    """What a set of policies leaves. One per set; remembers its answers."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self.policies = tuple(sorted(policies, key=lambda policy: (_WIDEST_FIRST[policy.scope.kind], policy.id)))
        self._agents = tuple(policy for policy in self.policies if policy.agents)
        self._hours = tuple(policy for policy in self.policies if policy.hours)
        self._models: dict[str, Model | Denied] = {}
        self._by_agent: dict[str, Denied | None] = {}
        self._minute = -1
        self._at_minute: Denied | None = None

    def model(self, model: Model) -> Model | Denied:
        """The model with those of its deployments that are allowed, preferred ones first, and with the longest answer
        that is allowed; the same object where nothing of it is changed."""
        if not self.policies:
            return model
        known = self._models.get(model.name)
        if known is None:
            known = self._models[model.name] = self._judge_model(model)
        return known

    def agent(self, name: str) -> Denied | None:
        """Whether an agent is not allowed; one that does not say what it is has no name, and fits no list."""
        if not self._agents:
            return None
        if name not in self._by_agent:
            if len(self._by_agent) >= _KEPT_AGENTS:  # clients may call themselves anything
                self._by_agent.clear()
            denied = (Denied(policy, "agent") for policy in self._agents if not _fits(name, policy.agents))
            self._by_agent[name] = next(denied, None)
        return self._by_agent[name]

    def time(self, now_us: int) -> Denied | None:
        """Whether it is a forbidden time."""
        if not self._hours:
            return None
        minute = now_us // _MINUTE_US
        if minute != self._minute:
            at = datetime.fromtimestamp(minute * 60, UTC)
            denied = (found for policy in self._hours if (found := _judge_time(policy, at)))
            self._at_minute, self._minute = next(denied, None), minute
        return self._at_minute

    def shortest(self) -> Policy | None:
        """The policy that allows the shortest answers; None if none says how long they may be."""
        capping = [policy for policy in self.policies if policy.max_output_tokens is not None]
        return min(capping, key=_longest, default=None)

    def _judge_model(self, model: Model) -> Model | Denied:
        left = model.deployments
        for policy in self.policies:
            if policy.models and not any(_fits(name, policy.models) for name in (model.name, *model.aliases)):
                return Denied(policy, "model")
            if policy.families and not _fits(model.family, policy.families):
                return Denied(policy, "family")
            for gate, allowed, property_of in _DEPLOYMENT_GATES:
                wanted = allowed(policy)
                if not wanted:
                    continue
                left = tuple(one for one in left if _fits(property_of(one), wanted))
                if not left:
                    return Denied(policy, gate)
        for policy in self.policies:  # the narrowest is the last, so its wish comes first
            if policy.prefers:
                left = tuple(sorted(left, key=partial(_rank, policy.prefers)))
        shortest = self.shortest()
        most = model.max_output_tokens if shortest is None else min(_longest(shortest), model.max_output_tokens)
        if left == model.deployments and most == model.max_output_tokens:
            return model
        return replace(model, deployments=left, max_output_tokens=most)


EVERYTHING = Allowance(())


def _longest(policy: Policy) -> int:
    assert policy.max_output_tokens is not None
    return policy.max_output_tokens


def _rank(prefers: tuple[str, ...], deployment: Deployment) -> int:
    """The place of the first wish that a deployment fits; behind all if it fits none."""
    for place, wish in enumerate(prefers):
        kind, _, pattern = wish.partition(":")
        if kind in _PREFERRED and _fits(_PREFERRED[kind](deployment), (pattern,)):
            return place
    return len(prefers)


def _fits(name: str, allowed: tuple[str, ...]) -> bool:
    return bool(name) and any(fnmatchcase(name, pattern) for pattern in allowed)


def _judge_time(policy: Policy, at: datetime) -> Denied | None:
    days = [day for part in policy.hours if (day := _day_of(part, at))]
    if not days:
        return Denied(policy, "hours")
    closed = [(text, *parse_holiday(text)) for text in policy.holidays]
    found = [next((text for text, first, last in closed if first <= day <= last), "") for day in days]
    return Denied(policy, "holiday", found[0]) if all(found) else None


def _day_of(hours: Hours, at: datetime) -> date | None:
    """The day on which the part of the week began that this moment is in; None outside it."""
    local = at.astimezone(ZoneInfo(hours.time_zone))
    today, minute = local.date(), local.hour * 60 + local.minute
    if hours.from_minute < hours.until_minute:
        return today if today.weekday() in hours.days and hours.from_minute <= minute < hours.until_minute else None
    if today.weekday() in hours.days and minute >= hours.from_minute:
        return today
    yesterday = today - timedelta(days=1)
    return yesterday if yesterday.weekday() in hours.days and minute < hours.until_minute else None


def parse_holiday(text: str) -> tuple[date, date]:
    """Read `2026-12-29`, or the first and last of several days: `2026-12-29/2027-01-03`. Raises ValueError."""
    found = _HOLIDAY.fullmatch(text)
    try:
        first = date.fromisoformat(found[1] if found else "")
        last = date.fromisoformat(found[2]) if found and found[2] else first
    except ValueError:
        raise ValueError(f"'{text[:60]}' is not a date like 2026-12-29, nor like 2026-12-29/2027-01-03") from None
    if last < first:
        raise ValueError(f"'{text}' ends before it begins")
    return first, last


def problems_of(policy: Policy) -> Iterator[tuple[str, str]]:
    """What of a policy says nothing or cannot be: each field, and why as half a sentence."""
    if not any(getattr(policy, name) for name in POLICY_FIELDS):
        yield POLICY_FIELDS[0], f"state at least one of {', '.join(POLICY_FIELDS)}"
    for name, known in _KNOWN.items():
        for odd in (one for one in getattr(policy, name) if one not in known):
            yield name, f"'{odd[:60]}' is none of {', '.join(known)}"
    for wish in policy.prefers:
        kind, _, pattern = wish.partition(":")
        if kind not in _PREFERRED or not pattern:
            yield "prefers", f"'{wish[:60]}' is not like region:ap-northeast-1, which may be {', '.join(_PREFERRED)}"
    for text in policy.holidays:
        try:
            parse_holiday(text)
        except ValueError as error:
            yield "holidays", str(error)
    if policy.holidays and not policy.hours:
        yield "holidays", "they are days without hours: state hours too, such as 'mon-sun 00:00-24:00'"


def parse_hours(text: str, time_zone: str) -> Hours:
    """Read `mon-fri 09:00-18:00` or `sat,sun 22:00-06:00`; `24:00` is the end of a day. Raises ValueError."""
    days_text, _, times = text.strip().lower().partition(" ")
    start, dash, end = times.strip().partition("-")
    if not dash:
        raise ValueError(f"'{text}' is not like 'mon-fri 09:00-18:00'")
    ZoneInfo(time_zone)
    days = sorted({day for part in days_text.split(",") for day in _days(part)})
    from_minute, until_minute = _minute(start), _minute(end)
    if from_minute == _DAY_MINUTES:
        raise ValueError("a day begins at 00:00, not at 24:00")
    return Hours(tuple(days), from_minute, until_minute, time_zone)


def hours_text(hours: Hours) -> str:
    """As `parse_hours` reads it, without the zone."""
    return f"{','.join(_day_texts(hours.days))} {_clock(hours.from_minute)}-{_clock(hours.until_minute)}"


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _day_texts(days: Sequence[int]) -> Iterator[str]:
    """Three days or more that follow each other as `mon-fri`; others alone."""
    run: list[int] = []
    for day in (*days, None):
        if run and day != run[-1] + 1:
            few = [_DAYS[one] for one in run]
            yield from [f"{few[0]}-{few[-1]}"] if len(few) > 2 else few
            run = []
        if day is not None:
            run.append(day)


def _days(text: str) -> Iterable[int]:
    first, dash, last = text.strip().partition("-")
    if first not in _DAYS or (dash and last not in _DAYS):
        raise ValueError(f"'{text}' is no day of the week: mon, tue, wed, thu, fri, sat, sun")
    start = _DAYS.index(first)
    count = (_DAYS.index(last) - start) % 7 if dash else 0
    return ((start + step) % 7 for step in range(count + 1))


def _minute(text: str) -> int:
    hour, colon, minute = text.strip().partition(":")
    if not (colon and hour.isascii() and hour.isdigit() and minute.isascii() and minute.isdigit() and len(minute) == 2):
        raise ValueError(f"'{text}' is not a time like 09:00")
    total = int(hour[:3]) * 60 + int(minute)
    if int(minute) > 59 or total > _DAY_MINUTES:
        raise ValueError(f"'{text}' is not a time of the day")
    return total


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
