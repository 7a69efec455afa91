"""Puts the control plane together: database, keys, snapshot, drain, and the application on the Unix socket.

Start-up order matters: a call process begins to serve from the snapshot on disk, so that is written before anything
slow is imported. That is why SQLAlchemy and FastAPI are imported inside functions here.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sekisho.access.anchor import Anchor
from sekisho.access.declarations import DeclarationRegister
from sekisho.access.distribution import POLL_S, Distribution, write_snapshot
from sekisho.access.grants import GrantRegister
from sekisho.access.hand_over import HandOverRegister
from sekisho.access.keys import digest, load_or_create_pepper, pepper_path
from sekisho.access.register import KeyDraft, KeyRegister
from sekisho.access.replicas import Replica
from sekisho.access.required import RequiredRegister
from sekisho.access.resolution import resolve_keys
from sekisho.access.rules import RuleRegister
from sekisho.access.sessions import Sessions
from sekisho.access.tags import TagRegister
from sekisho.access.teams import TeamRegister
from sekisho.access.templates import TemplateRegister
from sekisho.access.tokens import TokenRegister
from sekisho.access.users import UserRegister
from sekisho.app.alerts import Alerts
from sekisho.app.exclusive import bind_control_socket, sole_process
from sekisho.app.loops import Complaint, repeat
from sekisho.app.prompt_app import PromptApp
from sekisho.app.replica import Membership, load_or_create_replica_id
from sekisho.app.sign_in_settings import DEFAULT, SignInSettings
from sekisho.app.signals import orderly_stop
from sekisho.app.starting import Step, steps_of
from sekisho.clock import Clock, SystemClock
from sekisho.errors import BadRequest, SekishoError, StoreUnavailable
from sekisho.ledger.booked import Booked
from sekisho.ledger.drain import Drain
from sekisho.ledger.journal_files import JournalReader, Segment
from sekisho.ledger.looking import Looks
from sekisho.record.content import NO_CONTENT, ContentSettings, in_force, in_order
from sekisho.record.reporting import ReportingRegister
from sekisho.values import Budget, Credential, Delivery, Model, Snapshot, VirtualKey

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

    from sekisho.calls.explaining import Explainer
    from sekisho.store.sql.engine import Database
    from sekisho.store.sql.ledger import SqlLedger
    from sekisho.web.admin.services import Counting, Health, Services

log = logging.getLogger(__name__)

ORG_ID = "default"
MASTER_KEY_ID = "master"
PEPPER_PURPOSE = "the pepper itself"
OPERATOR = "operator"  # as the admin API calls who asks over the Unix socket
DRAIN_S = 0.1
BUSY_DRAIN_S = 0.3  # a transaction costs as much as thirty calls in it: where many come, more of them share one
BUSY_RECORDS = 15
COMMITTED_S = 4.0
DRAIN_BACKOFF_S = 1.0  # calls wait for it: a database that is back must not be waited for
CREDENTIALS_S = 10.0
ALERT_S = 2.0
IDLE_LOOKS = 30
ANCHOR_S = 10.0
LOCK_WAIT_S = 10.0
BOOKED_S = 10.0

Credentials = Callable[[], Awaitable[Mapping[str, Credential]]]
Console = Callable[["Services"], "APIRouter"]


async def no_credentials() -> Mapping[str, Credential]:
    """For a control plane whose deployments need none, such as those of the simulator."""
    return {}


@dataclass(frozen=True)
class ControlPlaneSettings:
    """What the operator says. `master_key` is the secret itself; empty: none.

    `models` and `credentials` are asked again on `reload` and every ten seconds. An empty `database_url` means
    HOME/sekisho.db. `time_zone`: whose days, weeks and months budgets follow that name none. Without `pepper` the one
    in the home is used. `replicated`: others may share the database; one of them that was silent for `lost_after_s`
    is lost.
    """

    models: Callable[[], tuple[Model, ...]]
    simulated: bool = False
    master_key: str = ""
    credentials: Credentials = no_credentials
    database_url: str = ""
    time_zone: str = "UTC"
    counting: "Callable[[], Awaitable[Counting]] | None" = None
    pepper: bytes | None = None
    database_pool_size: int = 10
    replicated: bool = False
    confirm_timeout_s: float = 5.0
    lost_after_s: float = 30.0
    content: ContentSettings = NO_CONTENT
    sign_in: SignInSettings = DEFAULT

    def __repr__(self) -> str:
        return f"ControlPlaneSettings(simulated={self.simulated}, master_key=***, database_url=***)"


def confirm_every_s(settings: ControlPlaneSettings) -> float:
    """How often what call processes trust is confirmed: often enough that one delay does no harm."""
    return min(1.0, settings.confirm_timeout_s / 5)


class ControlPlane:
    """The parts of a control process and its loops, without the web. Made by `open_control_plane`."""

    def __init__(
        self, home: Path, settings: ControlPlaneSettings, clock: Clock, pepper: bytes, database: "Database"
    ) -> None:
        from sekisho.app.content import ContentKeeper  # noqa: PLC0415  slow to import: see the module
        from sekisho.store.sql.audit import SqlAudit  # noqa: PLC0415  slow to import: see the module
        from sekisho.store.sql.booked import SqlBooked  # noqa: PLC0415  slow to import: see the module
        from sekisho.store.sql.cache import SqlCache  # noqa: PLC0415
        from sekisho.store.sql.calls import SqlCalls  # noqa: PLC0415
        from sekisho.store.sql.content import SqlContent  # noqa: PLC0415
        from sekisho.store.sql.effective import SqlEffective  # noqa: PLC0415
        from sekisho.store.sql.events import SqlEvents  # noqa: PLC0415
        from sekisho.store.sql.keys import SqlKeys  # noqa: PLC0415
        from sekisho.store.sql.ledger import SqlLedger  # noqa: PLC0415
        from sekisho.store.sql.names import Names  # noqa: PLC0415
        from sekisho.store.sql.organisation import SqlOrganisation  # noqa: PLC0415
        from sekisho.store.sql.rules import SqlRules  # noqa: PLC0415
        from sekisho.store.sql.sessions import SqlSessions  # noqa: PLC0415
        from sekisho.store.sql.spend import SqlSpend  # noqa: PLC0415
        from sekisho.store.sql.tasks import SqlTasks  # noqa: PLC0415

        names = Names(database)
        self._database = database
        self._audit = SqlAudit(database)
        self._anchor = Anchor(home, self._audit, pepper, clock)
        self._keys = SqlKeys(database)
        self._effective = SqlEffective(database)
        self._organisation = SqlOrganisation(database)
        self._rules = SqlRules(database, names)
        self._booked = SqlBooked(database, names)
        self._sessions = SqlSessions(database)
        self._calls = SqlCalls(database, names)
        self._tasks = SqlTasks(database, names)
        self._cache = SqlCache(database, names)
        self._spend = SqlSpend(database, names)
        self._names = names
        self._events = SqlEvents(database)
        self._alerts = Alerts(self._booked, self._events, ORG_ID, clock)
        self._budgets: tuple[Budget, ...] = ()
        self._has_news = True
        self._snapshot_path = snapshot_path(home)
        self._settings = settings
        self._clock = clock
        self._pepper = pepper
        self._master = _master_key(settings, pepper)
        self._models: tuple[Model, ...] = ()
        self._snapshot: Snapshot | None = None
        self._credentials: Mapping[str, Credential] = {}
        self._publishing = asyncio.Lock()
        self._journal_error = ""
        self._drained = asyncio.Event()
        self._poked = asyncio.Event()
        self.looks = Looks(clock)
        self.distribution = Distribution(clock, confirm_every_s(settings) if settings.replicated else POLL_S)
        reader = JournalReader(home / "journal")
        ledger = SqlLedger(database, names)
        owner = "" if database.is_sqlite else f"{load_or_create_replica_id(home)}."
        self._drain = Drain(reader, ledger, clock, on_ended=self.distribution.forget, owner=owner)
        self.content = ContentKeeper(
            home,
            settings.content,
            SqlContent(database),
            ORG_ID,
            clock,
            self.publish,
            has_others=not database.is_sqlite,
        )
        self.membership = None if database.is_sqlite else self._membership(home, ledger)

    def _membership(self, home: Path, ledger: "SqlLedger") -> Membership:
        from sekisho.store.sql.news import listen  # noqa: PLC0415  slow to import: see the module
        from sekisho.store.sql.replicas import SqlReplicas  # noqa: PLC0415

        settings = self._settings
        return Membership(
            SqlReplicas(self._database),
            Replica(
                load_or_create_replica_id(home), secrets.token_hex(8), socket.gethostname()[:255], settings.replicated
            ),
            self._clock,
            self.distribution,
            offer=self.offer,
            interrupt=ledger.interrupt,
            listen=partial(listen, self._database),
            beat_s=confirm_every_s(settings),
            lost_after_s=settings.lost_after_s,
        )

    async def prepare_org(self) -> None:
        """Make the organisation of this home when it is not there yet."""
        await self._keys.ensure_org(ORG_ID, ORG_ID, self._clock.now_us())

    async def reload(self) -> None:
        """Ask for models and credentials again and offer a new snapshot; does not wait for confirmations."""
        self._models = self._settings.models()
        self._credentials = dict(await self._settings.credentials())
        await self._keys.raise_epoch()
        await self.offer()

    async def publish(self) -> None:
        """Put what the database says in force. Raises StoreUnavailable when a call process does not confirm it."""
        await self.distribution.confirmed(await self.offer())

    async def drain_once(self) -> int:
        """Book what the journal holds; the number of records."""
        try:
            booked = await self._drain.drain_once()
            self._has_news = self._has_news or booked > 0
            return booked
        finally:
            self._drained.set()
            self._drained = asyncio.Event()

    async def booked(self, at_us: int, *, is_whole: bool = False) -> Booked:
        """What the ledger says of every budget once it has all that dead processes wrote; if it is to be whole, also
        what the living wrote before this was asked. Raises StoreUnavailable when that takes too long: who loads
        counters must not go on without it."""
        await self._wait_booked(is_whole=is_whole)
        return await self._booked.booked(ORG_ID, at_us)

    async def task_spent(self, task_id: bytes) -> tuple[int, int]:
        """What a task has cost, and how many calls it has made, once all is booked that was written before this was
        asked. Raises StoreUnavailable when that takes too long."""
        await self._wait_booked(is_whole=True)
        return await self._tasks.spent(ORG_ID, task_id)

    async def _wait_booked(self, *, is_whole: bool) -> None:
        ends = self._drain.ends() if is_whole else {}
        if is_whole:
            self._poked.set()
        try:
            async with asyncio.timeout(BOOKED_S):
                while (dead := self._drain.dead_processes()) or not self._drain.has_booked(ends):
                    await self._drained.wait()
        except TimeoutError as error:
            names = ", ".join(dead) or "living ones"
            raise StoreUnavailable(f"Calls of these processes are not booked yet: {names}. Try again.") from error

    async def committed(self, segment: Segment, offset: int) -> int | None:
        """Book at once what the journal holds; how far this segment is booked, once that is as far as `offset`.
        None when that takes too long."""
        try:
            async with asyncio.timeout(COMMITTED_S):
                while (booked := self._drain.reached(segment, offset)) is None:
                    self._poked.set()
                    await self._drained.wait()
                return booked
        except TimeoutError:
            return None

    async def drain_forever(self) -> None:
        """Book what comes, ten times a second and whenever somebody waits for it; less often while much comes, and
        while it fails."""
        wait_s = DRAIN_S
        complaint = Complaint(log, "booking the journal")
        while True:
            self._poked.clear()
            try:
                booked = await self.drain_once()
                self._journal_error, wait_s = "", BUSY_DRAIN_S if booked >= BUSY_RECORDS else DRAIN_S
                complaint.settle()
            except Exception as error:  # noqa: BLE001  a background loop: it says so, loudly, and goes on trying
                self._journal_error = complaint.raise_for(error)
                wait_s = min(wait_s * 2, DRAIN_BACKOFF_S)
            await self.pause(wait_s)

    async def pause(self, wait_s: float) -> None:
        """Wait between two drains; while all is well no longer than until somebody waits for one."""
        if self._journal_error:
            await asyncio.sleep(wait_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._poked.wait()

    async def drain_rest(self) -> None:
        """Book what is left when the process stops: the call processes have stopped before it, so this is the end."""
        try:
            while await self.drain_once():
                pass
        except SekishoError as error:  # it stays in the journal; the next start books it
            log.error("the journal could not be booked to its end: %s", error.message)

    async def refresh_credentials_forever(self) -> None:
        """Hand on upstream credentials when they change; while they cannot be had the old ones stay in force."""
        await asyncio.sleep(CREDENTIALS_S)
        await repeat(self.refresh_credentials, CREDENTIALS_S, Complaint(log, "refreshing the upstream credentials"))

    async def refresh_credentials(self) -> None:
        """Offer a new delivery if the upstream credentials are no longer the same."""
        credentials = dict(await self._settings.credentials())
        if credentials != self._credentials:
            self._credentials = credentials
            await self._keys.raise_epoch()
            await self.offer()

    def health(self) -> "Health":
        """How the control plane is."""
        from sekisho.web.admin.services import Health  # noqa: PLC0415  the web is imported after the snapshot

        return Health(
            epoch=self.distribution.epoch,
            processes=self.distribution.processes(),
            journal_lag_bytes=self._drain.lag_bytes(),
            journal_error=self._journal_error,
            damaged=dict(self._drain.damaged),
            audit_error=self._anchor.error,
        )

    def services(self) -> "Services":
        """What the routes work with."""
        from sekisho.app.sign_in import open_sign_in  # noqa: PLC0415  it imports cryptography
        from sekisho.store.sql.answers import SqlAnswers  # noqa: PLC0415  slow to import: see the module
        from sekisho.store.sql.bounds import SqlBounds  # noqa: PLC0415
        from sekisho.store.sql.declarations import SqlDeclarations  # noqa: PLC0415
        from sekisho.store.sql.forgotten import SqlForgotten  # noqa: PLC0415
        from sekisho.store.sql.grants import SqlGrants  # noqa: PLC0415
        from sekisho.store.sql.hand_over import SqlHandOvers  # noqa: PLC0415
        from sekisho.store.sql.reporting import SqlReporting  # noqa: PLC0415
        from sekisho.store.sql.required import SqlRequired  # noqa: PLC0415
        from sekisho.store.sql.tokens import SqlTokens  # noqa: PLC0415
        from sekisho.web.admin.services import Services, counted_in_memory  # noqa: PLC0415  the web is imported after the snapshot

        rules = RuleRegister(self._rules, ORG_ID, self._clock, self)
        keys = self._key_register()
        tokens = TokenRegister(SqlTokens(self._database), self._pepper, ORG_ID, self._clock)
        hand_overs = SqlHandOvers(self._database)
        how = self._settings.sign_in
        sign_in = open_sign_in(self._database, self._sessions, self._pepper, ORG_ID, self._clock, how, self, tokens)
        return Services(
            org_id=ORG_ID,
            keys=keys,
            rules=rules,
            teams=TeamRegister(self._organisation, ORG_ID, self._clock, self),
            users=UserRegister(self._organisation, ORG_ID, self._clock, self),
            tags=TagRegister(self._organisation, ORG_ID, self._clock, self),
            templates=TemplateRegister(self._rules, rules, ORG_ID, self._clock, self, self._settings.time_zone),
            declarations=DeclarationRegister(
                SqlDeclarations(self._database),
                ORG_ID,
                self._clock,
                self,
                self._settings.time_zone,
                lambda: self._models,
            ),
            answers=SqlAnswers(self._database),
            audit=self._audit,
            notes=self._audit,
            spent=self._booked,
            task_spent=self.task_spent,
            booked=self.booked,
            time_zone=self._settings.time_zone,
            calls=self._calls,
            tasks=self._tasks,
            cache=self._cache,
            spend=self._spend,
            events=self._events,
            bounds=SqlBounds(self._database, self._names),
            sessions=sign_in.sessions,
            sign_in=sign_in,
            grants=GrantRegister(SqlGrants(self._database), ORG_ID, self._clock, self),
            tokens=tokens,
            reporting=ReportingRegister(SqlReporting(self._database), ORG_ID, self._clock),
            required=RequiredRegister(SqlRequired(self._database), ORG_ID, self._clock),
            hand_overs=HandOverRegister(hand_overs, keys, tokens, self._pepper, ORG_ID, self._clock),
            forgotten=SqlForgotten(self._database, self._names),
            distribution=self.distribution,
            looks=self.looks,
            explainer=self._explainer(),
            content=self.content,
            models=lambda: self._models,
            health=self.health,
            clock=self._clock,
            master_digest=self._master[0].digest if self._master else None,
            simulated=self._settings.simulated,
            counting=self._settings.counting or counted_in_memory,
        )

    def _key_register(self) -> KeyRegister:
        return KeyRegister(self._keys, self._pepper, ORG_ID, self._clock, self)

    def _explainer(self) -> "Explainer":
        from sekisho.calls.explaining import Explainer  # noqa: PLC0415  the path is no part of a start
        from sekisho.calls.gate import Limits  # noqa: PLC0415
        from sekisho.store.counters.memory import MemoryCounters  # noqa: PLC0415

        def counters() -> MemoryCounters:
            return MemoryCounters(self._clock)

        return Explainer(lambda: self._snapshot, self.booked, counters, self._clock, Limits(), self.looks.ask)

    async def alert_forever(self) -> None:
        """Look every few seconds whether budgets have reached a threshold; if nothing was booked, once a minute: others
        may book, and windows pass. What is missed now is found the next time."""
        await repeat(self._alert_on_news, ALERT_S, Complaint(log, "looking at the thresholds of budgets"))

    async def _alert_on_news(self) -> None:
        for _ in range(IDLE_LOOKS):
            if self._has_news:
                break
            await asyncio.sleep(ALERT_S)
        self._has_news = False
        await self.alert()

    async def alert(self) -> None:
        """Write an event for every threshold of a budget that is reached."""
        await self._alerts.look(self._budgets)

    async def anchor_forever(self) -> None:
        """Note the newest entry of the audit log outside the database, again and again."""
        await repeat(self.note_audit_head, ANCHOR_S, Complaint(log, "noting the newest entry of the audit log"))

    async def note_audit_head(self) -> None:
        """Note it now; what is wrong with the log, if anything, shows in `health`."""
        await self._anchor.note(ORG_ID)

    async def greeting(self, alias: str) -> dict[str, object]:
        """What somebody who has started Sekisho is told: whether there are keys, the path that opens the console once,
        the models, the levels at which content is kept; and, where there is no key yet and an `alias` is given, the raw
        form of a first one of this name."""
        keys = self._key_register()
        has_keys = bool(await keys.count())
        key = ""
        if alias and not has_keys:
            try:
                key = (await keys.create(KeyDraft(alias=alias), OPERATOR)).key
            except BadRequest:  # another machine that starts at the same time has made it
                has_keys = True
        return {
            "has_keys": has_keys,
            "key": key,
            "console": await Sessions(self._sessions, self._pepper, ORG_ID, self._clock).issue_code(OPERATOR),
            "models": [model.name for model in self._models],
            "levels": list(in_order(self.content.in_force.of_all)),
        }

    async def close(self) -> None:
        """Note how far the audit log reaches and let go of the database. While there is something in the journal the
        others are not told that all is well: if nobody comes back for it they settle its calls."""
        await self.note_audit_head()
        if self.membership is not None and not self._drain.lag_bytes() and not self._drain.dead_processes():
            with suppress(SekishoError):
                await self.membership.leave()
        await self._database.close()

    async def offer(self) -> int:
        """Build the snapshot from the database, hand it out, write it; its epoch. Raises StoreUnavailable, also when
        it is handed out and cannot be written."""
        async with self._publishing:
            effective = await self._effective.current(ORG_ID)
            self._budgets = effective.budgets
            snapshot = Snapshot(
                epoch=effective.epoch,
                org_id=ORG_ID,
                keys=resolve_keys(
                    (*self._master, *effective.keys),
                    effective.teams,
                    self._models,
                    self._settings.content.level,
                    effective.left,
                ),
                models=self._models,
                simulated=self._settings.simulated,
                budgets=effective.budgets,
                limits=effective.limits,
                leads=effective.leads,
                languages=effective.languages,
                policies=effective.policies,
                content_generation=effective.content_generation,
            )
            self.content.days = {team.id: team.content_days for team in effective.teams}
            self.content.in_force = in_force(snapshot.keys, self._settings.content.level)
            self._snapshot = snapshot
            self.distribution.offer(Delivery(snapshot, dict(self._credentials)))
            # a disk that is slow delays neither what is revoked nor, as it would in this thread, the calls' booking
            await asyncio.to_thread(write_snapshot, self._snapshot_path, snapshot)
            return effective.epoch


async def open_control_plane(
    home: Path, settings: ControlPlaneSettings, clock: Clock, *, begin: Callable[[Step], None] = lambda _: None
) -> ControlPlane:
    """Bring the database up to date, write the snapshot, offer the first delivery. `begin` is told before each step.

    Raises StoreUnavailable, also when there is a database whose pepper is gone: no key would work any more.
    """
    pepper = _prepare_home(home, settings)

    from sekisho.store.sql.book_days import keep_days_of  # noqa: PLC0415  slow to import: see the module
    from sekisho.store.sql.engine import Database, sqlite_url  # noqa: PLC0415
    from sekisho.store.sql.migrate import migrate  # noqa: PLC0415
    from sekisho.store.sql.replicas import check_pepper  # noqa: PLC0415

    database = Database(
        settings.database_url or sqlite_url(_database_path(home)), pool_size=settings.database_pool_size
    )
    try:
        begin("database")
        await database.check()
        begin("migration")
        await migrate(database)
        await check_pepper(database, digest(pepper, PEPPER_PURPOSE))
        begin("days")
        await keep_days_of(database, settings.time_zone)
        begin("snapshot")
        plane = ControlPlane(home, settings, clock, pepper, database)
        if plane.membership is not None:
            await plane.membership.join()
        await plane.prepare_org()
        await plane.reload()
    except BaseException:
        await database.close()  # its threads would keep the process alive
        raise
    return plane


def _prepare_home(home: Path, settings: ControlPlaneSettings) -> bytes:
    """Make the folder and the pepper, which is the result; on the very first start the snapshot too."""
    is_fresh = not settings.database_url and not _database_path(home).exists()
    is_ours = not settings.database_url and not settings.pepper
    if is_ours and not is_fresh and not pepper_path(home).exists():
        raise StoreUnavailable(f"There is a database but no pepper: restore {pepper_path(home)} from your backup.")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    pepper = settings.pepper or load_or_create_pepper(home)
    if is_fresh:  # nobody has a key yet: this snapshot needs no database
        keys = _master_key(settings, pepper)
        write_snapshot(snapshot_path(home), Snapshot(1, ORG_ID, keys, settings.models(), settings.simulated))
        _database_path(home).touch(mode=0o600)  # SQLite gives its other files the same mode
    return pepper


def create_control_app(plane: ControlPlane, console: Console | None = None) -> "FastAPI":
    """The web application of the control plane; `console` makes the router of the pages."""
    from sekisho.web.admin.app import create_admin_app  # noqa: PLC0415  slow to import: see the module

    services = plane.services()
    return create_admin_app(services, (console(services),) if console else ())


async def run_control_plane(
    home: Path,
    settings: ControlPlaneSettings,
    *,
    console: Console | None = None,
    socket_path: Path | None = None,
    clock: Clock | None = None,
    lock_wait_s: float = LOCK_WAIT_S,
) -> None:
    """Be the control process of this home until SIGTERM, SIGINT or cancellation.

    Raises StoreUnavailable when it cannot start, also when another control process has this home.
    """
    path = socket_path or home / "run" / "control.sock"
    with sole_process(home, path.with_name("control.lock"), lock_wait_s):
        steps = steps_of(home)
        plane = await open_control_plane(home, settings, clock or SystemClock(), begin=steps.begin)
        try:
            with orderly_stop(), bind_control_socket(path) as listener:
                steps.end()
                app = PromptApp(plane, lambda: create_control_app(plane, console))
                async with asyncio.TaskGroup() as group:
                    loading = group.create_task(app.load())
                    await serve_control_plane(plane, app, listener)
                    loading.cancel()
        finally:
            await plane.close()


async def serve_control_plane(plane: ControlPlane, app: "FastAPI | PromptApp", listener: socket.socket) -> None:
    """Serve the application and run the loops until a signal or cancellation; after a signal book what is left."""
    import uvicorn  # noqa: PLC0415  slow to import: see the module

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """As uvicorn does, but first let go of the long polls: each would hold the end up for seconds."""
            plane.distribution.close()
            plane.looks.close()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,  # addresses of pages may hold what is secret
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = Server(config)
    async with asyncio.TaskGroup() as group:
        loops = [
            group.create_task(plane.drain_forever()),
            group.create_task(plane.refresh_credentials_forever()),
            group.create_task(plane.anchor_forever()),
            group.create_task(plane.alert_forever()),
            group.create_task(plane.content.run()),
        ]
        if plane.membership is not None:
            loops.append(group.create_task(plane.membership.run()))
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await serving
            for loop in loops:
                loop.cancel()
    await plane.drain_rest()
    await plane.content.take_rest()


def _database_path(home: Path) -> Path:
    return home / "sekisho.db"


def snapshot_path(home: Path) -> Path:
    """Where call processes find the snapshot."""
    return home / "snapshot"


def _master_key(settings: ControlPlaneSettings, pepper: bytes) -> tuple[VirtualKey, ...]:
    """The master key as a key that may use every model; nothing when none is configured."""
    if not settings.master_key:
        return ()
    key = VirtualKey(MASTER_KEY_ID, ORG_ID, digest(pepper, settings.master_key), alias="master key", is_master=True)
    return (key,)
