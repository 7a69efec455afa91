"""Budgets and limits of one scope as LiteLLM's clients state them: a handful of fields, turned into rules and back.

Each field is a rule with a name of its own in its scope, so that stating the fields again changes what there is and
makes nothing twice. Money is integer nano-USD.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from sekisho.access.rules import RuleWrite, StoredRule
from sekisho.errors import BadRequest
from sekisho.values import Budget, Policy, RateLimit, Scope, Window

MAX_BUDGET = "max_budget"
SOFT_BUDGET = "soft_budget"
LIMITS = "limits"
MODEL_BUDGET = "model_max_budget/"
MODEL_LIMITS = "model_limits/"
FROM_TEMPLATE = "budget_id/"  # goes before the names of rules that were made from a shared budget

_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|w|mo)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 2_592_000}
_CALENDAR: Mapping[int, Any] = {86_400: "day", 604_800: "week", 2_592_000: "month"}
_LONGEST_S = 3650 * 86_400


class ModelBudget(msgspec.Struct, frozen=True):
    """What may be spent on one model."""

    amount_nanousd: int
    duration: str = ""


class Terms(msgspec.Struct, frozen=True):
    """The fields. None, nothing or 0 for an increase: no such rule. `duration` is that of both budgets."""

    max_budget_nanousd: int | None = None
    soft_budget_nanousd: int | None = None
    duration: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel: int | None = None
    model_budgets: dict[str, ModelBudget] = {}
    model_requests: dict[str, int] = {}
    model_tokens: dict[str, int] = {}
    increase_nanousd: int = 0
    increase_until: int = 0


class Origin(msgspec.Struct, frozen=True):
    """What rules are made with: by when, in which time zone, from which shared budget, and how a new one is drafted."""

    draft: Callable[..., StoredRule]
    by: str
    now_us: int
    time_zone: str
    template_id: str = ""
    allow_over_allocation: bool = False


def window_of(duration: str, time_zone: str, now_us: int) -> Window:
    """The window that LiteLLM's `budget_duration` means here. Raises BadRequest.

    A day ("1d", "24h"), a week ("7d", "1w") and a month ("30d", "1mo") are those of the calendar; other lengths are
    periods from now on; none at all is one window without end.
    """
    if not duration:
        return Window("fixed")
    match = _DURATION.fullmatch(duration)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_S:
        raise BadRequest('A duration is a number and one of s, m, h, d, w, mo, such as "30d".', param="budget_duration")
    if seconds in _CALENDAR:
        return Window(_CALENDAR[seconds], time_zone)
    return Window("period", period_s=seconds, starts_at=now_us)


def plan(terms: Terms, scope: Scope, old: Sequence[StoredRule], origin: Origin) -> RuleWrite:
    """What to write so that the scope has exactly these terms, and keeps its other rules. Raises BadRequest."""
    if terms.increase_nanousd and terms.max_budget_nanousd is None:
        raise BadRequest("There is no max_budget to increase.", param="temp_budget_increase")
    known = {stored.name: stored for stored in old if _is_of(stored, origin.template_id)}
    wanted = dict(_rules(terms, scope, known, origin))
    put = tuple(
        changed
        for name, (rule, duration) in wanted.items()
        if (changed := _changed(known.get(name), name, rule, duration, origin)) is not None
    )
    return RuleWrite(put, tuple(stored.rule.id for name, stored in known.items() if name not in wanted))


def terms_of(rules: Iterable[StoredRule], template_id: str = "") -> Terms:
    """The fields that these rules of one scope stand for."""
    terms: dict[str, Any] = {"model_budgets": {}, "model_requests": {}, "model_tokens": {}}
    for stored in rules:
        if not _is_of(stored, template_id):
            continue
        name = stored.name.removeprefix(FROM_TEMPLATE)
        if isinstance(stored.rule, Budget):
            _recall_budget(terms, name, stored.rule, stored.duration)
        elif isinstance(stored.rule, RateLimit):
            _recall_limit(terms, name, stored.rule)
    return Terms(**terms)


def max_budget_of(rules: Iterable[StoredRule]) -> Budget | None:
    """The budget behind `max_budget`: the scope's own, else the shared one's."""
    found = {stored.name: stored.rule for stored in rules}
    rule = found.get(MAX_BUDGET) or found.get(FROM_TEMPLATE + MAX_BUDGET)
    return rule if isinstance(rule, Budget) else None


def _rules(
    terms: Terms, scope: Scope, known: Mapping[str, StoredRule], origin: Origin
) -> Iterable[tuple[str, tuple[Budget | RateLimit, str]]]:
    """The rules that the terms ask for, by name, each with its duration as it was written."""
    prefix = FROM_TEMPLATE if origin.template_id else ""

    def budget(name: str, amount: int, duration: str, model: str = "", is_hard: bool = True) -> Budget:
        last = known.get(name)
        window = window_of(duration, origin.time_zone, origin.now_us)
        if last and isinstance(last.rule, Budget) and last.duration == duration:
            window = last.rule.window  # a period goes on from where it began
        # a soft budget is there to tell somebody that it is spent
        return Budget("", scope, amount, window, model, is_hard, () if is_hard else (100,))

    if terms.max_budget_nanousd is not None:
        name = prefix + MAX_BUDGET
        made = budget(name, terms.max_budget_nanousd, terms.duration)
        made = replace(made, increase_nanousd=terms.increase_nanousd, increase_until=terms.increase_until)
        yield name, (made, terms.duration)
    if terms.soft_budget_nanousd is not None:
        name = prefix + SOFT_BUDGET
        yield name, (budget(name, terms.soft_budget_nanousd, terms.duration, is_hard=False), terms.duration)
    for model, one in terms.model_budgets.items():
        name = prefix + MODEL_BUDGET + model
        yield name, (budget(name, one.amount_nanousd, one.duration, model), one.duration)
    limit = RateLimit("", scope, "", terms.requests_per_minute, terms.tokens_per_minute, terms.parallel)
    if limit != RateLimit("", scope):
        yield prefix + LIMITS, (limit, "")
    for model in dict.fromkeys([*terms.model_requests, *terms.model_tokens]):
        per_model = RateLimit("", scope, model, terms.model_requests.get(model), terms.model_tokens.get(model))
        yield prefix + MODEL_LIMITS + model, (per_model, "")


def _changed(
    old: StoredRule | None, name: str, rule: Budget | RateLimit, duration: str, origin: Origin
) -> StoredRule | None:
    """The rule to write, None when nothing changes."""
    if old is None:
        made = origin.draft(rule, origin.by, name=name, allow_over_allocation=origin.allow_over_allocation)
        return replace(made, duration=duration, template_id=origin.template_id)
    rule = replace(rule, id=old.rule.id)
    if isinstance(rule, Budget) and isinstance(old.rule, Budget):
        rule = replace(
            rule,
            thresholds=old.rule.thresholds,
            steps=old.rule.steps,
            credit_nanousd=old.rule.credit_nanousd,
            credit_from=old.rule.credit_from,
        )
    if (rule, duration) == (old.rule, old.duration):
        return None
    allow = old.allow_over_allocation or origin.allow_over_allocation
    return replace(old, rule=rule, duration=duration, updated_at=origin.now_us, allow_over_allocation=allow)


def _is_of(stored: StoredRule, template_id: str) -> bool:
    """Whether the rule stands for a field of this template, or of the scope itself."""
    if stored.template_id != template_id or isinstance(stored.rule, Policy):
        return False
    name = stored.name.removeprefix(FROM_TEMPLATE)
    return name in (MAX_BUDGET, SOFT_BUDGET, LIMITS) or name.startswith((MODEL_BUDGET, MODEL_LIMITS))


def _recall_budget(terms: dict[str, Any], name: str, rule: Budget, duration: str) -> None:
    if name == MAX_BUDGET:
        terms |= {"max_budget_nanousd": rule.amount_nanousd, "duration": duration}
        terms |= {"increase_nanousd": rule.increase_nanousd, "increase_until": rule.increase_until}
    elif name == SOFT_BUDGET:
        terms |= {"soft_budget_nanousd": rule.amount_nanousd, "duration": duration}
    else:
        terms["model_budgets"][rule.model] = ModelBudget(rule.amount_nanousd, duration)


def _recall_limit(terms: dict[str, Any], name: str, rule: RateLimit) -> None:
    if name == LIMITS:
        terms |= {
            "requests_per_minute": rule.requests_per_minute,
            "tokens_per_minute": rule.tokens_per_minute,
            "parallel": rule.parallel,
        }
        return
    if rule.requests_per_minute is not None:
        terms["model_requests"][rule.model] = rule.requests_per_minute
    if rule.tokens_per_minute is not None:
        terms["model_tokens"][rule.model] = rule.tokens_per_minute
