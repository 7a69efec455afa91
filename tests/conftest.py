"""Settings of all tests."""

import functools
import gc
import os
import ssl
from typing import Any

import certifi
import pytest
from hypothesis import settings

import tests.thorough  # noqa: F401  it registers the profile
from sekisho.store.sql import engine

settings.load_profile("sekisho")


@functools.cache
def _public_authorities(make: Any, path: str) -> ssl.SSLContext:
    context: ssl.SSLContext = make(cafile=path)
    return context


@pytest.fixture(scope="session", autouse=True)
def authorities_read_once() -> Any:
    """Each client that httpx makes reads the public certificate authorities, 25 ms of CPU; here they are read once.

    Tests that look at certificates name a file of their own."""
    make = ssl.create_default_context
    public = {certifi.where(), os.environ.get("SSL_CERT_FILE")}

    def create_default_context(*arguments: Any, **named: Any) -> ssl.SSLContext:
        if not arguments and [*named] == ["cafile"] and named["cafile"] in public:
            return _public_authorities(make, named["cafile"])
        return make(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", create_default_context)
        yield


@pytest.fixture(scope="session", autouse=True)
def disks_not_waited_for() -> Any:
    """No test here cuts the power: what is in the kernel's hands is as good as on the disk, and far sooner there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(engine, "SQLITE_PRAGMAS", (*engine.SQLITE_PRAGMAS, "synchronous=OFF"))
        yield


def pytest_collection_finish() -> None:
    """Thousands of collected tests live as long as the worker: they are not walked again at each collection."""
    gc.collect()
    gc.freeze()
