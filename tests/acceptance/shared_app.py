"""One web application for many control planes, one after another: its hundreds of routes cost more than a plane.

Every request looks its services up anew, so nothing of one plane is left for the next.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from fastapi import FastAPI

from sekisho.web.admin.app import create_admin_app
from sekisho.web.admin.services import Services

_idle: list["_Shared"] = []


class _Part:
    """A register or a clock that a router keeps from the time when it was made: found again at each use."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)


class _Shared:
    """An application, and the services that it serves now."""

    def __init__(self) -> None:
        self.now: Services | None = None
        self.app: FastAPI = create_admin_app(cast("Services", self))

    def __getattr__(self, name: str) -> Any:
        if self.now is None:
            return _Part(lambda: getattr(self.now, name))
        return getattr(self.now, name)


@contextmanager
def app_over(services: Services) -> Iterator[FastAPI]:
    """An application over these services, for the time of the block and for nobody else."""
    shared = _idle.pop() if _idle else _Shared()
    shared.now = services
    try:
        yield shared.app
    finally:
        shared.now = None
        _idle.append(shared)
