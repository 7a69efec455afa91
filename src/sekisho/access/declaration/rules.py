"""Budgets, limits and shared budgets between the file and our values."""

import re
from typing import Any, Literal

from sekisho.access.declaration.fields import Fields, Problems
from sekisho.access.declaration.things import Address, Thing, stated, usd
from sekisho.access.declaration.words import MOST_PERIOD_S, has_zone, parse_seconds, render_time, render_window
from sekisho.access.policies import POLICY_LISTS, hours_text, parse_hours, problems_of
from sekisho.access.terms import ModelBudget, Terms, window_of
from sekisho.errors import BadRequest
from sekisho.values import (
    END_OF_TIME,
    Budget,
    BudgetAction,
    BudgetStep,
    Hours,
    Policy,
    RateLimit,
    Scope,
    Window,
)

_RATES = ("requests_per_minute", "tokens_per_minute", "parallel")
_LIMITED = (*_RATES, "nanousd_per_task", "calls_per_task")
_CALENDAR: dict[str, Literal["day", "week", "month"]] = {"day": "day", "week": "week", "month": "month"}
POLICY_NAMES = tuple(name for name in POLICY_LISTS if name != "hours")
_JA_POLICY = {
    "models": "どれか 1 つは書いてください。",
    "providers": "bedrock、anthropic、openai のどれかで書いてください。",
    "geographies": "in-region、または jp、apac、us、eu、global などの推論プロファイルの接頭辞で書いてください。",
    "prefers": "region:ap-northeast-1 のように、provider、region、geography、account のどれかと値を書いてください。",
    "holidays": "2026-12-29 か 2026-12-29/2027-01-03 の形の日付で書き、hours も書いてください。",
}
_STEP = re.compile(r"([0-9]{1,4})% *(slow_down|step_down|refuse)(?: +(.{1,200}))?")
_ACTIONS: dict[str, BudgetAction] = {"slow_down": "slow_down", "step_down": "step_down", "refuse": "refuse"}
_NOBODY = Scope("org", "")  # until it is known what the owner's scope is


class RuleReader:
    """Reads the budgets and limits of each owner into `things`."""

    def __init__(self, things: dict[Address, Thing], problems: Problems, time_zone: str) -> None:
        self._things = things
        self._problems = problems
        self.time_zone = time_zone

    def owned_by(self, owner: Address, fields: Fields) -> None:
        """The `budgets` and `limits` of one owner."""
        for name, one in fields.named("budgets"):
            self._budget(("budget", *owner, name), one)
        for name, one in fields.named("limits"):
            self._limit(("limit", *owner, name), one)
        for name, one in fields.named("policies"):
            self._policy(("policy", *owner, name), one)

    def template(self, address: Address, fields: Fields) -> None:
        """A shared budget."""
        models: dict[str, dict[str, Any]] = {}
        for model, one in fields.named("models"):
            models[model] = {
                "max_budget": one.money("max_budget"),
                "per": self._duration(one),
                **{name: one.count(name) for name in _RATES[:2]},
            }
            one.finish()
        terms = Terms(
            max_budget_nanousd=fields.money("max_budget"),
            soft_budget_nanousd=fields.money("soft_budget"),
            duration=self._duration(fields),
            requests_per_minute=fields.count("requests_per_minute"),
            tokens_per_minute=fields.count("tokens_per_minute"),
            parallel=fields.count("parallel"),
            model_budgets={
                model: ModelBudget(one["max_budget"], one["per"])
                for model, one in models.items()
                if one["max_budget"] is not None
            },
            model_requests=_rates_of(models, "requests_per_minute"),
            model_tokens=_rates_of(models, "tokens_per_minute"),
        )
        if terms in (Terms(), Terms(duration=terms.duration)):
            fields.problems.add(
                fields.line,
                f"{fields.where}: state max_budget, soft_budget or a limit.",
                f"{fields.where}：max_budget、soft_budget、上限のどれかを書いてください。",
            )
        fields.finish()
        self._things[address] = Thing(address, template_fields(terms), terms, fields.line)

    def _duration(self, fields: Fields) -> str:
        """A length of time as LiteLLM's clients write it, "" if there is none."""
        text = fields.text("per", 40)
        try:
            window_of(text, "UTC", 0)
        except BadRequest as error:
            fields.bad("per", error.message, "30d、1mo のような期間で書いてください。")
        return text

    def _budget(self, address: Address, fields: Fields) -> None:
        known = len(self._problems.found)
        amount = fields.money("amount")
        if amount is None and len(self._problems.found) == known:
            fields.bad("amount", "say how much, such as 100 USD.", "100 USD のように金額を書いてください。")
        window = self._window(fields)
        increase = fields.fields("increase")
        more, until = increase.money("amount"), increase.time("until", window.time_zone)
        if fields.has("increase") and (more is None) != (until is None):
            fields.bad("increase", "state amount and until.", "amount と until を書いてください。")
        increase.finish()
        budget = Budget(
            id="",
            scope=_NOBODY,
            amount_nanousd=amount or 0,
            window=window,
            model=fields.text("model"),
            is_hard=fields.flag("hard") is not False,
            thresholds=self._thresholds(fields),
            steps=self._steps(fields),
            increase_nanousd=(more or 0) if until else 0,
            increase_until=(until or 0) if more else 0,
        )
        values = budget_fields(budget, allow_over_allocation=fields.flag("allow_over_allocation") or False)
        if window.kind == "period" and not fields.has("from"):
            del values["from"]  # it goes on from where it began
        fields.finish()
        self._things[address] = Thing(address, values, budget, fields.line)

    def _window(self, fields: Fields) -> Window:
        per = fields.text("per", 40)
        if per in _CALENDAR:
            return Window(_CALENDAR[per], fields.zone("time_zone", self.time_zone))
        starts_at = fields.time("from", self.time_zone) or 0
        if per == "once":
            ends_at = fields.time("until", self.time_zone)
            ends_at = END_OF_TIME if ends_at is None else ends_at
            if starts_at >= ends_at:
                fields.bad("until", "it ends after it starts.", "終わりは始まりより後にしてください。")
            return Window("fixed", starts_at=starts_at, ends_at=ends_at)
        period_s = parse_seconds(per)
        if period_s is None:
            fields.bad(
                "per",
                f"write day, week, month, a length such as 12h or 30d (at most {MOST_PERIOD_S // 86_400}d), or once.",
                "day、week、month、12h や 30d などの長さ、または once で書いてください。",
            )
        return Window("period", period_s=period_s or 1, starts_at=starts_at)

    def _thresholds(self, fields: Fields) -> tuple[int, ...]:
        found: set[int] = set()
        for text in fields.texts("alert_at"):
            digits = text.removesuffix("%").strip()
            if digits.isascii() and digits.isdigit() and len(digits) < 5 and 1 <= int(digits) <= 1000:
                found.add(int(digits))
            else:
                fields.bad(
                    "alert_at", f"'{text[:20]}' is not a per cent.", f"「{text[:20]}」は割合（%）ではありません。"
                )
        if len(found) > 20:
            fields.bad("alert_at", "at most 20.", "20 個以内で書いてください。")
        return tuple(sorted(found))

    def _steps(self, fields: Fields) -> tuple[BudgetStep, ...]:
        found: list[BudgetStep] = []
        for text in fields.texts("steps"):
            match = _STEP.fullmatch(text)
            if match and 1 <= int(match[1]) <= 1000:
                found.append(BudgetStep(int(match[1]), _ACTIONS[match[2]], match[3] or ""))
            else:
                shown = text[:40]
                fields.bad(
                    "steps",
                    f"'{shown}' is not such as 80% slow_down, 90% step_down MODEL, 100% refuse.",
                    f"「{shown}」は 80% slow_down、90% step_down モデル、100% refuse のような書き方ではありません。",
                )
        return tuple(sorted(found, key=lambda step: (step.at_percent, step.action)))

    def _limit(self, address: Address, fields: Fields) -> None:
        known = len(self._problems.found)
        rates = {name: fields.count(name) for name in _LIMITED}
        if all(rate is None for rate in rates.values()) and len(self._problems.found) == known:
            names = ", ".join(_LIMITED)
            fields.problems.add(
                fields.line, f"{fields.where}: state {names}.", f"{fields.where}：{names} のどれかを書いてください。"
            )
        limit = RateLimit("", _NOBODY, fields.text("model"), **rates)
        fields.finish()
        self._things[address] = Thing(address, limit_fields(limit), limit, fields.line)

    def _policy(self, address: Address, fields: Fields) -> None:
        known = len(fields.problems.found)
        lists: dict[str, Any] = {name: fields.texts(name) for name in POLICY_NAMES}
        most = fields.count("max_output_tokens")
        if most == 0:
            fields.bad("max_output_tokens", "at least 1.", "1 以上で書いてください。")
        policy = Policy("", _NOBODY, hours=self._hours(fields), max_output_tokens=most, **lists)
        if len(fields.problems.found) == known:
            for name, why in problems_of(policy):
                fields.bad(name, f"{why}.", _JA_POLICY[name])
        fields.finish()
        self._things[address] = Thing(address, policy_fields(policy), policy, fields.line)

    def _hours(self, fields: Fields) -> tuple[Hours, ...]:
        found: dict[Hours, None] = {}
        for text in fields.texts("hours"):
            days, _, rest = text.partition(" ")
            times, _, zone = rest.strip().partition(" ")
            zone = zone.strip() or self.time_zone
            try:
                if not has_zone(zone):
                    raise ValueError(f"there is no time zone '{zone}'")
                found[parse_hours(f"{days} {times}", zone)] = None
            except ValueError as error:
                example = "mon-fri 09:00-18:00 Asia/Tokyo"
                fields.bad("hours", f"{error}.", f"「{text[:60]}」は {example} のような時間帯ではありません。")
        return tuple(found)


def policy_fields(policy: Policy) -> dict[str, Any]:
    """What the file says of a policy."""
    hours = [f"{hours_text(one)} {one.time_zone}" for one in policy.hours]
    lists = {name: list(getattr(policy, name)) for name in POLICY_NAMES}
    return stated(**lists, hours=hours, max_output_tokens=policy.max_output_tokens)


def budget_fields(budget: Budget, *, allow_over_allocation: bool) -> dict[str, Any]:
    """What the file says of a budget."""
    increase = None
    if budget.increase_nanousd:
        increase = {"amount": usd(budget.increase_nanousd), "until": render_time(budget.increase_until)}
    fields: dict[str, Any] = {"amount": usd(budget.amount_nanousd), **render_window(budget.window)}
    fields |= stated(model=budget.model, alert_at=[f"{part}%" for part in budget.thresholds], increase=increase)
    steps = [f"{step.at_percent}% {step.action} {step.model}".strip() for step in budget.steps]
    fields |= stated(steps=steps)
    if not budget.is_hard:
        fields["hard"] = False
    return fields | stated(allow_over_allocation=allow_over_allocation)


def limit_fields(limit: RateLimit) -> dict[str, Any]:
    """What the file says of a limit."""
    rates = {name: getattr(limit, name) for name in _LIMITED}
    return stated(model=limit.model) | {name: rate for name, rate in rates.items() if rate is not None}


def template_fields(terms: Terms) -> dict[str, Any]:
    """What the file says of a shared budget."""
    models: dict[str, Any] = {}
    for model in dict.fromkeys([*terms.model_budgets, *terms.model_requests, *terms.model_tokens]):
        one = terms.model_budgets.get(model)
        models[model] = _some(
            max_budget=usd(one.amount_nanousd) if one else None,
            per=one.duration or None if one else None,
            requests_per_minute=terms.model_requests.get(model),
            tokens_per_minute=terms.model_tokens.get(model),
        )
    return _some(
        max_budget=None if terms.max_budget_nanousd is None else usd(terms.max_budget_nanousd),
        soft_budget=None if terms.soft_budget_nanousd is None else usd(terms.soft_budget_nanousd),
        per=terms.duration or None,
        **{name: getattr(terms, name) for name in _RATES},
        models=models or None,
    )


def _some(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _rates_of(models: dict[str, dict[str, Any]], name: str) -> dict[str, int]:
    return {model: one[name] for model, one in models.items() if one[name] is not None}
