"""A console with forty calls of every state, a signed-in visitor for it, and one real browser for all tests."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from fastapi import FastAPI
from playwright.async_api import Browser, async_playwright
from starlette.testclient import TestClient

from sekisho.web.console.router import create_console_router
from tests.console.fakes import INFO, FakeQueries, FakeSessions, fake_clock, make_calls
from tests.servers import program


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


def chromium() -> str:
    """A Chromium to drive: SEKISHO_TEST_CHROMIUM, or one on the PATH, or one from the system's packages."""
    found = os.environ.get("SEKISHO_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found:
        return found
    return program("chromium", "chromium")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests; each of them gets a context of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        await browser.close()
