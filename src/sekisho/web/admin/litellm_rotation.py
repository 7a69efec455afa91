"""LiteLLM's routes that give a key a new raw form, and that set back what counts against its budget."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from msgspec import UNSET, UnsetType

from sekisho.access.money import parse_usd
from sekisho.access.register import expiry, grace_s
from sekisho.access.roles import Principal
from sekisho.access.terms import max_budget_of
from sekisho.errors import BadRequest
from sekisho.values import Scope
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.litellm_fields import KnownFields
from sekisho.web.admin.litellm_keys import NEVER, show_key
from sekisho.web.admin.rights import NO_KEY, judge, within_own
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import usd

REASON = "/key/{key}/reset_spend"


class Regeneration(KnownFields):
    """`key`: raw form or digest. `new_key`: a raw key brought along. `grace_period`: how long the old form still opens
    it, such as "24h"; none if left out. `duration`: when the new one expires; as before if left out."""

    key: str | None = None
    new_key: str | None = None
    grace_period: str | None = None
    duration: str | None = None


class SpendReset(KnownFields):
    """What shall count against the key's budget from now on, in US dollars."""

    reset_to: Any


def litellm_rotation_router(services: Services, authority: Authority) -> APIRouter:
    """`/key/regenerate`, `/key/{key}/regenerate`, `/key/{key}/reset_spend`."""
    router = APIRouter(prefix="/key", tags=["LiteLLM-compatible"])
    writer = Annotated[Principal, Depends(authority.within("keys:write"))]
    accountant = Annotated[Principal, Depends(authority.require("budgets:write"))]

    @router.post("/regenerate")
    async def regenerate(body: Regeneration, who: writer) -> dict[str, Any]:
        """Give a key a new raw form. The answer is the only place where it appears."""
        if not body.key:
            raise BadRequest("Say which key.", param="key")
        return await _rotate(services, body.key, body, who)

    @router.post("/{key:path}/regenerate")
    async def regenerate_one(key: str, who: writer, body: Regeneration | None = None) -> dict[str, Any]:
        """The same, with the key in the address."""
        return await _rotate(services, key, body or Regeneration(), who)

    @router.post("/{key:path}/reset_spend")
    async def reset_spend(key: str, body: SpendReset, who: accountant) -> dict[str, Any]:
        """Give back what was spent in the window of the key's `max_budget`, down to `reset_to`; kept as a credit."""
        return await _reset_spend(services, key, body, who)

    return router


async def _reset_spend(services: Services, key: str, body: SpendReset, who: Principal) -> dict[str, Any]:
    body.refuse_unknown()
    target = parse_usd(body.reset_to, "reset_to")
    stored = await services.keys.identify(key)
    scope = Scope("key", stored.id)
    budget = max_budget_of(await services.rules.of(scope))
    if budget is None:
        raise BadRequest("A key without max_budget has no spend that counts, so none to set back.", param="key")
    spent = await services.spent.spent(services.org_id, (budget,), services.clock.now_us())
    credit = budget.credit_nanousd if spent and budget.credit_from == spent[0].window_starts_at else 0
    before = spent[0].spent_nanousd - credit if spent else 0
    if target > before:
        raise BadRequest(f"Only {usd(before)} USD is spent, so reset_to cannot be more.", param="reset_to")
    if target == 0 and before > 0:
        await services.rules.reset(budget.id, REASON, who.actor)
    elif target < before:
        await services.rules.credit(budget.id, before - target, REASON, who.actor)
    shown = await show_key(services, stored)
    return {
        "key_hash": stored.digest.hex(),
        "spend": shown["spend"],
        "previous_spend": usd(before),
        "max_budget": shown["max_budget"],
        "budget_reset_at": shown["budget_reset_at"],
    }


async def _rotate(services: Services, reference: str, body: Regeneration, who: Principal) -> dict[str, Any]:
    body.refuse_unknown()
    if body.key and body.key != reference:
        raise BadRequest("The address names another key than the body.", param="key")
    stored = await services.keys.identify(reference)
    judge(who, "keys:write", NO_KEY, team_id=stored.team_id, user_id=stored.user_id)
    if body.new_key and not who.may("keys:write"):
        raise BadRequest("Only an administrator brings along a raw key.", param="new_key")
    expires_at = _expires_at(body.duration, services.clock.now_us())
    issued = await services.keys.rotate(
        stored.id,
        who.actor,
        grace_s=grace_s(body.grace_period or "", "grace_period"),
        expires_at=expires_at if expires_at is UNSET else within_own(who, expires_at, "duration"),
        key=body.new_key or "",
    )
    return await show_key(services, issued.stored) | {"key": issued.key}


def _expires_at(duration: str | None, now_us: int) -> int | UnsetType | None:
    """None: never. UNSET: as before. Raises BadRequest."""
    if not duration:
        return UNSET
    return None if duration == NEVER else expiry(duration, now_us)
