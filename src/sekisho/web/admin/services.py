"""What the pages and the admin API work with: one bundle, made by the app, passed to every router."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sekisho.access.answers import AnswerStore
from sekisho.access.audit import AuditNotes, AuditQueries
from sekisho.access.declarations import DeclarationRegister
from sekisho.access.distribution import Distribution
from sekisho.access.grants import GrantRegister
from sekisho.access.hand_over import HandOverRegister
from sekisho.access.register import KeyRegister
from sekisho.access.required import RequiredRegister
from sekisho.access.rules import RuleRegister
from sekisho.access.sessions import Sessions
from sekisho.access.sign_in import SignIn
from sekisho.access.tags import TagRegister
from sekisho.access.teams import TeamRegister
from sekisho.access.templates import TemplateRegister
from sekisho.access.tokens import TokenRegister
from sekisho.access.users import UserRegister
from sekisho.calls.explaining import Explainer
from sekisho.clock import Clock
from sekisho.ledger.booked import Booked, SpentQueries
from sekisho.ledger.looking import Looks
from sekisho.record.bounds import BoundQueries
from sekisho.record.cache import CacheQueries
from sekisho.record.calls import CallQueries
from sekisho.record.content_store import ContentService
from sekisho.record.events import EventStore
from sekisho.record.reporting import ReportingRegister
from sekisho.record.spend import SpendQueries
from sekisho.record.tasks import TaskQueries
from sekisho.values import Model


@dataclass(frozen=True)
class Health:
    """How the control plane is. The errors and `damaged` (by process) are empty when all is well."""

    epoch: int
    processes: dict[str, int]
    journal_lag_bytes: int
    journal_error: str
    damaged: dict[str, str]
    audit_error: str = ""


@dataclass(frozen=True)
class Counting:
    """Where budgets and limits are counted. `address` shows nothing secret; `failure` is empty when all is well.

    `limits_fail_mode`: what happens to calls under limits while it cannot be reached."""

    engine: str = "memory"
    address: str = ""
    failure: str = ""
    limits_fail_mode: str = "closed"


async def counted_in_memory() -> Counting:
    """For call processes that count by themselves."""
    return Counting()


class BookedQuery(Protocol):
    """One read of the ledger; `is_whole`: with all that is written by now."""

    async def __call__(self, at_us: int, *, is_whole: bool = False) -> Booked: ...


class Forgetting(Protocol):
    """Takes the calls of teams out of the ledger; how many there were."""

    async def forget(self, org_id: str, teams: Sequence[str]) -> int: ...


@dataclass(frozen=True)
class Services:
    """The parts behind the routes. `master_digest` is None when no master key is configured."""

    org_id: str
    keys: KeyRegister
    rules: RuleRegister
    teams: TeamRegister
    users: UserRegister
    tags: TagRegister
    templates: TemplateRegister
    declarations: DeclarationRegister
    answers: AnswerStore
    audit: AuditQueries
    notes: AuditNotes
    spent: SpentQueries
    booked: BookedQuery
    task_spent: Callable[[bytes], Awaitable[tuple[int, int]]]
    calls: CallQueries
    cache: CacheQueries
    tasks: TaskQueries
    spend: SpendQueries
    events: EventStore
    bounds: BoundQueries
    sessions: Sessions
    sign_in: SignIn
    grants: GrantRegister
    tokens: TokenRegister
    hand_overs: HandOverRegister
    required: RequiredRegister
    reporting: ReportingRegister
    forgotten: Forgetting
    distribution: Distribution
    looks: Looks
    explainer: Explainer
    models: Callable[[], tuple[Model, ...]]
    health: Callable[[], Health]
    clock: Clock
    content: ContentService
    time_zone: str = "UTC"
    master_digest: bytes | None = None
    simulated: bool = False
    counting: Callable[[], Awaitable[Counting]] = counted_in_memory
