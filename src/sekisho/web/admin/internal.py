"""What our own processes ask over the Unix socket: the snapshot, and how the control plane is."""

import asyncio
import dataclasses
from collections.abc import Coroutine
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from sekisho.access.demonstration import DEMONSTRATION_TEAMS
from sekisho.errors import BadRequest, NotAllowed
from sekisho.web.admin.authority import OPERATOR, Authority
from sekisho.web.admin.services import Services

CONFIRMED = "x-sekisho-confirmed-us"  # when the epoch was last known to be the newest, on the monotonic clock
LAST_TIME = 250_000_000_000_000_000  # in the year 9892: a month later there is still a calendar


def internal_router(services: Services, authority: Authority) -> APIRouter:
    """Routes under /internal; invisible to everybody else."""
    router = APIRouter(prefix="/internal", dependencies=[Depends(authority.local)], include_in_schema=False)

    @router.get("/snapshot")
    async def snapshot(
        request: Request, after: Annotated[int, Query(ge=0)], process: Annotated[str, Query(max_length=64)]
    ) -> Response:
        """The msgpack `Delivery` once its epoch differs from `after`, else 204 after 20 s."""
        delivery = await _unless_gone(request, services.distribution.ask(process, after))
        confirmed_us = services.distribution.confirmed_us
        headers = {} if confirmed_us is None else {CONFIRMED: str(confirmed_us)}
        if delivery is None:
            return Response(status_code=204, headers=headers)
        return Response(delivery, media_type="application/msgpack", headers=headers)

    @router.get("/spent")
    async def spent(at: Annotated[int, Query(ge=0, le=LAST_TIME)] = 0, whole: bool = False) -> Response:
        """The msgpack `Booked` as of `at` (microseconds; now if left out): what counters are loaded with.

        Waits until what dead processes wrote is booked and, with `whole`, what the living wrote before this was asked;
        503 when that takes longer than 10 s."""
        booked = await services.booked(at or services.clock.now_us(), is_whole=whole)
        return Response(msgspec.msgpack.encode(booked), media_type="application/msgpack")

    _add_tasks(router, services)

    @router.get("/health")
    async def health() -> dict[str, Any]:
        """Epoch, call processes, how far the ledger is behind the journal."""
        return dataclasses.asdict(services.health())

    @router.post("/console-codes", status_code=201)
    async def console_code() -> dict[str, str]:
        """The path of a link that opens the console once."""
        return {"path": f"/console/enter?code={await services.sessions.issue_code(OPERATOR)}"}

    @router.delete("/demonstration")
    async def forget_demonstration() -> dict[str, int]:
        """Take the calls of the demonstration's teams out of the ledger. Only where nothing was ever billed."""
        if not services.simulated:
            raise NotAllowed("Calls are taken out of the ledger only where the simulator answers.")
        for team_id in DEMONSTRATION_TEAMS:
            await services.content.forget_team(team_id, comes_again=True)
        return {"calls": await services.forgotten.forget(services.org_id, DEMONSTRATION_TEAMS)}

    @router.get("/models")
    async def models() -> dict[str, list[str]]:
        """The public names of the models on offer."""
        return {"models": [model.name for model in services.models()]}

    _add_looks(router, services)
    return router


def _add_tasks(router: APIRouter, services: Services) -> None:
    @router.get("/tasks/{task_id}/spent")
    async def task_spent(task_id: str) -> Response:
        """The msgpack pair of what a task has cost (nano-USD, open calls at their bound) and how many calls it made,
        with all that was in the journals when this was asked; 503 when that takes longer than 10 s."""
        found = await services.task_spent(bytes.fromhex(task_id))
        return Response(msgspec.msgpack.encode(found), media_type="application/msgpack")


def _add_looks(router: APIRouter, services: Services) -> None:
    """How call processes answer what their counters say."""

    @router.get("/looks")
    async def question(request: Request) -> Response:
        """The msgpack `Asked` of what somebody wants to know of counters, else 204 after 20 s."""
        asked = await _unless_gone(request, services.looks.take())
        return Response(status_code=204) if asked is None else Response(asked, media_type="application/msgpack")

    @router.post("/looks", status_code=204)
    async def answer(request: Request) -> None:
        """The msgpack `Answered`."""
        try:
            services.looks.answer(await request.body())
        except msgspec.DecodeError as error:
            raise BadRequest("This is no answer.") from error


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, bytes | None]) -> bytes | None:
    """The answer; None when nobody is there to have it: a clean stop must not wait for that."""
    asking, gone = asyncio.ensure_future(answer), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({asking, gone}, return_when=asyncio.FIRST_COMPLETED)
        return asking.result() if asking.done() else None
    finally:
        asking.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    """Wait until the other side has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
