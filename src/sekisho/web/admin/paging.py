"""Lists a page at a time: how many, behind what, and where the following page begins."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

from sekisho.errors import BadRequest

PageSize = Annotated[int, Query(ge=1, le=500)]
AfterNumber = Annotated[int | None, Query(ge=0, lt=2**31)]
T = TypeVar("T")


def page(
    name: str, found: Sequence[T], limit: int, render: Callable[[T], dict[str, Any]], cursor: Callable[[T], int | str]
) -> dict[str, Any]:
    """At most `limit` of what was found, of which one more was asked for. `next`: pass it as `after` for the following
    page; null at the end."""
    shown = found[:limit]
    return {name: [render(one) for one in shown], "next": cursor(shown[-1]) if len(found) > limit else None}


def render_cursor(*parts: str) -> str:
    """The place behind something that several names tell apart."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def parse_cursor(text: str, parts: int) -> tuple[str, ...]:
    """As `render_cursor` made it; empty for no text. Raises BadRequest."""
    if not text:
        return ()
    try:
        found = json.loads(base64.urlsafe_b64decode(text))
        if isinstance(found, list) and len(found) == parts and all(isinstance(one, str) for one in found):
            return tuple(found)
    except ValueError:
        pass
    raise BadRequest("This is not the `next` of a page of this list.", param="after")
