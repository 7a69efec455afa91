"""Errors of the admin API in the one shape its clients know: {"error": {message, type, param, code}}."""

import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import BadRequest, Internal, NotAllowed, NotAuthenticated, NotFound, SekishoError

log = logging.getLogger(__name__)
CLIENT_GONE = 499


def handle_errors(app: FastAPI, clock: Clock) -> None:
    """Render every error of the routes of this app."""

    async def refuse(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, SekishoError)
        return render_error(error)

    async def unreadable(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"][1:])
        return render_error(BadRequest(f"{param or 'The body'}: {first['msg']}.", param=param or None))

    async def framework(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return render_error(NotFound("There is no such page."))
        return render_error(BadRequest(str(error.detail)), error.status_code)

    async def gone(_request: Request, _error: Exception) -> Response:
        return Response(status_code=CLIENT_GONE)  # nobody is there to read it, and nothing failed

    async def unexpected(_request: Request, error: Exception) -> JSONResponse:
        fault = id_text(new_id(clock.now_us()))
        log.error("internal error %s", fault, exc_info=error)
        return render_error(Internal(f"Something failed inside Sekisho. Its id in the log: {fault}"))

    app.add_exception_handler(SekishoError, refuse)
    app.add_exception_handler(RequestValidationError, unreadable)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unexpected)


def render_error(error: SekishoError, status: int | None = None) -> JSONResponse:
    """The response for an error. Not being allowed is 403 here: no agent reads this API."""
    status = status or (403 if isinstance(error, NotAllowed) else error.status)
    return JSONResponse(error_body(error, status), status)


def error_body(error: SekishoError, status: int) -> dict[str, Any]:
    """The body of an error in its one shape."""
    kind = "auth_error" if isinstance(error, NotAuthenticated) else error.openai_type
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": str(status)}}
