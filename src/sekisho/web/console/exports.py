"""A page's figures as CSV, from the same rows as the page: whole dollars and every digit, never rounded."""

import csv
import io
from collections.abc import Iterable, Sequence

from starlette.responses import PlainTextResponse, Response

from sekisho.web.console.edge import Visit
from sekisho.web.csv_cells import harmless


def wants_csv(visit: Visit) -> bool:
    """Whether the address asks for an export in place of the page."""
    return visit.request.query_params.get("format") == "csv"


def csv_address(visit: Visit) -> str:
    """The address of this page's export: the same one, with `format=csv`."""
    url = visit.request.url.include_query_params(format="csv")
    return f"{url.path}?{url.query}"


def csv_file(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """The rows as a file. Texts that a spreadsheet would take for a formula begin with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return PlainTextResponse(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: object) -> object:
    return harmless(value) if isinstance(value, str) else "" if value is None else value
