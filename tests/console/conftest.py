"""A console with forty calls of every state, and a signed-in browser for it."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from sekisho.web.console.router import create_console_router
from tests.console.fakes import INFO, FakeQueries, FakeSessions, fake_clock, make_calls


@pytest.fixture
def queries() -> FakeQueries:
    return FakeQueries(make_calls())


@pytest.fixture
def sessions() -> FakeSessions:
    return FakeSessions()


@pytest.fixture
def visitor(queries: FakeQueries, sessions: FakeSessions) -> Iterator[TestClient]:
    """Somebody without a session, who reads English."""
    app = FastAPI()
    app.include_router(create_console_router(queries, sessions, info=INFO, clock=fake_clock()))
    with TestClient(app, follow_redirects=False, headers={"accept-language": "en"}) as client:
        yield client


@pytest.fixture
def alice(visitor: TestClient, sessions: FakeSessions) -> TestClient:
    """Alice, signed in."""
    visitor.cookies.set("sekisho_session", sessions.start("alice"), path="/console")
    return visitor
