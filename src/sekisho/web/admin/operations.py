"""How this Sekisho runs, for whoever operates it: GET /admin/v1/status."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from sekisho.access.roles import Principal
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services


class CountersInUse(BaseModel):
    """Where budgets and limits are counted, and what happens while that cannot be reached. `failure` is empty when all
    is well; `address` without what is secret."""

    engine: str
    address: str
    failure: str
    budgets_fail_mode: str
    limits_fail_mode: str


class ContentInUse(BaseModel):
    """How the store of what calls say is. `failure` is empty when all is well; while it is not, calls go on and content
    waits in the spool, up to `spool_most_bytes`; what comes then is lost."""

    failure: str
    spool_bytes: int
    spool_most_bytes: int


class Operation(BaseModel):
    """`processes`: the call processes that serve, by id, with the epoch of the snapshot each has in force. `damaged`:
    journals that are not booked any further, by process."""

    epoch: int
    processes: dict[str, int]
    journal_lag_bytes: int
    journal_error: str
    damaged: dict[str, str]
    counters: CountersInUse
    content: ContentInUse


def operations_router(services: Services, authority: Authority) -> APIRouter:
    """One route for operators."""
    router = APIRouter(prefix="/admin/v1", tags=["operations"])

    @router.get("/status")
    async def status(_who: Annotated[Principal, Depends(authority.require("settings:read"))]) -> Operation:
        """The processes, how far the ledger is behind, and how the counters are."""
        health, counting = services.health(), await services.counting()
        content = services.content.health()
        return Operation(
            epoch=health.epoch,
            processes=health.processes,
            journal_lag_bytes=health.journal_lag_bytes,
            journal_error=health.journal_error,
            damaged=health.damaged,
            counters=CountersInUse(
                engine=counting.engine,
                address=counting.address,
                failure=counting.failure,
                budgets_fail_mode="closed",
                limits_fail_mode=counting.limits_fail_mode,
            ),
            content=ContentInUse(
                failure=content.failure, spool_bytes=content.spool_bytes, spool_most_bytes=content.spool_most_bytes
            ),
        )

    return router
