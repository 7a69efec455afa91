"""What a developer may ask about the key in use: GET /v1/sekisho/status, with that key as bearer."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from sekisho.access.register import StoredKey
from sekisho.ledger.windows import span_at
from sekisho.record.spend import SpendQuery
from sekisho.values import Window
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso


class Period(BaseModel):
    """What the key did in a period. Cost in nano-USD."""

    calls: int
    refused: int
    prompt_tokens: int
    output_tokens: int
    cost_nanousd: int


class Status(BaseModel):
    """The key in use. No models: all models. Days and months are those of the home's time zone."""

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
        return Status(
            key_alias=key.alias,
            key_hint=key.hint,
            user_id=key.user_id,
            team_id=key.team_id,
            models=list(key.models),
            expires_at=iso(key.expires_at),
            simulated=services.simulated,
            today=await period(key.id, "day", now_us),
            month=await period(key.id, "month", now_us),
        )

    async def period(key_id: str, kind: Literal["day", "month"], now_us: int) -> Period:
        span = span_at(Window(kind, services.time_zone), now_us)
        query = SpendQuery(since=span.starts_at if span else now_us, where={"key": (key_id,)})
        (spend,) = await services.spend.spend(services.org_id, query)
        return Period(
            calls=spend.calls,
            refused=spend.refused,
            prompt_tokens=spend.usage.prompt_tokens,
            output_tokens=spend.usage.output_tokens,
            cost_nanousd=spend.cost_nanousd,
        )

    return router
