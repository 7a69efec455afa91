"""The audit log with its proof, the judgements an auditor reads, notices, and how this Sekisho runs."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from sekisho.access.audit import AuditEntry, AuditFilter
from sekisho.access.audit_proof import Proof
from sekisho.access.money import usd_text
from sekisho.errors import BadRequest
from sekisho.record.events import Event
from sekisho.record.reporting import Rate
from sekisho.web.admin.times import iso, parse_since, parse_until
from sekisho.web.console.edge import Visit, accepted_form
from sekisho.web.console.exports import csv_address, csv_stream, wants_csv
from sekisho.web.console.names import names_of
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.writing import ask_admin, done, refused

PAGE_ROWS = 50
AT_ONCE = 2_000
MOST_PROVEN = 1_000_000
EXPORT_ROWS = 5_000  # of an export so many are read at once


def record_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Records(parts)
    return (
        Page("audit", pages.audit, place="audit"),
        Page("audit/verify", pages.verify, method="POST", place="audit"),
        Page("notices", pages.notices, place="notices"),
        Page("settings", pages.settings, place="settings"),
        Page("rates", pages.rates, place="rates"),
        Page("rates", pages.set_rates, method="POST", place="rates"),
    )


@dataclass(frozen=True)
class Entry:
    """One line of the log with what was changed: (field, before, after)."""

    entry: AuditEntry
    changes: tuple[tuple[str, str, str], ...]

    @property
    def actor(self) -> tuple[str, str]:
        """Kind and id of who did it; the kind is empty for whoever has no name."""
        kind, _, id = self.entry.actor.partition(":")
        return (kind, id) if id else ("", kind)

    @property
    def object(self) -> tuple[str, str]:
        return self.entry.kind, self.entry.id


@dataclass
class _Records:
    """One method for each page."""

    parts: Parts

    async def audit(self, visit: Visit) -> Response:
        """Entries, newest first, narrowed by the address."""
        visit.need("audit:read")
        services, query, zone = self.parts.services, visit.request.query_params, self.parts.zone
        plain = {
            name: query[name][:401]
            for name in ("actor", "action", "kind", "id", "since", "until")
            if query.get(name)
        }  # fmt: skip
        try:
            since = parse_since(plain.get("since"), "since", zone) or 0
            until = parse_until(plain.get("until"), "until", zone) or 0
        except BadRequest:
            since = until = 0
        texts = {name: plain.get(name, "") for name in ("actor", "action", "kind", "id")}
        where = AuditFilter(**texts, since=since, until=until)
        before = query.get("before", "")
        cursor = int(before) if before.isascii() and before.isdigit() and len(before) < 18 else None
        if wants_csv(visit):
            return await csv_stream("audit", _CSV_HEAD, self._every(where))
        found = await services.audit.list_entries(services.org_id, where, limit=PAGE_ROWS + 1, before=cursor)
        shown = [Entry(entry, _changes(entry)) for entry in found[:PAGE_ROWS]]
        more = plain | {"before": str(found[PAGE_ROWS - 1].sequence)} if len(found) > PAGE_ROWS else {}
        return self.parts.drawing.page(
            visit,
            "audit.html",
            entries=shown,
            names=await names_of(services, [pair for one in shown for pair in (one.actor, one.object)]),
            head=await services.audit.head(services.org_id),
            anchor_error=services.health().audit_error,
            chips=[(name, value, self._without(plain, name)) for name, value in plain.items()],
            narrow=lambda name, value: f"{ROOT}/audit?{urlencode(plain | {name: value})}",
            older=f"{ROOT}/audit?{urlencode(more)}" if more else "",
            newest=f"{ROOT}/audit?{urlencode(plain)}" if before else "",
            page_rows=PAGE_ROWS,
            csv=csv_address(visit),
        )

    async def verify(self, visit: Visit) -> Response:
        """Walk the chain from its beginning and say whether it is whole."""
        visit.need("audit:read")
        await accepted_form(visit)
        services, proof, last = self.parts.services, Proof(), 0
        while proof.count < MOST_PROVEN:
            entries = await services.audit.read_entries(services.org_id, after=last, limit=AT_ONCE)
            if not entries or not proof.add(entries):
                break
            last = entries[-1].sequence
        finding = proof.end(await services.audit.head(services.org_id))
        return self.parts.drawing.page(
            visit, "_proof.html", finding=finding, count=proof.count, is_cut=proof.count >= MOST_PROVEN
        )

    async def notices(self, visit: Visit) -> Response:
        """What somebody wanted to be told of, newest first."""
        visit.need("budgets:read")
        services = self.parts.services
        before = visit.request.query_params.get("before", "")
        cursor = int(before) if before.isascii() and before.isdigit() and len(before) < 10 else None
        found = await services.events.list_events(services.org_id, limit=PAGE_ROWS + 1, before=cursor)
        return self.parts.drawing.page(
            visit,
            "notices.html",
            events=found[:PAGE_ROWS],
            names=await names_of(services, [_scope_of(event) for event in found[:PAGE_ROWS]]),
            older=f"{ROOT}/notices?before={found[PAGE_ROWS - 1].id}" if len(found) > PAGE_ROWS else "",
            newest=f"{ROOT}/notices" if before else "",
            page_rows=PAGE_ROWS,
        )

    async def settings(self, visit: Visit) -> Response:
        """The settings in force, and how the processes and counters do."""
        visit.need("settings:read")
        services = self.parts.services
        return self.parts.drawing.page(
            visit,
            "settings.html",
            health=services.health(),
            counting=await services.counting(),
            settings=self.parts.drawing.info.settings,
        )

    async def rates(self, visit: Visit) -> Response:
        """Yen by dated rates, the band, and whether people are named."""
        visit.need("spend:read")
        reporting = await self.parts.services.reporting.get()
        return self.parts.drawing.page(
            visit,
            "rates.html",
            reporting=reporting,
            low=usd_text(reporting.band_low_nanousd),
            high=usd_text(reporting.band_high_nanousd),
            today=f"{self.parts.words(visit).moment(self.parts.services.clock.now_us()):%Y-%m-%d}",
        )

    async def set_rates(self, visit: Visit) -> Response:
        """Add a rate, or take one away, or set the band."""
        form = await accepted_form(visit)
        known = await self.parts.services.reporting.get()
        rates = [rate for rate in known.rates if rate.day not in (form.get("day", ""), form.get("drop", ""))]
        if form.get("day"):
            rates.append(Rate(form["day"], form.get("rate", "").strip()))
        body: dict[str, Any] = {
            "rates": [{"day": rate.day, "jpy_per_usd": rate.jpy_per_usd} for rate in rates],
            "band_low_usd": form.get("low", usd_text(known.band_low_nanousd)),
            "band_high_usd": form.get("high", usd_text(known.band_high_nanousd)),
            "names_people": form.get("names") == "yes" if "low" in form else known.names_people,
        }
        answer = await ask_admin(visit, visit.who, "PUT", "/admin/v1/settings/reporting", body)
        if not answer.is_good:
            return refused(answer.problem(visit.words), answer.status)
        return done(self.parts.edge, form, "reporting")

    async def _every(self, where: AuditFilter) -> AsyncIterator[Iterator[tuple[object, ...]]]:
        """All entries that fit, newest first, page by page."""
        services, cursor = self.parts.services, None
        while found := await services.audit.list_entries(services.org_id, where, limit=EXPORT_ROWS, before=cursor):
            yield map(_csv_row, found)
            if len(found) < EXPORT_ROWS:
                return
            cursor = found[-1].sequence

    def _without(self, plain: dict[str, str], name: str) -> str:
        rest = {one: value for one, value in plain.items() if one != name}
        return f"{ROOT}/audit?{urlencode(rest)}" if rest else f"{ROOT}/audit"


def _scope_of(event: Event) -> tuple[str, str]:
    """Kind and id of the scope whose budget it is about."""
    scope = event.detail.get("scope") or {}
    return scope.get("kind", ""), scope.get("id", "")


def _changes(entry: AuditEntry) -> tuple[tuple[str, str, str], ...]:
    """The fields that differ between before and after, at most twenty."""
    before, after = (_object(text) for text in (entry.before, entry.after))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return tuple((name, _text(before.get(name)), _text(after.get(name))) for name in names[:20])


def _object(text: str | None) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {"": value}


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_CSV_HEAD = ("sequence", "at", "actor", "action", "kind", "id", "before", "after", "previous", "hash")


def _csv_row(entry: AuditEntry) -> tuple[object, ...]:
    return (
        *(entry.sequence, iso(entry.at), entry.actor, entry.action, entry.kind, entry.id, entry.before, entry.after),
        *(entry.previous.hex(), entry.hash.hex()),
    )
