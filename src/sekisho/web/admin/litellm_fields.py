"""The fields that LiteLLM's management routes share: what is unknown is refused, money and limits become rules.

Left out: stays as it is. Null: for money and limits taken away, as LiteLLM does it for a field that was sent.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from sekisho.access.money import parse_usd
from sekisho.access.register import expiry
from sekisho.access.rules import RuleFilter, RuleWrite, StoredRule
from sekisho.access.terms import ModelBudget, Terms, max_budget_of, plan, terms_of
from sekisho.errors import BadRequest
from sekisho.ledger.counters import Spent
from sekisho.ledger.windows import span_at
from sekisho.values import END_OF_TIME, Budget, Model, Scope, ScopeKind, Window
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso, parse_since, usd

ALL_MODELS = "all-proxy-models"
MOST_RULES = 100_000
GROUP_NAMES = ("all-team-models", "all-org-models", "no-default-models")

Id = Annotated[str, Field(max_length=200)]
Amount = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
Planner = Callable[[Scope, Sequence[StoredRule]], RuleWrite]


async def refuse_unknown_query(request: Request) -> None:
    """A dependency of read routes: a filter that nothing here would act on must not look as if it did.

    Raises BadRequest for a parameter with content that the route does not have."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    unknown = sorted(name for name, value in request.query_params.items() if value and name not in known)
    if unknown:
        raise BadRequest(f"Not supported by this version, so not accepted: {', '.join(unknown)}.", param=unknown[0])


class KnownFields(BaseModel):
    """A body whose other fields may come empty, as clients send them, and not with content."""

    model_config = ConfigDict(extra="allow")

    def refuse_unknown(self) -> None:
        """Raises BadRequest for a field with content that nothing here would act on."""
        unknown = sorted(name for name, value in (self.model_extra or {}).items() if not _is_empty(value))
        if unknown:
            names = ", ".join(unknown)
            raise BadRequest(f"Not supported by this version, so not accepted: {names}.", param=unknown[0])


class TermFields(KnownFields):
    """The money and the limits of a scope. `max_budget`, `soft_budget`, ...: US dollars as a number or a string."""

    max_budget: Any = None
    soft_budget: Any = None
    budget_duration: Annotated[str, Field(max_length=40)] | None = None
    tpm_limit: Amount | None = None
    rpm_limit: Amount | None = None
    max_parallel_requests: Amount | None = None
    model_max_budget: dict[str, Any] | None = None
    model_rpm_limit: dict[str, Amount] | None = None
    model_tpm_limit: dict[str, Amount] | None = None
    temp_budget_increase: Any = None
    temp_budget_expiry: str | None = None
    budget_id: Id | None = None
    allow_over_allocation: bool = False

    def terms(self, old: Terms, models: Sequence[Model], now_us: int) -> Terms:
        """`old` with what was sent in its place. Raises BadRequest."""
        given = self.model_fields_set
        terms = old
        for field, name in _AMOUNTS.items():
            if field in given:
                value = getattr(self, field)
                terms = replace(terms, **{name: None if value is None else parse_usd(value, field)})
        for field, name in _RATES.items():
            if field in given:
                terms = replace(terms, **{name: getattr(self, field)})
        if "budget_duration" in given:
            terms = replace(terms, duration=self.budget_duration or "")
        if "model_max_budget" in given:
            terms = replace(terms, model_budgets=self._model_budgets(models))
        for field, name in (("model_rpm_limit", "model_requests"), ("model_tpm_limit", "model_tokens")):
            if field in given:
                rates = (getattr(self, field) or {}).items()
                terms = replace(terms, **{name: {public_name(models, model, field): rate for model, rate in rates}})
        if given & {"temp_budget_increase", "temp_budget_expiry"}:
            terms = replace(terms, **self._increase(now_us))
        return terms if terms.max_budget_nanousd is not None or "max_budget" not in given else _without_increase(terms)

    def _model_budgets(self, models: Sequence[Model]) -> dict[str, ModelBudget]:
        found: dict[str, ModelBudget] = {}
        for name, value in (self.model_max_budget or {}).items():
            stated = value if isinstance(value, dict) else {"budget_limit": value}
            amount = stated.get("budget_limit", stated.get("max_budget"))
            duration = stated.get("time_period", stated.get("budget_duration")) or ""
            unknown = stated.keys() - {"budget_limit", "max_budget", "time_period", "budget_duration"}
            if unknown or not isinstance(duration, str):
                raise BadRequest("A model's budget has budget_limit and time_period.", param="model_max_budget")
            model = public_name(models, name, "model_max_budget")
            found[model] = ModelBudget(parse_usd(amount, "model_max_budget"), duration)
        return found

    def _increase(self, now_us: int) -> dict[str, int]:
        if self.temp_budget_increase is None and self.temp_budget_expiry is None:
            return {"increase_nanousd": 0, "increase_until": 0}
        if self.temp_budget_increase is None or not self.temp_budget_expiry:
            raise BadRequest(
                "State temp_budget_increase and temp_budget_expiry together.", param="temp_budget_increase"
            )
        until = parse_expiry(self.temp_budget_expiry, now_us, "temp_budget_expiry")
        return {
            "increase_nanousd": parse_usd(self.temp_budget_increase, "temp_budget_increase"),
            "increase_until": until,
        }


_AMOUNTS = {"max_budget": "max_budget_nanousd", "soft_budget": "soft_budget_nanousd"}
_RATES = {
    "tpm_limit": "tokens_per_minute",
    "rpm_limit": "requests_per_minute",
    "max_parallel_requests": "parallel",
}


async def prepare_rules(services: Services, fields: TermFields, by: str) -> Planner:
    """Read what is asked for, so that the rules of a scope can be planned without waiting. Raises BadRequest, NotFound
    for a shared budget that does not exist."""
    models, now_us = services.models(), services.clock.now_us()
    template = await services.templates.get(fields.budget_id) if fields.budget_id else None
    allow = fields.allow_over_allocation

    def planner(scope: Scope, old: Sequence[StoredRule]) -> RuleWrite:
        own = services.templates.origin(by, allow_over_allocation=allow)
        write = plan(fields.terms(terms_of(old), models, now_us), scope, old, own)
        if "budget_id" not in fields.model_fields_set:
            return write
        template_id = template.id if template else ""
        drop = tuple(stored.rule.id for stored in old if stored.template_id not in ("", template_id))
        write = replace(write, drop=write.drop + drop)
        if template is None:
            return write
        origin = services.templates.origin(by, template_id, allow_over_allocation=allow)
        shared = plan(template.terms, scope, old, origin)
        return RuleWrite(write.put + shared.put, write.drop + shared.drop)

    return planner


async def plan_fields(services: Services, fields: TermFields, scope: Scope, by: str) -> RuleWrite:
    """What gives a scope that exists the money and limits that were sent. Raises BadRequest, NotFound."""
    planner = await prepare_rules(services, fields, by)
    return planner(scope, await services.rules.of(scope))


def render_terms(rules: Sequence[StoredRule], now_us: int) -> dict[str, Any]:
    """The money and the limits of a scope as LiteLLM shows them: its own, else those of its shared budget."""
    template_id = next((stored.template_id for stored in rules if stored.template_id), "")
    own = render_fields(terms_of(rules))
    shared = render_fields(terms_of(rules, template_id)) if template_id else own
    shown = {name: shared[name] if value in (None, {}) else value for name, value in own.items()}
    budget = max_budget_of(rules)
    span = span_at(budget.window, now_us) if budget else None
    resets_at = span.ends_at if span and span.ends_at < END_OF_TIME else None
    return shown | {"budget_id": template_id or None, "budget_reset_at": iso(resets_at)}


def render_fields(terms: Terms) -> dict[str, Any]:
    """The terms under LiteLLM's names."""
    return {
        "max_budget": _usd(terms.max_budget_nanousd),
        "soft_budget": _usd(terms.soft_budget_nanousd),
        "budget_duration": terms.duration or None,
        "tpm_limit": terms.tokens_per_minute,
        "rpm_limit": terms.requests_per_minute,
        "max_parallel_requests": terms.parallel,
        "model_max_budget": {
            model: {"budget_limit": usd(one.amount_nanousd), "time_period": one.duration or None}
            for model, one in terms.model_budgets.items()
        },
        "model_rpm_limit": terms.model_requests,
        "model_tpm_limit": terms.model_tokens,
        "temp_budget_increase": usd(terms.increase_nanousd) if terms.increase_nanousd else None,
        "temp_budget_expiry": iso(terms.increase_until) if terms.increase_nanousd else None,
    }


async def render_spend(services: Services, rules: Sequence[StoredRule], scope: Scope) -> float:
    """What `spend` shows: with a `max_budget` what counts against it in its window of now, else all that ever was."""
    budget = max_budget_of(rules) or Budget("", scope, 0, Window("fixed"))
    spent = await services.spent.spent(services.org_id, (budget,), services.clock.now_us())
    return _counted(spent[0]) if spent else 0.0


async def render_all(services: Services, kind: ScopeKind, scope_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What `render_terms` and `render_spend` say of many scopes of one kind, asked for at once."""
    now_us = services.clock.now_us()
    rules: dict[str, list[StoredRule]] = {scope_id: [] for scope_id in scope_ids}
    for rule_kind in ("budget", "limit"):
        for stored in await services.rules.list(rule_kind, RuleFilter(kind), limit=MOST_RULES):
            if stored.rule.scope.id in rules:
                rules[stored.rule.scope.id].append(stored)
    budgets = {
        scope_id: max_budget_of(of_it) or Budget("", Scope(kind, scope_id), 0, Window("fixed"))
        for scope_id, of_it in rules.items()
    }
    spent = await services.spent.spent(services.org_id, tuple(budgets.values()), now_us)
    spend = {one.budget.scope.id: _counted(one) for one in spent}
    return {
        scope_id: render_terms(of_it, now_us) | {"spend": spend.get(scope_id, 0.0)} for scope_id, of_it in rules.items()
    }


def model_names(models: Sequence[str] | None) -> tuple[str, ...]:
    """The models, empty for all. Raises BadRequest for names that stand for groups or patterns."""
    models = models or []
    if ALL_MODELS in models:
        return ()
    for name in models:
        if "*" in name or name in GROUP_NAMES:
            raise BadRequest(f"Name models one by one; {name} is not supported.", param="models")
    return tuple(models)


def public_name(models: Sequence[Model], name: str, param: str) -> str:
    """The public name of a model on offer, by it or by an alias: a rule for another name would never act.

    Raises BadRequest."""
    for model in models:
        if name == model.name or name in model.aliases:
            return model.name
    raise BadRequest(f"There is no model '{name[:60]}' on offer.", param=param)


def parse_expiry(text: str, now_us: int, param: str) -> int:
    """A time, or a duration from now. Raises BadRequest, also for what lies in the past."""
    at_us = parse_since(text, param) if "-" in text else expiry(text, now_us, param)
    if at_us is None or not now_us < at_us < END_OF_TIME:
        raise BadRequest("This time is over already.", param=param)
    return at_us


def _counted(spent: Spent) -> float:
    """What counts against the budget in its window, in US dollars."""
    budget = spent.budget
    credit = budget.credit_nanousd if budget.credit_from == spent.window_starts_at else 0
    return usd(spent.spent_nanousd - credit)


def _without_increase(terms: Terms) -> Terms:
    return replace(terms, increase_nanousd=0, increase_until=0)


def _usd(nanousd: int | None) -> float | None:
    return None if nanousd is None else usd(nanousd)


def _is_empty(value: Any) -> bool:
    """Whether a field asks for nothing. A zero asks for something: a budget of 0 stops every call."""
    return value is None or value is False or value in ("", [], {})
