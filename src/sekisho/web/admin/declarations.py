"""The organisation as one document: what an apply would do, the apply, the export."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from sekisho.access.declaration.difference import Options
from sekisho.access.declaration.plans import Action, Plan
from sekisho.access.declaration.problems import BadDocument, Problem
from sekisho.access.declaration.things import describe
from sekisho.access.declaration.tree import MOST_BYTES
from sekisho.access.roles import Permission, Principal
from sekisho.errors import NotAllowed
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.errors import error_body
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.services import Services

_READS: tuple[Permission, ...] = ("organisation:read", "keys:read", "budgets:read", "limits:read", "rules:read")


class PlanRequest(BaseModel):
    """A document in YAML, and what to do with what it does not state.

    `prune`: delete what an earlier apply made and the document no longer states; never what others made. `adopt`: treat
    what it states and others made as made by an apply from now on.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"document": "teams:\n  dept-a:\n    alias: 部門A\n", "prune": False}]},
    )

    document: Annotated[str, Field(max_length=MOST_BYTES)]
    prune: bool = False
    adopt: bool = False


class ApplyRequest(PlanRequest):
    """As for a plan. `plan`: the `id` of the plan that was agreed to; refused with 409 when it is now another."""

    plan: Annotated[str, Field(max_length=64)] = ""


class DocumentProblem(BaseModel):
    """What is wrong or odd, in the language of `Accept-Language`. `line` counts from 1; 0: the document as a whole."""

    line: int
    message: str


class PlannedChange(BaseModel):
    """One step. `drifted`: the fields that somebody changed since the last apply.

    A key that is created has no secret until it is rotated or handed over."""

    action: Action
    name: str
    address: list[str]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    drifted: list[str]
    line: int


class Kept(BaseModel):
    """What an apply made and the document no longer states, but that stays; `because_of`: what others made in it."""

    name: str
    address: list[str]
    because_of: list[str]


class PlanAnswer(BaseModel):
    """What an apply would do or did. `unmanaged`: what is there and no document ever stated; it is left alone."""

    id: str
    changes: list[PlannedChange]
    kept: list[Kept]
    unmanaged: list[str]
    warnings: list[DocumentProblem]


def declarations_router(services: Services, authority: Authority) -> APIRouter:
    """Plan and export for who may read everything, apply for platform administrators."""
    router = idempotent_router(services, authority, "/admin/v1", "configuration as code")
    register = services.declarations

    async def reader(request: Request) -> Principal:
        principal = await authority.principal(request)
        missing = next((one for one in _READS if not principal.may(one)), None)
        if missing:
            raise NotAllowed(f"This needs the permission {missing} in the whole organisation.")
        return principal

    @router.post("/plan", response_model=PlanAnswer)
    async def plan_document(body: PlanRequest, request: Request, who: Annotated[Principal, Depends(reader)]) -> Any:
        """What it would take to make the organisation what the document states. Changes nothing."""
        options = Options(body.prune, body.adopt)
        try:
            declaration = await asyncio.to_thread(register.read, body.document)
            return _render(await register.plan(declaration, options, who.actor), request)
        except BadDocument as error:
            return _refuse(error, request)

    @router.post("/apply", response_model=PlanAnswer)
    async def apply_document(
        body: ApplyRequest, request: Request, who: Annotated[str, Depends(authority.administrator)]
    ) -> Any:
        """Make the organisation what the document states, all or nothing; in force in every call process when this
        answers. Doing it again changes nothing."""
        options = Options(body.prune, body.adopt)
        try:
            declaration = await asyncio.to_thread(register.read, body.document)
            return _render(await register.apply(declaration, options, who, body.plan), request)
        except BadDocument as error:
            return _refuse(error, request)

    @router.get("/export", response_class=PlainTextResponse)
    async def export_document(_who: Annotated[Principal, Depends(reader)]) -> Response:
        """The organisation as a document; applying it changes nothing. No secret is in it."""
        return PlainTextResponse(await register.export(), media_type="application/yaml")

    return router


def _render(plan: Plan, request: Request) -> PlanAnswer:
    return PlanAnswer(
        id=plan.digest,
        changes=[
            PlannedChange(
                action=one.action,
                name=describe(one.address),
                address=list(one.address),
                before=one.before,
                after=one.after,
                drifted=list(one.drifted),
                line=one.line,
            )
            for one in plan.changes
        ],
        kept=[
            Kept(
                name=describe(one.address),
                address=list(one.address),
                because_of=[describe(other) for other in one.because_of],
            )
            for one in plan.left
        ],
        unmanaged=[describe(address) for address in plan.unmanaged],
        warnings=[_problem(one, request) for one in plan.warnings],
    )


def _refuse(error: BadDocument, request: Request) -> JSONResponse:
    """The usual error, with every problem of the document beside it."""
    first = _problem(error.problems[0], request)
    body = error_body(error, error.status)
    problems = [_problem(one, request).model_dump() for one in error.problems]
    body["error"] |= {"message": f"{first.line}: {first.message}" if first.line else first.message}
    return JSONResponse(body | {"problems": problems}, error.status)


def _problem(problem: Problem, request: Request) -> DocumentProblem:
    is_japanese = request.headers.get("accept-language", "").lower().startswith("ja")
    return DocumentProblem(line=problem.line, message=problem.ja if is_japanese else problem.en)
