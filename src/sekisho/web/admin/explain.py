"""Why a call is refused, or what would happen to one: `POST /admin/v1/explain` for any key that one may see,
`POST /v1/sekisho/explain` for the key in use, `GET /admin/v1/calls/{call_id}/explain` for a call that was made.

Of scopes that the asker may not see it is only told whether they let the call pass.
"""

from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.policies import geography_of
from sekisho.access.register import StoredKey
from sekisho.access.roles import Principal
from sekisho.calls.explaining import Explanation, GateAnswer, Passing, Question
from sekisho.errors import BadRequest, NotFound
from sekisho.ledger.counters import LimitUse, Standing
from sekisho.record.calls import CallRow
from sekisho.values import END_OF_TIME, Policy, RateLimit, Scope, VirtualKey
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.calls import parse_call_id
from sekisho.web.admin.policies import render_policy
from sekisho.web.admin.remedies import remedy
from sekisho.web.admin.rights import NO_KEY, Rights, judge
from sekisho.web.admin.scopes import render_money, render_scope, render_window
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

Language = Literal["en", "ja"]
NO_MEMBER = "There is no such member of this team."


class CallQuestion(BaseModel):
    """A call that one thinks of. `body_bytes`: how large its body is. `max_tokens`: left out, what the model gives."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(min_length=1, max_length=200)]
    body_bytes: Annotated[int, Field(ge=1, le=25_000_000)] = 4_000
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    agent: Annotated[str, Field(max_length=40)] = ""
    language: Language = "en"

    def question(self, key: VirtualKey) -> Question:
        """As the path asks it."""
        return Question(
            key=key,
            model=self.model,
            body_bytes=self.body_bytes,
            max_output_tokens=self.max_tokens,
            agent=self.agent,
            language=self.language,
        )


class KeyQuestion(CallQuestion):
    """The same for a key, by its id, or, without `key_id`, for one that a user might have, in a team or in none."""

    key_id: Annotated[str, Field(max_length=200)] = ""
    user_id: Annotated[str, Field(max_length=200)] = ""
    team_id: Annotated[str, Field(max_length=200)] = ""


def explain_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for whoever may see the key or the call."""
    router = APIRouter(tags=["explain"])
    keeper = Annotated[Principal, Depends(authority.within("keys:read"))]
    reader = Annotated[Principal, Depends(authority.within("spend:read"))]
    holder = Annotated[StoredKey, Depends(authority.key_holder)]
    rights = Rights(services)

    @router.post("/admin/v1/explain")
    async def explain_key(body: KeyQuestion, who: keeper) -> dict[str, Any]:
        """Would a call with this key, or with one that this user might have in this team, pass, and why not; what it
        comes under."""
        if bool(body.key_id) == bool(body.user_id or body.team_id):
            raise BadRequest("Name key_id alone, or user_id, team_id or both.", param="key_id")
        if body.key_id:
            stored = await services.keys.get(body.key_id)
            judge(who, "keys:read", NO_KEY, team_id=stored.team_id, user_id=stored.user_id)
            key = _resolved(services, stored)
        else:
            judge(who, "keys:read", NO_MEMBER, team_id=body.team_id, user_id=body.user_id)
            key, stored = await _hypothetical(services, body.user_id, body.team_id), None
        said = await services.explainer.explain(body.question(key))
        seen = {scope for scope in _scopes(said) if await _sees(rights, who, scope)}
        return await render(stored, key.team_id, said, seen, who.may("rules:read"))

    @router.post("/v1/sekisho/explain")
    async def explain_own(body: CallQuestion, key: holder) -> dict[str, Any]:
        """Would a call with the key in use pass, and why not; figures only of what is one's own."""
        said = await services.explainer.explain(body.question(_resolved(services, key)))
        own = {Scope("key", key.id), Scope("user", key.user_id), Scope("member", f"{key.team_id}/{key.user_id}")}
        return await render(key, key.team_id, said, own, True)

    @router.get("/admin/v1/calls/{call_id}/explain")
    async def explain_call(call_id: str, who: reader, language: Language = "en") -> dict[str, Any]:
        """What became of a call, why, and what helps."""
        row = await services.calls.find(services.org_id, parse_call_id(call_id, "call_id"))
        if row is None or not who.sight("spend:read").covers(team_id=row.team_id, user_id=row.user_id):
            raise NotFound("There is no such call.")
        return _render_call(call_id, row, language)

    async def render(
        key: StoredKey | None, team_id: str, said: Explanation, seen: set[Scope], sees_policies: bool
    ) -> dict[str, Any]:
        now_us = services.clock.now_us()
        team = None
        if team_id:
            with suppress(NotFound):
                found = await services.teams.get(team_id)
                team = {"id": found.id, "models": list(found.models), "blocked": found.blocked}
        return _render(key, said, seen, sees_policies, now_us) | {"team": team}

    return router


def _resolved(services: Services, key: StoredKey) -> VirtualKey:
    """The key as call processes judge it: with what its team allows."""
    return services.explainer.find_key(key.id) or key.virtual_key()


async def _hypothetical(services: Services, user_id: str, team_id: str) -> VirtualKey:
    """A key that this user might have in this team. Raises NotFound: who is in no team has no key in it."""
    team = await services.teams.get(team_id) if team_id else None
    if user_id:
        await services.users.get(user_id)
    if user_id and team_id and team_id not in [one.team_id for one in await services.teams.memberships(user_id)]:
        raise NotFound(NO_MEMBER)
    return services.explainer.hypothetical_key(user_id, team)


async def _sees(rights: Rights, who: Principal, scope: Scope) -> bool:
    try:
        await rights.need_scope(who, "budgets:read", scope, "")
    except NotFound:
        return False
    return True


def _scopes(said: Explanation) -> set[Scope]:
    return {one.budget.scope for one in said.budgets} | {limit.scope for limit in said.limits}


def _render(
    key: StoredKey | None, said: Explanation, seen: set[Scope], sees_policies: bool, now_us: int
) -> dict[str, Any]:
    uses = {one.limit.id: one for one in said.uses}
    needed = said.passing.bound_nanousd if said.passing else said.bound_nanousd
    return {
        "passes": said.passes,
        "gates": [_gate(one) for one in said.gates],
        "call": _passing(said.passing) if said.passing else None,
        **render_money("bound", said.bound_nanousd),
        "key": _key(key) if key else None,
        "policies": [
            {"id": policy.id, "scope": render_scope(policy.scope), **render_policy(policy)}
            for policy in (said.allowance.policies if sees_policies else ())
        ],
        "budgets": [_budget(one, needed, one.budget.scope in seen, now_us) for one in said.budgets],
        "limits": [_limit(one, one.scope in seen, uses.get(one.id)) for one in said.limits],
        "live": said.is_live,
    }


def _key(key: StoredKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "alias": key.alias,
        "models": list(key.models),
        "expires_at": iso(key.expires_at),
        "blocked": key.blocked,
    }


def _gate(one: GateAnswer) -> dict[str, Any]:
    return {"gate": one.gate, "answer": one.answer, "code": one.code or None, "reason": one.reason or None}


def _passing(passing: Passing) -> dict[str, Any]:
    return {
        "model": passing.model,
        "asked_model": passing.asked_model or None,
        "attempts": passing.attempts,
        "max_output_tokens": passing.max_output_tokens,
        "shortened_by": _policy(passing.shortened_by) if passing.shortened_by else None,
        "ending": passing.ending or None,
        "delay_ms": passing.delay_ms,
        **render_money("held", passing.bound_nanousd),
        "deployments": [
            {
                "id": one.id,
                "provider": one.provider,
                "region": one.region,
                "account": one.account,
                "geography": geography_of(one),
            }
            for one in passing.deployments
        ],
    }


def _policy(policy: Policy) -> dict[str, Any]:
    return {"id": policy.id, "name": policy.name, "scope": {"kind": policy.scope.kind}}


def _budget(standing: Standing, bound_nanousd: int, is_seen: bool, now_us: int) -> dict[str, Any]:
    budget = standing.budget
    room = budget.amount_nanousd - standing.spent_nanousd - standing.reserved_nanousd
    if now_us < budget.increase_until:
        room += budget.increase_nanousd
    if budget.credit_from == standing.window_starts_at:
        room += budget.credit_nanousd
    passes = not budget.is_hard or room >= bound_nanousd
    if not is_seen:
        return {"scope": {"kind": budget.scope.kind}, "is_hard": budget.is_hard, "passes": passes}
    ends_at = standing.window_ends_at
    return {
        "id": budget.id,
        "scope": render_scope(budget.scope),
        "model": budget.model,
        "window": render_window(budget.window),
        "is_hard": budget.is_hard,
        "passes": passes,
        **render_money("amount", budget.amount_nanousd),
        **render_money("spent", standing.spent_nanousd),
        **render_money("reserved", standing.reserved_nanousd),
        **render_money("room", room),
        "resets_at": iso(ends_at) if ends_at < END_OF_TIME else None,
    }


def _limit(limit: RateLimit, is_seen: bool, use: LimitUse | None) -> dict[str, Any]:
    if not is_seen:
        return {"scope": {"kind": limit.scope.kind}}
    return {
        "id": limit.id,
        "scope": render_scope(limit.scope),
        "model": limit.model,
        "requests_per_minute": limit.requests_per_minute,
        "tokens_per_minute": limit.tokens_per_minute,
        "parallel": limit.parallel,
        "nanousd_per_task": limit.nanousd_per_task,
        "calls_per_task": limit.calls_per_task,
        "used": {"requests": use.requests, "tokens": use.tokens, "parallel": use.parallel} if use else None,
    }


def _render_call(call_id: str, row: CallRow, language: Language) -> dict[str, Any]:
    return {
        "id": call_id,
        "status": row.status,
        "stage": row.stage,
        "error": row.error,
        "message": row.message,
        "model": row.model,
        "key_id": row.key_id,
        "remedy": remedy(row.status, row.error, language),
    }
