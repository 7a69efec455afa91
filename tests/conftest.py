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


# What takes longest begins first, so that at the end no worker is busy alone.
_SLOW = (
    "processes",
    "processes and stores",
    "browser",
    "house",
    "acceptance/test_backup",
    "acceptance/test_upstream_faults",
    "cli/test_main",
    "tasks",
    "acceptance/test_bound",
    "migration/test_upgrade_under_load",
    "acceptance/test_admin_conformance",
    "store/test_content",
    "store/test_audit",
    "store/test_dump",
)


def _group(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    return mark.args[0] if mark else f"{item.path.parent.name}/{item.path.stem}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a file go to one worker, unless the file says otherwise: what they share is made once."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _SLOW.index(_group(item)) if _group(item) in _SLOW else len(_SLOW))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of collected tests live as long as the worker: they are not walked again at each collection."""
    if getattr(session.config.option, "loadgroup", False):
        assert all("@" in item.nodeid for item in session.items), "pytest-xdist does not group"
    gc.collect()
    gc.freeze()
