"""What a call asks of the counters in Valkey, as the bytes of a request.

Which budgets and limits a call comes under, and in which windows, is worked out here, once for each set of scopes and
model; the calendar is never asked again before the first of those windows ends. Times are microseconds.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from sekisho.ledger.counters import NoRoom, NotLoaded, Passed, TaskDemand
from sekisho.ledger.windows import Span, span_at
from sekisho.values import END_OF_TIME, Budget, RateLimit, Scope

MOST = (1 << 53) - 1
"""The largest whole number that Lua counts exactly: 9,007,199 USD in nano-USD. No hard budget allows more than that."""

_KEPT_PLANS = 10_000
_WIDEST_FIRST = {kind: place for place, kind in enumerate(("org", "team", "member", "user", "key", "tag"))}


def bulk(text: bytes) -> bytes:
    """One argument on the wire."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


def scope_text(scope: Scope) -> str:
    return f"{scope.kind}:{scope.id}".replace("\0", "\\0")


def who_text(scopes: Iterable[Scope], model: str) -> str:
    """Model and scopes of a call, as the scripts read them."""
    return "\0".join((model.replace("\0", "\\0"), *map(scope_text, dict.fromkeys(scopes))))


class KnownBudget:
    """A budget in force. Its `name` in the store changes with what it counts, not with how much it allows."""

    __slots__ = ("_span", "budget", "name")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.name = f"b:{budget.id}:{_fingerprint((budget.scope, budget.model, budget.window))}"
        self._span: Span | None = None

    def span_at(self, at_us: int) -> Span | None:
        """The window that holds this time; None outside a fixed one."""
        if self._span is None or not self._span.holds(at_us):
            self._span = span_at(self.budget.window, at_us)
        return self._span

    def ceiling(self, span: Span, now_us: int) -> int:
        """What may be spent in this window, as of now."""
        return min(self.allowed(now_us) + self.credit(span), MOST)

    def credit(self, span: Span) -> int:
        """What was given back in this window."""
        return self.budget.credit_nanousd if self.budget.credit_from == span.starts_at else 0

    def first_step(self, span: Span, now_us: int) -> int | None:
        """How much must be spent in this window for a step to be due; None without steps."""
        if not self.budget.steps:
            return None
        whole = self.allowed(now_us)
        least = min(-(-step.at_percent * whole // 100) for step in self.budget.steps)
        return least + self.credit(span) if least > 0 else 0

    def passed(self, spent: int, now_us: int) -> Passed:
        """What is said of a budget with a step that is due."""
        span = self.span_at(now_us)
        assert span is not None  # it was in the plan
        beyond = max(spent - self.credit(span), 0)
        return Passed(self.budget, beyond, self.allowed(now_us), resets_at(span))

    def allowed(self, now_us: int) -> int:
        """The amount with its increase, without credit."""
        return self.budget.amount_nanousd + (self.budget.increase_nanousd if now_us < self.budget.increase_until else 0)

    def stays_until(self, now_us: int) -> int:
        """When another window or another ceiling begins."""
        span, budget = self.span_at(now_us), self.budget
        if span:
            until = span.ends_at
        else:
            until = budget.window.starts_at if now_us < budget.window.starts_at else END_OF_TIME
        return min(until, budget.increase_until) if now_us < budget.increase_until else until


class KnownLimit:
    """A limit in force."""

    __slots__ = ("arguments", "limit", "name")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.name = f"l:{limit.id}:{_fingerprint((limit.scope, limit.model))}"
        most = (limit.requests_per_minute, limit.tokens_per_minute, limit.parallel)
        self.arguments = (self.name, *("" if one is None else str(min(one, MOST)) for one in most))


class Plan:
    """What the calls of one set of scopes to one model come under. `tail`: the last arguments of `admit`."""

    __slots__ = (
        *("budgets", "hard", "limits", "present", "tail", "tail_arguments", "until_us", "who"),
        *("_budget_words", "_limit_words"),
    )

    def __init__(self, who: str, budgets: tuple[KnownBudget, ...], limits: tuple[KnownLimit, ...]) -> None:
        self.who = who
        self.budgets = budgets
        self.limits = limits
        self.present: tuple[KnownBudget, ...] = ()
        self.hard: tuple[KnownBudget, ...] = ()
        self.tail = b""
        self._budget_words: list[str] = []
        self._limit_words: list[str] = []
        self.tail_arguments = 0
        self.until_us = 0

    def cells(self, at_us: int) -> list[tuple[KnownBudget, Span]]:
        """The budgets with the windows that hold this time."""
        return [(budget, span) for budget in self.budgets if (span := budget.span_at(at_us))]

    def enter_windows(self, now_us: int) -> None:
        """Make the arguments for the windows of now."""
        cells = self.cells(now_us)
        self.present = tuple(known for known, _ in cells)
        self.hard = tuple(known for known in self.present if known.budget.is_hard)
        words: list[str] = []
        for known, span in cells:
            is_hard = "1" if known.budget.is_hard else "0"
            step = known.first_step(span, now_us)
            words += (known.name, str(span.starts_at), str(known.ceiling(span, now_us)), is_hard)
            words.append("" if step is None else str(step))
        self._budget_words = words
        self._limit_words = [word for limit in self.limits for word in limit.arguments]
        words = [str(len(cells)), str(len(self.limits)), self.who, *words, *self._limit_words]
        self.tail = b"".join(bulk(word.encode()) for word in words)
        self.tail_arguments = len(words)
        self.until_us = min((known.stays_until(now_us) for known in self.budgets), default=END_OF_TIME)

    def tail_with(self, task: TaskDemand) -> tuple[bytes, int]:
        """The last arguments for a call of a capped task, and how many they are."""
        most = MOST if task.cost is None else min(task.cost.nanousd_per_task or 0, MOST)
        calls = "" if task.calls is None else str(task.calls.calls_per_task or 0)
        cell = (task_name(task.id).decode(), "0", str(most), "1", "new" if task.is_new else "")
        counts = (str(len(self.present) + 1), str(len(self.limits)), self.who)
        words = (*counts, *self._budget_words, *cell, *self._limit_words, calls)
        return b"".join([bulk(word.encode()) for word in words]), len(words)


class Plans:
    """The budgets and limits in force, and the plans made of them."""

    def __init__(self, budgets: Iterable[Budget] = (), limits: Iterable[RateLimit] = ()) -> None:
        self.budgets = {known.name: known for known in map(KnownBudget, budgets)}
        self.limits = tuple(KnownLimit(limit) for limit in limits if has_rate(limit))
        self._budgets_of: dict[Scope, list[KnownBudget]] = {}
        self._limits_of: dict[Scope, list[KnownLimit]] = {}
        for known in self.budgets.values():
            self._budgets_of.setdefault(known.budget.scope, []).append(known)
        for limit in self.limits:
            self._limits_of.setdefault(limit.limit.scope, []).append(limit)
        self._plans: dict[tuple[tuple[Scope, ...], str], Plan] = {}
        self._now_us = 0

    def at(self, scopes: tuple[Scope, ...], model: str, now_us: int) -> Plan:
        """The plan for such a call, with the arguments for now."""
        if now_us < self._now_us:
            self._plans.clear()  # the clock was set back: the arguments may be those of later windows
        self._now_us = now_us
        plan = self._plans.get((scopes, model)) or self._plan(scopes, model)
        if now_us >= plan.until_us:
            plan.enter_windows(now_us)
        return plan

    def _plan(self, scopes: tuple[Scope, ...], model: str) -> Plan:
        if len(self._plans) >= _KEPT_PLANS:
            self._plans.clear()
        once = dict.fromkeys(scopes)
        budgets = (one for scope in once for one in self._budgets_of.get(scope, ()))
        limits = (one for scope in once for one in self._limits_of.get(scope, ()))
        plan = self._plans[scopes, model] = Plan(
            who_text(once, model),
            tuple(one for one in budgets if one.budget.model in ("", model)),
            tuple(one for one in limits if one.limit.model in ("", model)),
        )
        return plan


def has_rate(limit: RateLimit) -> bool:
    """Whether the limit is of calls in time; else it caps tasks only."""
    return not (limit.requests_per_minute is limit.tokens_per_minute is limit.parallel is None)


def task_name(task_id: bytes) -> bytes:
    """What a task is called in the store."""
    return b"t:" + task_id.hex().encode()


def refusal(hard: tuple[KnownBudget, ...], rooms: list[int | None], bound: int, now_us: int) -> NoRoom | NotLoaded:
    """Which hard budget refuses, of those of which one does. `rooms`: in the order of `hard`, None: not loaded."""

    def widest_first(known: KnownBudget) -> tuple[int, str]:
        return _WIDEST_FIRST[known.budget.scope.kind], known.budget.id

    short = [(room, known) for known, room in zip(hard, rooms, strict=True) if room is not None and room < bound]
    if not short:
        unknown = (known for known, room in zip(hard, rooms, strict=True) if room is None)
        return NotLoaded(min(unknown, key=widest_first).budget)
    room, least = min(short, key=lambda one: (one[0], widest_first(one[1])))
    span = least.span_at(now_us)
    assert span is not None  # it was in the plan
    return NoRoom(least.budget, max(room, 0), resets_at(span))


def resets_at(span: Span) -> int | None:
    """When a window ends; None for one that never does."""
    return span.ends_at if span.ends_at < END_OF_TIME else None


def _fingerprint(what: object) -> str:
    return hashlib.blake2b(msgspec.json.encode(what, order="deterministic"), digest_size=6).hexdigest()
