"""What policies allow: compiled once for the policies that a key comes under, then asked at every call.

Above: the authorize stage, the model lists, explain. Below: the values. Everything here is pure; a policy never makes
more possible than the key's own list of models does. Source: docs/why/policies.md
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from sekisho.values import Deployment, Hours, Model, Policy, ScopeKind

PolicyGate = Literal["model", "provider", "region", "geography", "account", "agent", "hours"]

POLICY_LISTS = ("models", "providers", "regions", "geographies", "accounts", "agents", "hours")
IN_REGION = "in-region"
GEOGRAPHIES = frozenset({"us", "eu", "apac", "jp", "au", "in", "ca", "sa", "global", "us-gov"})
"""The prefixes of Bedrock's inference profiles."""

_WIDEST_FIRST: dict[ScopeKind, int] = {"org": 0, "team": 1, "member": 2, "user": 3, "key": 4, "tag": 5}
_MINUTE_US = 60_000_000
_DAY_MINUTES = 1440


class Denied(msgspec.Struct, frozen=True):
    """What is not allowed, and the policy that says so."""

    policy: Policy
    gate: PolicyGate


def geography_of(deployment: Deployment) -> str:
    """Where a deployment of Bedrock may answer; empty where its id does not tell: such a one fits no list."""
    if deployment.provider != "bedrock" or deployment.upstream_model.startswith("arn:"):
        return ""
    prefix = deployment.upstream_model.partition(".")[0]
    return prefix if prefix in GEOGRAPHIES else IN_REGION


_DEPLOYMENT_GATES: tuple[tuple[PolicyGate, Callable[[Policy], tuple[str, ...]], Callable[[Deployment], str]], ...] = (
    ("provider", lambda policy: policy.providers, lambda deployment: deployment.provider),
    ("region", lambda policy: policy.regions, lambda deployment: deployment.region),
    ("geography", lambda policy: policy.geographies, geography_of),
    ("account", lambda policy: policy.accounts, lambda deployment: deployment.account),
)


class Allowance:
    """What a set of policies leaves. One per set; remembers its answers."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self.policies = tuple(sorted(policies, key=lambda policy: (_WIDEST_FIRST[policy.scope.kind], policy.id)))
        self._agents = tuple(policy for policy in self.policies if policy.agents)
        self._hours = tuple(policy for policy in self.policies if policy.hours)
        self._models: dict[str, Model | Denied] = {}
        self._minute = -1
        self._at_minute: Denied | None = None

    def model(self, model: Model) -> Model | Denied:
        """The model with those of its deployments that are allowed, in their order; the same object if all are."""
        if not self.policies:
            return model
        known = self._models.get(model.name)
        if known is None:
            known = self._models[model.name] = self._judge_model(model)
        return known

    def agent(self, name: str) -> Denied | None:
        """Whether an agent is not allowed; one that does not say what it is has no name, and fits no list."""
        return next((Denied(policy, "agent") for policy in self._agents if not _fits(name, policy.agents)), None)

    def time(self, now_us: int) -> Denied | None:
        """Whether it is a forbidden time."""
        if not self._hours:
            return None
        minute = now_us // _MINUTE_US
        if minute != self._minute:
            at = datetime.fromtimestamp(minute * 60, UTC)
            denied = (Denied(one, "hours") for one in self._hours if not any(_holds(part, at) for part in one.hours))
            self._at_minute, self._minute = next(denied, None), minute
        return self._at_minute

    def _judge_model(self, model: Model) -> Model | Denied:
        left = model.deployments
        for policy in self.policies:
            if policy.models and not any(_fits(name, policy.models) for name in (model.name, *model.aliases)):
                return Denied(policy, "model")
            for gate, allowed, property_of in _DEPLOYMENT_GATES:
                wanted = allowed(policy)
                if not wanted:
                    continue
                left = tuple(one for one in left if _fits(property_of(one), wanted))
                if not left:
                    return Denied(policy, gate)
        return model if len(left) == len(model.deployments) else replace(model, deployments=left)


EVERYTHING = Allowance(())


def _fits(name: str, allowed: tuple[str, ...]) -> bool:
    return bool(name) and any(fnmatchcase(name, pattern) for pattern in allowed)


def _holds(hours: Hours, at: datetime) -> bool:
    local = at.astimezone(ZoneInfo(hours.time_zone))
    minute = local.hour * 60 + local.minute
    if hours.from_minute < hours.until_minute:
        return local.weekday() in hours.days and hours.from_minute <= minute < hours.until_minute
    yesterday = (local.weekday() - 1) % 7
    return (local.weekday() in hours.days and minute >= hours.from_minute) or (
        yesterday in hours.days and minute < hours.until_minute
    )


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
    days = ",".join(_DAYS[day] for day in hours.days)
    return f"{days} {_clock(hours.from_minute)}-{_clock(hours.until_minute)}"


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


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
