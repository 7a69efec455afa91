"""Ten million calls in the ledger: how long a manager waits for a report, and how fast calls are booked.

`python -m bench.ledger` (or `make bench-ledger`) makes a company's calls of ninety days (`bench.population`), writes
their rows straight into the tables, adds the roll-ups up in SQL, and holds a sample of both against what the product's
own ledger books. Then it times `SpendQueries`, warm, and books more calls through the drain from a journal on disk.
Needs about 7 GB of disk for SQLite, 11 GB for PostgreSQL (a database of its own, dropped afterwards).
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import sqlalchemy as sa

from bench import population
from sekisho.clock import SystemClock
from sekisho.ledger.drain import Drain
from sekisho.ledger.journal_files import Batch, JournalReader, JournalWriter, Segment
from sekisho.record.spend import SpendQuery
from sekisho.store.sql.attempts import pack
from sekisho.store.sql.book_days import keep_days_of
from sekisho.store.sql.cells import Level
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.migrate import migrate
from sekisho.store.sql.names import Names
from sekisho.store.sql.roll_ups import MEASURES, ROLL_UPS, RollUp
from sekisho.store.sql.spend import SqlSpend
from sekisho.store.sql.tables.ledger import call, task, task_mode
from sekisho.store.sql.task_sums import kind_of
from sekisho.store.sql.times import pack_times

_RESULTS = Path(__file__).with_name("ledger.json")
_CHUNK = 20_000
_LONG_S = 3_600
_SAMPLE = 3_000
_POSTGRES = "postgresql://postgres@127.0.0.1:5432/"
_DATABASE = "sekisho_bench_ledger"
_DAY_US = population.DAY_US
_START_US = population.FIRST_DAY * _DAY_US - 9 * 3_600_000_000  # days of Tokyo, those of the books
_END_US = _START_US + population.DAYS * _DAY_US
_TOKYO = "Asia/Tokyo"

REPORTS = {
    "by team and day, 90 days": SpendQuery(("team",), "day", _START_US, _END_US, _TOKYO),
    "by team and day, a year": SpendQuery(("team",), "day", _END_US - 365 * _DAY_US, _END_US, _TOKYO),
    "by user and model, 90 days": SpendQuery(("user", "model"), None, _START_US, _END_US, _TOKYO),
    "by user and model, 40 days": SpendQuery(
        ("user", "model"), None, _START_US + 11 * _DAY_US, _START_US + 51 * _DAY_US, _TOKYO
    ),
    "by user and model, a year": SpendQuery(("user", "model"), None, _END_US - 365 * _DAY_US, _END_US, _TOKYO),
    "by tag, 90 days": SpendQuery(("tag",), None, _START_US, _END_US, _TOKYO),
    "by tag, 40 days": SpendQuery(("tag",), None, _START_US + 11 * _DAY_US, _START_US + 51 * _DAY_US, _TOKYO),
    "by tag and month, a year": SpendQuery(("tag",), "month", _END_US - 365 * _DAY_US, _END_US, _TOKYO),
    "one team by user, 30 days": SpendQuery(
        ("user",), None, _END_US - 30 * _DAY_US, _END_US, _TOKYO, {"team": ("team-07",)}
    ),
    "by person and day, 30 days": SpendQuery(("user",), "day", _END_US - 30 * _DAY_US, _END_US, _TOKYO),
    "by repository and day, 30 days": SpendQuery(("repository",), "day", _END_US - 30 * _DAY_US, _END_US, _TOKYO),
    "a tag by repository and day, 30 days": SpendQuery(
        ("repository",), "day", _END_US - 30 * _DAY_US, _END_US, _TOKYO, {"tag": ("project:07",)}
    ),
    "by team and day in Kolkata, 90 days": SpendQuery(("team",), "day", _START_US, _END_US, "Asia/Kolkata"),
    "by user and model in Kolkata, 40 days": SpendQuery(
        ("user", "model"), None, _START_US + 12_600_000_000, _START_US + 40 * _DAY_US + 12_600_000_000, "Asia/Kolkata"
    ),
}


@asynccontextmanager
async def opened(engine: str, folder: Path) -> AsyncIterator[Database]:
    """An empty database of the newest schema, gone afterwards."""
    if engine == "sqlite":
        database = Database(sqlite_url(folder / "ledger.db"))
    else:
        await _postgres(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)", f"CREATE DATABASE {_DATABASE}")
        database = Database(f"{_POSTGRES}{_DATABASE}".replace("postgresql:", "postgresql+asyncpg:"))
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()
        if engine != "sqlite":
            await _postgres(f"DROP DATABASE {_DATABASE} WITH (FORCE)")


async def _execute_long(connection: Any, statement: str) -> None:
    """Run what may take longer than the product ever waits for an answer."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql(statement)
    else:
        raw = (await connection.get_raw_connection()).driver_connection
        await raw.execute(statement, timeout=_LONG_S)


async def _postgres(*statements: str) -> None:
    connection = await asyncpg.connect(f"{_POSTGRES}postgres")
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


class Filler:
    """Writes calls without the ledger, fast; `check` proves that the rows are the ledger's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers: dict[str, int] = {"": 0}
        self._fresh: list[str] = []
        self._tasks: dict[bytes, int] = {}
        self._columns = [column.name for column in call.c]

    async def fill(self, made: Iterable[population.MadeCall]) -> int:
        """Insert the rows of these calls; how many."""
        count = 0
        rest = iter(made)
        while chunk := list(itertools.islice(rest, _CHUNK)):
            rows = [self._row(one) for one in chunk]
            async with self._database.write() as connection:
                await self._write_names(connection)
                if self._database.is_sqlite:
                    columns = ", ".join(f'"{column}"' for column in self._columns)
                    marks = ", ".join("?" * len(self._columns))
                    await connection.exec_driver_sql(f"INSERT INTO call ({columns}) VALUES ({marks})", rows)
                else:
                    raw = (await connection.get_raw_connection()).driver_connection
                    await raw.copy_records_to_table("call", records=rows, columns=self._columns)  # type: ignore[union-attr]
            count += len(rows)
            print(f"\r{count:,} calls", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return count

    async def roll_up(self) -> None:
        """Add every roll-up up from the rows."""
        async with self._database.write() as connection:
            await connection.execute(sa.text("CREATE TABLE bench_tag (tags INTEGER, tag INTEGER)"))
            self._number("plan"), self._number("act")
            sets = [text for text in self._numbers if text.startswith("[")]
            pairs = [(self._numbers[text], self._number(tag)) for text in sets for tag in json.loads(text)]
            await self._write_names(connection)
            for tags, tag in pairs:
                await connection.execute(sa.text(f"INSERT INTO bench_tag VALUES ({tags}, {tag})"))
            for one in ROLL_UPS:
                for finer, level in itertools.pairwise((None, *reversed(one.levels))):
                    if level < Level.DAY:
                        await _execute_long(connection, _roll_up_query(one, finer, level, self._numbers))
            await connection.execute(sa.text("DROP TABLE bench_tag"))
            await self._sum_tasks(connection)
            await connection.execute(
                sa.text("UPDATE counter SET value = (SELECT max(change) FROM call) WHERE name = 'change'")
            )
        await keep_days_of(self._database, _TOKYO)
        async with self._database.engine.connect() as raw:
            await _execute_long(await raw.execution_options(isolation_level="AUTOCOMMIT"), "ANALYZE")

    async def _sum_tasks(self, connection: Any) -> None:
        blob = "BLOB" if self._database.is_sqlite else "BYTEA"
        await connection.execute(sa.text(f"CREATE TABLE bench_task (number INTEGER PRIMARY KEY, id {blob})"))
        rows = [(number, task_id) for task_id, number in self._tasks.items()]
        if self._database.is_sqlite:
            await connection.exec_driver_sql("INSERT INTO bench_task VALUES (?, ?)", rows)
        else:
            raw = (await connection.get_raw_connection()).driver_connection
            await raw.copy_records_to_table("bench_task", records=rows, columns=["number", "id"])
        for query in _task_queries(self._database.is_sqlite):
            await _execute_long(connection, query)
        await connection.execute(sa.text("DROP TABLE bench_task"))
        if not self._database.is_sqlite:  # the ledger's next task takes the number behind these
            newest = sa.text("SELECT setval(pg_get_serial_sequence('task', 'number'), max(number)) FROM task")
            await connection.execute(newest)

    async def _write_names(self, connection: Any) -> None:
        rows = [(self._numbers[text], text) for text in self._fresh]
        self._fresh = []
        if not rows:
            return
        if self._database.is_sqlite:
            await connection.exec_driver_sql("INSERT INTO name (id, text) VALUES (?, ?)", rows)
        else:
            raw = (await connection.get_raw_connection()).driver_connection
            await raw.copy_records_to_table("name", records=rows, columns=["id", "text"])
            await connection.execute(sa.text(f"SELECT setval('name_id_seq', {len(self._numbers)})"))

    def _number(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._numbers)
            self._fresh.append(text)
        return number

    def _task(self, task_id: bytes) -> int:
        return self._tasks.setdefault(task_id, len(self._tasks) + 1)

    def _row(self, made: population.MadeCall) -> tuple[Any, ...]:
        opened, settled = population.records(made)
        caller, (attempt,) = opened.caller, settled.attempts
        number = self._number
        values = {
            **{"id": opened.call_id, "change": made.number, "org": number(caller.org_id)},
            **{"key": number(caller.key_id), "user": number(caller.user_id), "team": number(caller.team_id)},
            **{"tags": number(msgspec.json.encode(caller.tags).decode()), "agent": number(caller.agent)},
            **{"agent_version": number(caller.agent_version), "session": number(caller.session)},
            **{"door": number(opened.door), "model": number(opened.model), "stream": opened.stream},
            **{"request_bytes": opened.request_bytes, "reserved_nanousd": opened.reserved_nanousd, "has_caller": True},
            **{"status": number("ok"), "stage": 0, "stop_reason": number(str(settled.stop_reason)), "error": 0},
            **{"started_at": opened.started_at, "duration_us": settled.ended_at - opened.started_at},
            **{"first_byte_us": settled.first_byte_us, "upstream_us": settled.upstream_us},
            **{
                "stages_us": pack_times(settled.stages_us, settled.lead_us, settled.waited_us),
                "is_metered": True,
                "client_left": False,
            },
            **msgspec.structs.asdict(settled.usage),
            **{"list_cost_nanousd": settled.list_cost_nanousd, "cost_nanousd": settled.cost_nanousd},
            **{"price_version": number(attempt.price_version), "price_scope": number(attempt.price_scope)},
            **{"deployment": number(attempt.deployment), "sent_us": attempt.started_at - opened.started_at},
            "upstream_request_id": pack(attempt.upstream_request_id),
            **{"task": self._task(made.task.id), "repository": number(made.task.repository)},
            "kind": kind_of(made.task.mode, made.task.turn),
        }
        return tuple(values[column] for column in self._columns)


def _task_queries(is_sqlite: bool) -> Iterator[str]:
    """INSERT ... SELECT of the tasks and of their sums by mode, from the calls and `bench_task`."""
    ended = "max(started_at + duration_us)"
    human = "sum(CASE WHEN kind % 16 = 1 THEN 1 ELSE 0 END)"
    same = 'min(org), min(team), min("user"), min("key"), min(agent), max(repository), 0'
    told = f"NULL, {same}, min(started_at), {ended}, count(*), {human}, 0, 0, 0, sum(cost_nanousd)"
    yield (
        (
            f"INSERT INTO task SELECT bench_task.number, min(bench_task.id), {told} FROM call "
            "JOIN bench_task ON bench_task.number = call.task GROUP BY 1"
        )
        if is_sqlite
        else (
            f"INSERT INTO task SELECT bench_task.number, bench_task.id, {told} FROM call "
            "JOIN bench_task ON bench_task.number = call.task GROUP BY 1, 2"
        )
    )
    sums = ", ".join(f"sum({name})" for name in MEASURES[3:])
    yield (
        f"INSERT INTO task_mode SELECT task, kind / 16, count(*), {human}, 0, 0, 0, {sums}, 0, 0, 0, 0 "
        "FROM call GROUP BY 1, 2"
    )


def _roll_up_query(one: RollUp, finer: Level | None, level: Level, numbers: Mapping[str, int]) -> str:
    """INSERT ... SELECT of one level: the finest from the calls, hours from the quarters below them."""
    of_rows = {"mode": f"CASE WHEN kind < 16 THEN 0 WHEN kind < 32 THEN {numbers['plan']} ELSE {numbers['act']} END"}
    names = [f'"{name}"' if finer is not None else of_rows.get(name, f'"{name}"') for name in one.dimensions]
    dimensions = ", ".join(names)
    keys = ", ".join(str(n + 1) for n in range(3 + len(one.dimensions)))
    if finer is None:
        unit = {Level.QUARTER: 900_000_000, Level.HOUR: 3_600_000_000}[level]
        bucket, source = f"started_at / {unit}", "call"
        if "tag" in one.dimensions:
            source = "call JOIN bench_tag ON bench_tag.tags = call.tags"
        sums = "count(*), 0, 0, " + ", ".join(f'sum("{name}")' for name in MEASURES[3:])
    else:
        bucket, source = "bucket / 4", f"{one.table.name} WHERE level = {int(finer)}"
        sums = ", ".join(f'sum("{name}")' for name in MEASURES)
    rows = f"SELECT org, {int(level)}, {bucket}, {dimensions}, {sums} FROM {source} GROUP BY {keys}"
    return f"INSERT INTO {one.table.name} {rows}"


async def check(engine: str, folder: Path) -> None:
    """Book a sample with the ledger and with the filler; end the run when a table differs."""
    sample = list(itertools.islice(population.calls(200_000), 0, 200_000, 200_000 // _SAMPLE))
    found: list[dict[str, Any]] = []
    for way in ("ledger", "filler"):
        (folder / way).mkdir()
        async with opened(engine, folder / way) as database:
            if way == "ledger":
                await keep_days_of(database, _TOKYO)
                records = tuple(record for made in sample for record in population.records(made))
                await SqlLedger(database, Names(database)).apply(Batch(Segment("p", 1), 1, records))
            else:
                filler = Filler(database)
                await filler.fill(sample)
                await filler.roll_up()
            found.append(await _contents(database))
    for table, rows in found[0].items():
        if rows != found[1][table]:
            sys.exit(f"bench: {table} is not what the ledger books")
    print("the rows and sums of the sample are those that the ledger books", file=sys.stderr)


async def _contents(database: Database) -> dict[str, Any]:
    """Every row of calls and roll-ups, names as text."""
    async with database.read() as connection:
        texts = {number: text for number, text in await connection.execute(sa.text("SELECT id, text FROM name"))}
        contents: dict[str, Any] = {}
        task_ids = {
            number: task_id for task_id, number in await connection.execute(sa.select(task.c.id, task.c.number))
        }
        for table in (call, task, task_mode, *(one.table for one in ROLL_UPS)):
            named = {"org", "key", "user", "team", "tags", "tag", "agent", "agent_version", "session", "door", "model"}
            named |= {"status", "stage", "stop_reason", "error", "price_version", "price_scope", "deployment"}
            named |= {"mode", "repository"} if table.name != "task_mode" else set()
            rows = (await connection.execute(sa.select(table))).mappings()
            contents[table.name] = {
                tuple(
                    texts[value] if column in named else task_ids.get(value) if column in ("task", "number") else value
                    for column, value in row.items()
                    if column not in ("change", "branch")
                )
                for row in rows
            }
        return contents


async def time_reports(database: Database) -> dict[str, dict[str, float]]:
    """Milliseconds of each report through the product's own interface, warm: the median of five."""
    spend = SqlSpend(database, Names(database))
    figures = {}
    for name, query in REPORTS.items():
        rows = await spend.spend("default", query)
        took = []
        for _ in range(5):
            began = time.perf_counter()
            await spend.spend("default", query)
            took.append((time.perf_counter() - began) * 1000)
        figures[name] = {"ms": round(statistics.median(took), 1), "best_ms": round(min(took), 1), "rows": len(rows)}
        print(name, json.dumps(figures[name]), flush=True)
    return figures


async def time_ingestion(database: Database, folder: Path, count: int, first: int) -> dict[str, float]:
    """Calls a second from a journal on disk through the drain, and CPU microseconds of this process for each."""
    journal = folder / "journal"
    journal.mkdir()
    writer = JournalWriter(journal, "call-1", segment_bytes=1 << 26)
    for made in itertools.islice(population.calls(population.DAYS * count, seed=2), count):
        later = replace(made, number=first + made.number, started_at=made.started_at + _END_US - _START_US)
        for record in population.records(later):
            writer.append(record)
    writer.close()
    drain = Drain(JournalReader(journal), SqlLedger(database, Names(database)), SystemClock())
    began, cpu_s = time.perf_counter(), time.process_time()
    booked = 0
    while records := await drain.drain_once():
        booked += records
    took = time.perf_counter() - began
    return {
        "calls_per_s": round(booked / 2 / took),
        "cpu_us_per_call": round((time.process_time() - cpu_s) / (booked / 2) * 1e6, 1),
    }


async def sizes(database: Database) -> dict[str, float]:
    """Bytes per call, of each table and index that takes at least one."""
    sqlite = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name"
    postgresql = (
        "SELECT relname, pg_relation_size(pg_class.oid) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE relkind IN ('r', 'i') AND nspname = 'public'"
    )
    async with database.read() as connection:
        count = (await connection.execute(sa.select(sa.func.count()).select_from(call))).scalar_one()
        rows = await connection.execute(sa.text(sqlite if database.is_sqlite else postgresql))
        found = {name: round(size / count, 1) for name, size in rows if size >= count}
    return dict(sorted(found.items()))


async def measure(engine: str, folder: Path, count: int, booked: int) -> dict[str, Any]:
    """All figures of one engine."""
    (folder / "check").mkdir()
    await check(engine, folder / "check")
    async with opened(engine, folder) as database:
        filler = Filler(database)
        await filler.fill(population.calls(count))
        await filler.roll_up()
        figures: dict[str, Any] = {"calls": count, "bytes_per_call": await sizes(database)}
        print(json.dumps(figures), flush=True)
        figures["reports"] = await time_reports(database)
        figures["ingestion"] = await time_ingestion(database, folder, booked, count)
        print(json.dumps(figures["ingestion"]), flush=True)
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=10_000_000)
    arguments.add_argument("--booked", type=int, default=100_000, help="calls that go through the drain")
    arguments.add_argument("--engine", choices=("sqlite", "postgresql"), help="one alone; nothing is written then")
    arguments.add_argument("--folder", help="where the SQLite file is made; the system's temporary folder if not said")
    options = arguments.parse_args()
    result: dict[str, Any] = {"python": sys.version.split()[0]}
    for engine in [options.engine] if options.engine else ["sqlite", "postgresql"]:
        with tempfile.TemporaryDirectory(prefix="sekisho-ledger-", dir=options.folder) as folder:
            result[engine] = asyncio.run(measure(engine, Path(folder), options.calls, options.booked))
    if not options.engine:
        _RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
