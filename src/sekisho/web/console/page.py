"""What a page file gives to the router: pages with their addresses, and who has them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response

from sekisho.web.console.edge import Visit


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `path`: below /console. `place`: only for roles with this place in the navigation; empty: the page
    judges by itself. `is_public`: also without a session. `is_own`: also while the person must first do something."""

    path: str
    handler: Callable[[Visit], Awaitable[Response]]
    method: Literal["GET", "POST"] = "GET"
    place: str = ""
    is_public: bool = False
    is_own: bool = False
