"""The calls behind a figure: a list narrowed by the address, page by page, and the same as CSV to the last digit.

Above: the router. Below: `record.calls.CallQueries`, within what the principal may see.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from sekisho.access.money import usd_text
from sekisho.clock import id_text, parse_id
from sekisho.record.calls import CallFilter, CallRow, tools_text
from sekisho.web.admin.calls import part_of
from sekisho.web.admin.times import iso
from sekisho.web.console.calls_view import ViewedCalls
from sekisho.web.console.edge import Visit
from sekisho.web.console.exports import csv_address, csv_stream, wants_csv
from sekisho.web.console.filters import asked_times, asked_value
from sekisho.web.console.names import names_of
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.rows import make_row

PAGE_ROWS = 50
EXPORT_ROWS = 5_000  # of an export so many are read at once
FILTERS = {"team": "team_id", "user": "user_id", "key": "key_id", "model": "model", "agent": "agent", "tag": "tag",
           "status": "status", "mode": "mode", "repository": "repository"}  # fmt: skip
_CSV_HEAD = (
    *("call_id", "started_at", "status", "team_id", "user_id", "key_id", "agent", "model", "mode", "repository"),
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost_usd", "price_version", "error"),
    "tools",
)


def call_list_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _CallList(parts)
    return (Page("calls", pages.show), Page("decisions", pages.decisions, place="decisions"))


@dataclass
class _CallList:
    parts: Parts

    async def decisions(self, visit: Visit) -> Response:
        """What an auditor begins with: the calls that were refused."""
        where, plain = self._where(visit)
        return await self._page(visit, msgspec.structs.replace(where, status="refused"), plain, "decisions")

    async def show(self, visit: Visit) -> Response:
        """The calls that the address asks for, newest first."""
        return await self._page(visit, *self._where(visit), "calls")

    async def _page(self, visit: Visit, where: CallFilter, plain: dict[str, str], name: str) -> Response:
        def address(asked: dict[str, str]) -> str:
            return f"{ROOT}/{name}" + (f"?{urlencode(asked)}" if asked else "")

        if wants_csv(visit):
            return await csv_stream("calls", _CSV_HEAD, self._every(where))
        before = visit.request.query_params.get("before", "")
        found = await self._rows(where, PAGE_ROWS + 1, before)
        views = await ViewedCalls(self.parts.services).views(found[:PAGE_ROWS])
        names = await names_of(self.parts.services, plain.items() if views else ())  # no name of what is not seen
        older = address(plain | {"before": views[-1].call_id}) if len(found) > PAGE_ROWS else ""
        return self.parts.drawing.page(
            visit,
            "call_list.html",
            rows=[make_row(call, self.parts.drawing.info.stages, visit.words) for call in views],
            chips=[
                (one, names.filter(one, value, visit.words), address(_without(plain, one)))
                for one, value in plain.items()
            ],
            older=older,
            newest=address(plain) if before else "",
            page_rows=PAGE_ROWS,
            csv=csv_address(visit),
            now_us=self.parts.services.clock.now_us(),
            name=name,
            days=self.parts.words(visit).zone_name if plain.keys() & {"since", "until"} else "",
        )

    def _where(self, visit: Visit) -> tuple[CallFilter, dict[str, str]]:
        """The filter, and what the address says in plain words. What cannot be is ignored."""
        query, zone = visit.request.query_params, self.parts.zone
        plain = {name: query[name][:401] for name in FILTERS if query.get(name)}
        if "team" in plain and "user" not in plain:
            visit.need_team(plain["team"])
        times = asked_times({name: query.get(name, "") for name in ("since", "until")}, zone)
        plain |= {name: query[name][:40] for name in times}
        fields = {FILTERS[name]: asked_value(value) for name, value in plain.items() if name in FILTERS}
        where = msgspec.convert({**fields, **times}, CallFilter)
        return msgspec.structs.replace(where, part=part_of(visit.who)), plain

    async def _rows(self, where: CallFilter, limit: int, before: str) -> list[CallRow]:
        services = self.parts.services
        try:
            last = parse_id(before) if before else None
        except ValueError:
            last = None
        return await services.calls.recent(services.org_id, limit=limit, before=last, where=where)

    async def _every(self, where: CallFilter) -> AsyncIterator[Iterator[tuple[object, ...]]]:
        """All calls that fit, newest first, page by page."""
        before = ""
        while found := await self._rows(where, EXPORT_ROWS, before):
            yield map(_csv_row, found)
            if len(found) < EXPORT_ROWS:
                return
            before = id_text(found[-1].id)


def _without(plain: dict[str, str], name: str) -> dict[str, str]:
    return {one: value for one, value in plain.items() if one != name}


def _csv_row(row: CallRow) -> tuple[object, ...]:
    usage = row.usage
    writes = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    return (
        *(id_text(row.id), iso(row.started_at), row.status, row.team_id, row.user_id, row.key_id, row.agent, row.model),
        *(row.mode, row.repository),
        *(usage.input_tokens, usage.cache_read_tokens, writes, usage.output_tokens),
        *(usd_text(row.cost_nanousd), row.price_version, row.error, tools_text(row.tools)),
    )
