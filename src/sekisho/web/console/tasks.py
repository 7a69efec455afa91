"""Tasks: a list that the address narrows, and each as one readable conversation with its cost beside it.

Who may see a task, and who may read what was said, is the admin API's to say: this asks it as the person.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from sekisho.clock import id_text, parse_id
from sekisho.errors import NotFound
from sekisho.record.cache import NEVER_CACHED, REMEDIES
from sekisho.record.calls import CallFilter, CallRow
from sekisho.record.tasks import TaskStep
from sekisho.web.admin.calls import part_of
from sekisho.web.admin.times import iso
from sekisho.web.console.calls_view import ViewedCalls, key_label
from sekisho.web.console.conversation_view import Window, items_of, title_of
from sekisho.web.console.edge import Visit
from sekisho.web.console.exports import csv_address, csv_stream, wants_csv
from sekisho.web.console.filters import asked_times, asked_value
from sekisho.web.console.names import names_of
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.prose import Prose
from sekisho.web.console.rows import agent_name, make_row
from sekisho.web.console.task_strip import strip_of
from sekisho.web.console.writing import ask_admin

PAGE_TASKS = 50
EXPORT_TASKS = 1_000  # of an export so many are read at once
WINDOW_CALLS = 100
MOST_CALLS = 20_000
_TIMES = ("since", "until")
_FILTERS = {"team": "team_id", "user": "user_id", "key": "key_id", "agent": "agent", "mode": "mode", "since": "since",
            "until": "until", "repository": "repository"}  # fmt: skip
_CSV_HEAD = (
    *("task_id", "first_at", "last_at", "team_id", "user_id", "key_id", "agent", "repository", "branch"),
    *("calls", "turns", "failed", "refused", "cost_nanousd"),
)


def task_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Tasks(parts)
    return (
        Page("tasks", pages.show, place="tasks"),
        Page("tasks/{task_id}", pages.task),
        Page("tasks/{task_id}/more", pages.more),
    )


@dataclass(frozen=True)
class Sums:
    """A task's figures. Times in microseconds; `own_us`: inside Sekisho, `waiting_us`: held back by a budget."""

    calls: int
    turns: int
    cost_nanousd: int
    list_cost_nanousd: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    duration_us: int
    own_us: int
    waiting_us: int
    failed: int
    refused: int
    saved_nanousd: int
    lost_nanousd: int
    broken: int

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


@dataclass
class _Tasks:
    """One method for each page."""

    parts: Parts

    async def show(self, visit: Visit) -> Response:
        """The tasks that the address asks for: used last, or the dearest, first."""
        query = visit.request.query_params
        plain = {name: query[name][:200] for name in _FILTERS if query.get(name)}
        times = asked_times(plain, self.parts.zone)
        plain = {name: value for name, value in plain.items() if name not in _TIMES or name in times}
        sort = "cost" if query.get("sort") == "cost" else "last"
        asked = {_FILTERS[name]: asked_value(value) for name, value in plain.items() if name not in _TIMES}
        asked |= {name: iso(at) or "" for name, at in times.items()} | {"sort": sort}
        if wants_csv(visit):
            return await csv_stream("tasks", _CSV_HEAD, self._every(visit, asked))
        after = query.get("after", "")
        found = await self._ask(
            visit, "tasks?" + urlencode(asked | {"limit": str(PAGE_TASKS), "after": after, "titles": "true"})
        )
        own = plain | ({"sort": sort} if sort != "last" else {})
        names = await names_of(
            self.parts.services, plain.items() if found["tasks"] else ()
        )  # no name of what is not seen
        return self.parts.drawing.page(
            visit,
            "tasks.html",
            tasks=[one | {"agent_name": agent_name(one["agent"])} for one in found["tasks"]],
            most=max((one["cost_nanousd"] for one in found["tasks"]), default=0),
            chips=[
                (name, names.filter(name, value, visit.words), _address({k: v for k, v in own.items() if k != name}))
                for name, value in plain.items()
            ],
            orders_named=[
                (visit.words("tasks.order." + name), _address(plain | {"sort": name}), name == sort)
                for name in ("last", "cost")
            ],
            older=_address(own | {"after": found["next"]}) if found["next"] else "",
            newest=_address(own) if after else "",
            page_rows=PAGE_TASKS,
            csv=csv_address(visit),
            shows_people=visit.role != "developer",
            at=_microseconds,
            **await self._names(found["tasks"]),
        )

    async def task(self, visit: Visit) -> Response:
        """One task: its figures, its cost call by call, and that window of its conversation which holds the call that
        the address names, else the first."""
        task = await self._ask(visit, "tasks/" + _id_of(visit))
        if _id_of(visit) != task["id"]:  # it turned out to be a part of another
            return self._moved(visit, task["id"])
        steps = await self._outline(visit, task["id"])
        first = _window_of(steps, visit.request.query_params.get("call", ""))
        said = await self._said(visit, task["id"], _before(steps, first))
        begun = await self._said(visit, task["id"], "", limit=1) if first else said
        words = visit.words
        return self.parts.drawing.page(
            visit,
            "task.html",
            task=task | {"agent_name": agent_name(task["agent"])},
            title=title_of(begun.values()) or words.known("task.untitled", ""),
            level=next((one["level"] for one in said.values()), "none"),
            sums=_sums(steps, task),
            strip=strip_of(steps),
            first_at=_microseconds(task["first_at"]),
            last_at=_microseconds(task["last_at"]),
            first=first,
            window=WINDOW_CALLS,
            earlier=id_text(steps[max(0, first - WINDOW_CALLS)].id) if first else "",
            **await self._window(visit, task, steps, first, said),
        )

    async def more(self, visit: Visit) -> Response:
        """The next window, for htmx."""
        task = await self._ask(visit, "tasks/" + _id_of(visit))
        steps = await self._outline(visit, task["id"])
        text = visit.request.query_params.get("from", "")
        first = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0
        said = await self._said(visit, task["id"], _before(steps, first))
        about = await self._window(visit, task, steps, first, said)
        return self.parts.drawing.page(visit, "_turns.html", **about)

    async def _window(
        self,
        visit: Visit,
        task: Mapping[str, Any],
        steps: Sequence[TaskStep],
        first: int,
        said: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        following = first + WINDOW_CALLS
        shown = await self._calls(visit, task["id"], steps[first:following])
        views = await ViewedCalls(self.parts.services).views(shown)
        drawn = [make_row(view, self.parts.drawing.info.stages, visit.words) for view in views]
        broken = [call.id for call in shown if call.cache_cause]
        found = await self.parts.services.cache.breaks_of(self.parts.services.org_id, broken) if broken else {}
        window = Window(
            rows=[(row, call.mode, call.turn, call.asked_model) for row, call in zip(drawn, shown, strict=True)],
            first=first + 1,
            mode=next((step.mode for step in reversed(steps[:first]) if step.mode), ""),
            dearest_nanousd=max((step.cost_nanousd for step in steps), default=0),
            broken={id_text(call_id): one for call_id, one in found.items()},
        )
        prose = Prose(str(visit.words("task.chart")), str(visit.words("task.chart.source")))
        return {
            **await self._names([task]),
            "items": items_of(window, said, prose),
            "remedies": {cause: words[visit.words.language] for cause, words in REMEDIES.items()},
            "never_cached": NEVER_CACHED,
            "text_of": id_text,
            "left": max(0, len(steps) - following),
            "following": f"{ROOT}/tasks/{task['id']}/more?from={following}",
        }

    async def _outline(self, visit: Visit, task_id: str) -> list[TaskStep]:
        """All calls of a task, in their order, as many as a page can bear."""
        services, part = self.parts.services, part_of(visit.who)
        return await services.tasks.outline(services.org_id, parse_id(task_id), limit=MOST_CALLS, part=part)

    async def _calls(self, visit: Visit, task_id: str, steps: Sequence[TaskStep]) -> list[CallRow]:
        """The calls behind a window of the outline, in their order; the next call's id bounds the search."""
        if not steps:
            return []
        services, where = self.parts.services, CallFilter(task_id=parse_id(task_id), part=part_of(visit.who))
        before = (int.from_bytes(steps[-1].id) + 1).to_bytes(16)
        rows = await services.calls.recent(services.org_id, limit=len(steps), before=before, where=where)
        return rows[::-1]

    async def _said(
        self, visit: Visit, task_id: str, after: str, limit: int = WINDOW_CALLS
    ) -> dict[str, Mapping[str, Any]]:
        """What was said, by call; nothing where nothing is kept or this person may not read it."""
        query = urlencode({"limit": str(limit), "after": after})
        answer = await ask_admin(visit, visit.who, "GET", f"/admin/v1/tasks/{task_id}/turns?{query}")
        return {call["call_id"]: call for call in answer.body["calls"]} if answer.is_good else {}

    async def _names(self, tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the people, teams and keys of these tasks are called."""
        services = self.parts.services
        users, teams, keys = (
            frozenset(one[name] for one in tasks if one[name]) for name in ("user_id", "team_id", "key_id")
        )
        labels = await services.keys.labels(keys)
        return {
            "names": {one.id: one.alias for one in await services.users.list(limit=len(users) or 1, among=users)},
            "teams": {one.id: one.alias for one in await services.teams.list(limit=len(teams) or 1, among=teams)},
            "keys": {key_id: key_label(labels, key_id) for key_id in keys},
        }

    async def _every(self, visit: Visit, asked: Mapping[str, str]) -> AsyncIterator[Iterator[tuple[object, ...]]]:
        """All tasks that fit, page by page."""
        after: str | None = ""
        while after is not None:
            page = await self._ask(visit, "tasks?" + urlencode({**asked, "limit": str(EXPORT_TASKS), "after": after}))
            yield map(_csv_row, page["tasks"])
            after = page["next"]

    async def _ask(self, visit: Visit, what: str) -> dict[str, Any]:
        """What the admin API answers to this person. Raises NotFound for what it does not show."""
        answer = await ask_admin(visit, visit.who, "GET", f"/admin/v1/{what}")
        if not answer.is_good:
            raise NotFound
        found: dict[str, Any] = answer.body
        return found

    def _moved(self, visit: Visit, task_id: str) -> Response:
        query = visit.request.url.query
        address = f"{ROOT}/tasks/{task_id}" + (f"?{query}" if query else "")
        return Response(status_code=303, headers={"location": address})


async def titled_tasks(visit: Visit, limit: int, **asked: str) -> list[dict[str, Any]]:
    """Tasks in the words of the admin API, with their titles where those are this person's to read."""
    query = urlencode(asked | {"limit": str(limit), "titles": "true"})
    answer = await ask_admin(visit, visit.who, "GET", f"/admin/v1/tasks?{query}")
    found = answer.body["tasks"] if answer.is_good else []
    return [task | {"agent_name": agent_name(task["agent"]), "at": _microseconds(task["first_at"])} for task in found]


def _id_of(visit: Visit) -> str:
    text = str(visit.request.path_params["task_id"])
    if not (len(text) == 26 and text.isalnum() and text.isascii()):
        raise NotFound
    return text


def _window_of(steps: Sequence[TaskStep], call_id: str) -> int:
    """Where the window begins that holds this call; 0 for one that is not there."""
    at = next((number for number, step in enumerate(steps) if id_text(step.id) == call_id), 0)
    return at - at % WINDOW_CALLS


def _before(steps: Sequence[TaskStep], first: int) -> str:
    """The call after which a window begins; empty for the first."""
    return id_text(steps[first - 1].id) if 0 < first <= len(steps) else ""


def _sums(steps: Sequence[TaskStep], task: Mapping[str, Any]) -> Sums:
    """Counts, tokens and money are those that the ledger keeps of the task, as in the list of tasks: also of calls that
    are too many for the page."""
    modes = task["modes"]

    def summed(name: str) -> int:
        return sum(one[name] for one in modes)

    def tokens(*names: str) -> int:
        return sum(one["usage"][name] for one in modes for name in names)

    duration_us, waiting_us = sum(step.duration_us for step in steps), sum(step.waited_us for step in steps)
    return Sums(
        calls=summed("calls"),
        turns=task["turns"],
        cost_nanousd=summed("cost_nanousd"),
        list_cost_nanousd=summed("list_cost_nanousd"),
        input_tokens=tokens("input_tokens"),
        cache_read_tokens=tokens("cache_read_tokens"),
        cache_write_tokens=tokens("cache_write_5m_tokens", "cache_write_1h_tokens"),
        output_tokens=tokens("output_tokens"),
        duration_us=duration_us,
        own_us=max(0, duration_us - sum(step.upstream_us for step in steps if step.duration_us) - waiting_us),
        waiting_us=waiting_us,
        failed=summed("failed"),
        refused=summed("refused"),
        saved_nanousd=sum(step.cache_saved_nanousd for step in steps),
        lost_nanousd=sum(step.cache_lost_nanousd for step in steps),
        broken=sum(step.is_cache_broken for step in steps),
    )


def _address(plain: Mapping[str, str]) -> str:
    return f"{ROOT}/tasks?{urlencode(plain)}" if plain else f"{ROOT}/tasks"


def _csv_row(task: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(task["id" if name == "task_id" else name] for name in _CSV_HEAD)


def _microseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000)
