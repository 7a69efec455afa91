"""A page's figures as CSV, from the same rows as the page: whole dollars and every digit, never rounded."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from sekisho.web.console.edge import Visit
from sekisho.web.csv_cells import harmless

_TYPE = "text/csv; charset=utf-8"


def wants_csv(visit: Visit) -> bool:
    """Whether the address asks for an export in place of the page."""
    return visit.request.query_params.get("format") == "csv"


def csv_address(visit: Visit, **more: str) -> str:
    """The address of this page's export: the same one, with `format=csv`. `more`: which of several it is."""
    url = visit.request.url.include_query_params(**{"format": "csv", **more})
    return f"{url.path}?{url.query}"


def csv_file(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """The rows as a file. Texts that a spreadsheet would take for a formula begin with an apostrophe."""
    return PlainTextResponse(_lines([head]) + _lines(rows), media_type=_TYPE, headers=_headers(name))


async def csv_stream(name: str, head: Sequence[str], pages: AsyncIterator[Iterable[Sequence[object]]]) -> Response:
    """The rows of all pages as a file that is written as it is read, however long it becomes. A page that cannot be
    read breaks it off: what did arrive whole is whole."""
    first = await anext(pages, None) or ()  # so that a failure to begin is a page that says so

    async def text() -> AsyncIterator[str]:
        yield _lines([head]) + _lines(first)
        async for rows in pages:
            yield _lines(rows)

    return StreamingResponse(text(), media_type=_TYPE, headers=_headers(name))


def _headers(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}.csv"'}


def _lines(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    return harmless(value) if isinstance(value, str) else "" if value is None else value
