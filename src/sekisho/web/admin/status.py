"""What a developer may ask about the key in use: GET /v1/sekisho/status, with that key as bearer."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from sekisho.access.register import StoredKey
from sekisho.record.calls import CallFilter, utc_day
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import EPOCH, MICROSECOND, iso


class Period(BaseModel):
    """What the key did in a period. Cost in nano-USD."""

    calls: int
    refused: int
    prompt_tokens: int
    output_tokens: int
    cost_nanousd: int


class Status(BaseModel):
    """The key in use. No models: all models. Days and months are UTC."""

    key_alias: str
    key_hint: str
    user_id: str
    team_id: str
    models: list[str]
    expires_at: str | None
    simulated: bool
    today: Period
    month: Period


def status_router(services: Services, authority: Authority) -> APIRouter:
    """One route for holders of a virtual key."""
    router = APIRouter(prefix="/v1/sekisho", tags=["status"])

    @router.get("/status")
    async def status(key: Annotated[StoredKey, Depends(authority.key_holder)]) -> Status:
        """The key, what it may use, and what it spent today and this month."""
        now_us = services.clock.now_us()
        now = EPOCH + now_us * MICROSECOND
        month_start = (now - timedelta(days=now.day - 1) - EPOCH) // MICROSECOND
        return Status(
            key_alias=key.alias,
            key_hint=key.hint,
            user_id=key.user_id,
            team_id=key.team_id,
            models=list(key.models),
            expires_at=iso(key.expires_at),
            simulated=services.simulated,
            today=await period(key.id, utc_day(now_us)),
            month=await period(key.id, utc_day(month_start)),
        )

    async def period(key_id: str, first_day: int) -> Period:
        where = CallFilter(key_id=key_id, since=first_day * 86_400_000_000)
        (spend,) = await services.calls.spend(services.org_id, where=where)
        return Period(
            calls=spend.calls,
            refused=spend.refused,
            prompt_tokens=spend.usage.prompt_tokens,
            output_tokens=spend.usage.output_tokens,
            cost_nanousd=spend.cost_nanousd,
        )

    return router
