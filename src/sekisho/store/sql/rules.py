"""Budgets, limits and credits in the database, with their history."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.allocation import parents, worse_by_nanousd
from sekisho.access.audit import AuditEvent
from sekisho.access.money import MOST_NANOUSD, usd_text
from sekisho.access.policies import POLICY_FIELDS
from sekisho.access.roles import Sight
from sekisho.access.rules import Credit, RuleChange, RuleFilter, RuleKind, RuleWrite, StoredRule
from sekisho.access.templates import Template
from sekisho.access.terms import Terms
from sekisho.errors import BadRequest, NotFound
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.names import QUERY_SIZE, Names
from sekisho.store.sql.scope_spend import SpendSums
from sekisho.store.sql.tables.organisation import (
    budget,
    budget_credit,
    budget_template,
    person,
    policy,
    rate_limit,
    rule_change,
    tag,
    team,
    team_member,
    virtual_key,
)
from sekisho.values import Budget, BudgetStep, Policy, RateLimit, Scope, ScopeKind, Window

_TABLES: dict[RuleKind, sa.Table] = {"budget": budget, "limit": rate_limit, "policy": policy}
_LIMITED = ("requests_per_minute", "tokens_per_minute", "parallel", "nanousd_per_task", "calls_per_task")
_STORED = ("org_id", "created_at", "created_by", "updated_at", "name", "template_id")
_WINDOW = ("time_zone", "period_s", "starts_at", "ends_at")


class SqlRules:
    """`access.rules.RuleStore` over SQL."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._sums = SpendSums(names)

    async def write(self, org_id: str, write: RuleWrite, by: str, now_us: int) -> None:
        """All or nothing."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await write_rules(connection, org_id, write, by, now_us)

    async def put_template(self, org_id: str, template: Template, write: RuleWrite, by: str, now_us: int) -> None:
        """Keep a template and, in the same step, what that makes of the rules made from it."""
        row = msgspec.structs.asdict(template) | {"org_id": org_id, "terms": msgspec.to_builtins(template.terms)}
        async with self._database.write() as connection:
            await raise_epoch(connection)
            insert = self._database.insert(budget_template).values(row)
            keys = ["org_id", "id"]
            before = await _find_template(connection, org_id, template.id)
            await connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=row))
            action = "template.update" if before else "template.create"
            put = AuditEvent(by, action, "template", template.id, before, template)
            await record_all(connection, org_id, now_us, [put])
            await write_rules(connection, org_id, write, by, now_us)

    async def delete_template(self, org_id: str, template_id: str, write: RuleWrite, by: str, now_us: int) -> None:
        """Forget a template and, in the same step, the rules made from it."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            before = await _find_template(connection, org_id, template_id)
            if before:
                await connection.execute(budget_template.delete().where(*_is_template(org_id, template_id)))
                gone = AuditEvent(by, "template.delete", "template", template_id, before)
                await record_all(connection, org_id, now_us, [gone])
            await write_rules(connection, org_id, write, by, now_us)

    async def find_template(self, org_id: str, template_id: str) -> Template | None:
        """One template."""
        async with self._database.read() as connection:
            return await _find_template(connection, org_id, template_id)

    async def list_templates(self, org_id: str) -> list[Template]:
        """All templates, by id."""
        query = sa.select(budget_template).where(budget_template.c.org_id == org_id).order_by(budget_template.c.id)
        async with self._database.read() as connection:
            return [_template(row) for row in (await connection.execute(query)).mappings()]

    async def find_rule(self, org_id: str, kind: RuleKind, rule_id: str) -> StoredRule | None:
        """One rule in use."""
        async with self._database.read() as connection:
            found = await _read(connection, kind, _live(kind, org_id).where(_TABLES[kind].c.id == rule_id))
            return found[0] if found else None

    async def list_rules(
        self, org_id: str, kind: RuleKind, where: RuleFilter, *, limit: int, after: str = ""
    ) -> list[StoredRule]:
        """Rules in use, newest first."""
        table = _TABLES[kind]
        query = _live(kind, org_id).order_by(table.c.id.desc()).limit(limit)
        wanted = {"scope_kind": where.scope_kind, "scope_id": where.scope_id, "template_id": where.template_id}
        query = query.where(*(table.c[column] == value for column, value in wanted.items() if value))
        if not where.sight.is_all:
            query = query.where(_in_sight(table, org_id, where.sight))
        if after:
            query = query.where(table.c.id < after)
        async with self._database.read() as connection:
            return await _read(connection, kind, query)

    async def add_credit(
        self, org_id: str, budget_id: str, amount_nanousd: int | None, reason: str, by: str, now_us: int
    ) -> Credit:
        """Give money back in the budget's window of now; no amount: all that is booked."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            stored = await _read(connection, "budget", _live("budget", org_id).where(budget.c.id == budget_id))
            if not stored:
                raise NotFound("There is no such budget.")
            rule = stored[0].rule
            assert isinstance(rule, Budget)
            spent = await self._sums.read(connection, org_id, (rule,), now_us)
            if not spent:
                raise BadRequest("The budget's window is not open now, so there is nothing to give back.")
            window_starts_at = spent[0].window_starts_at
            given = await _given(connection, budget_id, window_starts_at)
            made = Credit(
                budget_id=budget_id,
                kind="reset" if amount_nanousd is None else "credit",
                amount_nanousd=max(0, spent[0].spent_nanousd - given) if amount_nanousd is None else amount_nanousd,
                window_starts_at=window_starts_at,
                reason=reason,
                created_at=now_us,
                created_by=by,
            )
            if given + made.amount_nanousd > MOST_NANOUSD:
                raise BadRequest("So much cannot be given back in one window.", param="amount_usd")
            row = msgspec.structs.asdict(made)
            del row["id"]
            kept = await connection.execute(budget_credit.insert().values(row).returning(budget_credit.c.id))
            made = msgspec.structs.replace(made, id=kept.scalar_one())
            booked = AuditEvent(by, f"budget.{made.kind}", "budget", budget_id, None, made)
            await record_all(connection, org_id, now_us, [booked])
            return made

    async def credits(self, org_id: str, budget_id: str, *, limit: int, after: int | None = None) -> list[Credit]:
        """What was ever given back, newest first, behind the id `after`."""
        ours = sa.select(budget.c.id).where(budget.c.org_id == org_id, budget.c.id == budget_id)
        query = sa.select(budget_credit).where(budget_credit.c.budget_id.in_(ours))
        async with self._database.read() as connection:
            rows = (await connection.execute(_page(query, budget_credit.c.id, limit, after))).mappings()
            return [Credit(**row) for row in rows]

    async def rule_history(
        self, org_id: str, rule_id: str, *, limit: int, after: int | None = None
    ) -> list[RuleChange]:
        """What a rule was, newest first, behind the id `after`."""
        ours = sa.union_all(
            *(
                sa.select(table.c.id).where(table.c.org_id == org_id, table.c.id == rule_id)
                for table in _TABLES.values()
            )
        )
        query = sa.select(rule_change).where(rule_change.c.rule_id.in_(ours))
        async with self._database.read() as connection:
            rows = (await connection.execute(_page(query, rule_change.c.id, limit, after))).mappings().all()
        return [RuleChange(row["id"], row["action"], row["at"], row["by"], _recalled(row["rule"])) for row in rows]


async def write_rules(connection: AsyncConnection, org_id: str, write: RuleWrite, by: str, now_us: int) -> None:
    """Make, replace and drop rules in this transaction, which has raised the epoch first."""
    if not write.put and not write.drop:
        return
    held = {stored.rule.id: stored for stored in await read_rules(connection, org_id)}
    if not held.keys() >= set(write.drop):
        raise NotFound("There is no such budget, limit or policy.")
    kept = {rule_id: stored for rule_id, stored in held.items() if rule_id not in write.drop}
    await _check_scopes(connection, org_id, {stored.rule.scope for stored in write.put})
    _check_names(kept, write.put)
    spenders = await _spenders(connection, org_id, {**held, **kept, **{one.rule.id: one for one in write.put}})
    _judge_allocation(org_id, held, kept, write.put, spenders, now_us)
    await _drop(connection, [held[rule_id] for rule_id in write.drop], by, now_us)
    await _put(connection, [(held.get(stored.rule.id), stored) for stored in write.put], by, now_us)


async def judge_move(
    connection: AsyncConnection, org_id: str, key_id: str, team_id: str, user_id: str, now_us: int
) -> None:
    """Raises BadRequest when the budgets of a key, which was `team_id`'s and `user_id`'s and has just been bound anew,
    over-allocate what it gets from now, and nobody said that this is meant."""
    held = {stored.rule.id: stored for stored in await read_rules(connection, org_id)}
    own = [one for one in held.values() if one.kind == "budget" and one.rule.scope == Scope("key", key_id)]
    if all(one.allow_over_allocation for one in own):
        return
    now = await _spenders(connection, org_id, held)
    before = {name: holder for name, holder in now.items() if name != key_id} | _spender(key_id, team_id, user_id)
    _compare(_budgets(held), _budgets(held), parents(Scope("key", key_id), org_id, now), before, now, now_us)


async def retire_rules(
    connection: AsyncConnection, org_id: str, is_gone: Callable[[Scope], bool], by: str, now_us: int
) -> None:
    """Drop every rule whose scope is no more."""
    for kind, table in _TABLES.items():
        columns = (table.c.id, table.c.scope_kind, table.c.scope_id)
        query = sa.select(*columns).where(table.c.org_id == org_id, table.c.deleted_at.is_(None))
        rows = (await connection.execute(query)).all()
        gone = [rule_id for rule_id, scope_kind, scope_id in rows if is_gone(Scope(scope_kind, scope_id))]
        for start in range(0, len(gone), QUERY_SIZE):
            ours = _live(kind, org_id).where(table.c.id.in_(gone[start : start + QUERY_SIZE]))
            await _drop(connection, await _read(connection, kind, ours), by, now_us)


async def read_budgets(connection: AsyncConnection, org_id: str) -> tuple[Budget, ...]:
    """All budgets in use, as a snapshot has them."""
    found = await _read(connection, "budget", _live("budget", org_id).order_by(budget.c.id))
    return tuple(stored.rule for stored in found if isinstance(stored.rule, Budget))


async def read_limits(connection: AsyncConnection, org_id: str) -> tuple[RateLimit, ...]:
    """All limits in use, as a snapshot has them."""
    found = await _read(connection, "limit", _live("limit", org_id).order_by(rate_limit.c.id))
    return tuple(stored.rule for stored in found if isinstance(stored.rule, RateLimit))


def _in_sight(table: sa.Table, org_id: str, sight: Sight) -> sa.ColumnElement[bool]:
    """Whether a rule is of one of these teams, of a member or a key of them, or of this user."""
    keys, members = virtual_key.c, team_member.c
    scope = sa.select(members.team_id + "/" + members.user_id).where(members.org_id == org_id)
    own_keys = sa.select(keys.id).where(keys.org_id == org_id)
    mine = sight.user_id if sight.user_id else None
    of_member = sa.or_(members.team_id.in_(sight.team_ids), members.user_id == mine)
    of_key = sa.or_(keys.team_id.in_(sight.team_ids), keys.user_id == mine)
    of = {
        "team": table.c.scope_id.in_(sight.team_ids),
        "user": table.c.scope_id == mine,
        "member": table.c.scope_id.in_(scope.where(of_member)),
        "key": table.c.scope_id.in_(own_keys.where(of_key)),
    }
    return sa.or_(*((table.c.scope_kind == kind) & condition for kind, condition in of.items()))


async def read_policies(connection: AsyncConnection, org_id: str) -> tuple[Policy, ...]:
    """All policies in use, as a snapshot has them."""
    found = await _read(connection, "policy", _live("policy", org_id).order_by(policy.c.id))
    return tuple(stored.rule for stored in found if isinstance(stored.rule, Policy))


async def read_rules(connection: AsyncConnection, org_id: str) -> tuple[StoredRule, ...]:
    """All budgets, limits and policies in use, as their administrator sees them."""
    found = [
        stored
        for kind, table in _TABLES.items()
        for stored in await _read(connection, kind, _live(kind, org_id).order_by(table.c.id))
    ]
    return tuple(found)


async def read_templates(connection: AsyncConnection, org_id: str) -> tuple[Template, ...]:
    """All shared budgets."""
    query = sa.select(budget_template).where(budget_template.c.org_id == org_id).order_by(budget_template.c.id)
    return tuple(_template(row) for row in (await connection.execute(query)).mappings())


def _page(query: sa.Select[Any], number: sa.Column[int], limit: int, after: int | None) -> sa.Select[Any]:
    """The newest rows first, behind one of them."""
    return (query if after is None else query.where(number < after)).order_by(number.desc()).limit(limit)


def _live(kind: RuleKind, org_id: str) -> sa.Select[Any]:
    table = _TABLES[kind]
    return sa.select(table).where(table.c.org_id == org_id, table.c.deleted_at.is_(None))


async def _read(connection: AsyncConnection, kind: RuleKind, query: sa.Select[Any]) -> list[StoredRule]:
    rows = (await connection.execute(query)).mappings().all()
    if kind == "limit":
        return [_stored_limit(row) for row in rows]
    if kind == "policy":
        return [_stored_policy(row) for row in rows]
    credited = await _newest_credits(connection, [row["id"] for row in rows])
    return [_stored_budget(row, *credited.get(row["id"], (0, 0))) for row in rows]


async def _newest_credits(connection: AsyncConnection, budget_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """By budget: the start of its newest credited window and what was given back in it."""
    columns = budget_credit.c
    found: dict[str, tuple[int, int]] = {}
    for start in range(0, len(budget_ids), QUERY_SIZE):
        query = (
            sa.select(columns.budget_id, columns.window_starts_at, sa.func.sum(columns.amount_nanousd))
            .where(columns.budget_id.in_(budget_ids[start : start + QUERY_SIZE]))
            .group_by(columns.budget_id, columns.window_starts_at)
            .order_by(columns.window_starts_at)
        )
        for budget_id, window_starts_at, amount in await connection.execute(query):
            found[budget_id] = (window_starts_at, int(amount))  # PostgreSQL sums to a Decimal
    return found


async def _given(connection: AsyncConnection, budget_id: str, window_starts_at: int) -> int:
    columns = budget_credit.c
    query = sa.select(sa.func.coalesce(sa.func.sum(columns.amount_nanousd), 0)).where(
        columns.budget_id == budget_id, columns.window_starts_at == window_starts_at
    )
    return int((await connection.execute(query)).scalar_one())


async def _put(
    connection: AsyncConnection, changes: Sequence[tuple[StoredRule | None, StoredRule]], by: str, now_us: int
) -> None:
    """Write rules, each in the place of what it was before."""
    for kind, table in _TABLES.items():
        new = [_row(after) for before, after in changes if after.kind == kind and before is None]
        if new:
            await connection.execute(table.insert(), new)
        for before, after in changes:
            if after.kind == kind and before is not None:
                await connection.execute(table.update().where(table.c.id == after.rule.id).values(_row(after)))
    await _note(connection, changes, by, now_us)


async def _drop(connection: AsyncConnection, gone: Sequence[StoredRule], by: str, now_us: int) -> None:
    for kind, table in _TABLES.items():
        ids = [stored.rule.id for stored in gone if stored.kind == kind]
        for start in range(0, len(ids), QUERY_SIZE):
            ours = table.c.id.in_(ids[start : start + QUERY_SIZE])
            await connection.execute(table.update().where(ours).values(deleted_at=now_us))
    await _note(connection, [(stored, None) for stored in gone], by, now_us)


async def _note(
    connection: AsyncConnection, changes: Sequence[tuple[StoredRule | None, StoredRule | None]], by: str, now_us: int
) -> None:
    """Write down what happened to rules: in their own history and in the audit log."""
    rows: list[dict[str, Any]] = []
    events: list[AuditEvent] = []
    org_id = ""
    for before, after in changes:
        stored = after or before
        assert stored is not None
        action = "create" if before is None else "update" if after else "delete"
        rule = msgspec.to_builtins(stored.rule)
        rows.append({"rule_id": stored.rule.id, "action": action, "at": now_us, "by": by, "rule": rule})
        events.append(AuditEvent(by, f"{stored.kind}.{action}", stored.kind, stored.rule.id, before, after))
        org_id = stored.org_id
    if rows:
        await connection.execute(rule_change.insert(), rows)
        await record_all(connection, org_id, now_us, events)


async def _find_template(connection: AsyncConnection, org_id: str, template_id: str) -> Template | None:
    rows = await connection.execute(sa.select(budget_template).where(*_is_template(org_id, template_id)))
    row = rows.mappings().one_or_none()
    return _template(row) if row else None


def _check_names(held: Mapping[str, StoredRule], put: Iterable[StoredRule]) -> None:
    """Raises BadRequest when another rule of the same scope has this name."""
    taken = {(stored.kind, stored.rule.scope, stored.name): stored.rule.id for stored in held.values() if stored.name}
    for stored in put:
        name = (stored.kind, stored.rule.scope, stored.name)
        if stored.name and taken.setdefault(name, stored.rule.id) != stored.rule.id:
            raise BadRequest(f"This scope already has a {stored.kind} named '{stored.name[:60]}'.", param="name")


async def _check_scopes(connection: AsyncConnection, org_id: str, scopes: set[Scope]) -> None:
    """Raises BadRequest for a scope that does not exist."""
    missing = scopes - {Scope("org", org_id)}
    for kind in {scope.kind for scope in missing}:
        ids = sorted(scope.id for scope in missing if scope.kind == kind)
        for start in range(0, len(ids), QUERY_SIZE):
            found = await _existing(connection, org_id, kind, ids[start : start + QUERY_SIZE])
            missing -= {Scope(kind, scope_id) for scope_id in found}
    for scope in missing:
        raise BadRequest(f"There is no {scope.kind} '{scope.id[:60]}'.", param="scope")


async def _existing(connection: AsyncConnection, org_id: str, kind: ScopeKind, ids: Sequence[str]) -> set[str]:
    """Those of these scopes that exist."""
    if kind == "org":
        return set()
    if kind == "member":
        columns = team_member.c
        teams = sorted({scope_id.partition("/")[0] for scope_id in ids})
        query = sa.select(columns.team_id, columns.user_id).where(columns.org_id == org_id, columns.team_id.in_(teams))
        return {f"{team_id}/{user_id}" for team_id, user_id in await connection.execute(query)}
    columns = {"team": team, "user": person, "key": virtual_key, "tag": tag}[kind].c
    own = columns.name if kind == "tag" else columns.id
    where = (columns.org_id == org_id, own.in_(ids), columns.deleted_at.is_(None))
    return set((await connection.execute(sa.select(own).where(*where))).scalars())


def _judge_allocation(
    org_id: str,
    held: Mapping[str, StoredRule],
    kept: Mapping[str, StoredRule],
    put: Iterable[StoredRule],
    keys: Mapping[str, Scope],
    now_us: int,
) -> None:
    """Raises BadRequest when a budget makes an over-allocation worse and nobody said that this is meant.

    Those of which somebody said so come after the others, as if they were written later."""
    judged = {
        stored.rule.id: stored for stored in put if isinstance(stored.rule, Budget) and not stored.allow_over_allocation
    }
    before, after = _budgets(held), _budgets({**kept, **judged})
    scopes = {stored.rule.scope: None for stored in judged.values()}
    involved = dict.fromkeys(parent for scope in scopes for parent in parents(scope, org_id, keys))
    _compare(before, after, involved, keys, keys, now_us)


def _compare(
    before: Sequence[Budget],
    after: Sequence[Budget],
    involved: Iterable[Scope],
    keys_before: Mapping[str, Scope],
    keys_after: Mapping[str, Scope],
    now_us: int,
) -> None:
    for parent in involved:
        excess = worse_by_nanousd(before, after, parent, now_us, keys_after, keys_before)
        if excess:
            raise BadRequest(
                f"The budgets below the {parent.kind} '{parent.id[:60]}' would be {usd_text(excess)} USD more than "
                "its own in the same window. Say allow_over_allocation if that is meant.",
                param="allow_over_allocation",
            )


async def _spenders(connection: AsyncConnection, org_id: str, rules: Mapping[str, StoredRule]) -> dict[str, Scope]:
    """By key with a budget: the member, or the team, whose money it spends."""
    ids = sorted({one.rule.scope.id for one in rules.values() if one.kind == "budget" and one.rule.scope.kind == "key"})
    columns = virtual_key.c
    found: dict[str, Scope] = {}
    for start in range(0, len(ids), QUERY_SIZE):
        query = sa.select(columns.id, columns.team_id, columns.user_id).where(
            columns.org_id == org_id, columns.team_id != "", columns.id.in_(ids[start : start + QUERY_SIZE])
        )
        for key_id, team_id, user_id in await connection.execute(query):
            found |= _spender(key_id, team_id, user_id)
    return found


def _spender(key_id: str, team_id: str, user_id: str) -> dict[str, Scope]:
    if not team_id:
        return {}
    return {key_id: Scope("member", f"{team_id}/{user_id}") if user_id else Scope("team", team_id)}


def _budgets(rules: Mapping[str, StoredRule]) -> list[Budget]:
    return [stored.rule for stored in rules.values() if isinstance(stored.rule, Budget)]


def _row(stored: StoredRule) -> dict[str, Any]:
    rule = stored.rule
    row = {
        "id": rule.id,
        "org_id": stored.org_id,
        "scope_kind": rule.scope.kind,
        "scope_id": rule.scope.id,
        "name": stored.name,
        "template_id": stored.template_id,
        "created_at": stored.created_at,
        "created_by": stored.created_by,
        "updated_at": stored.updated_at,
    }
    if isinstance(rule, Policy):
        return row | {"allowed": {name: msgspec.to_builtins(getattr(rule, name)) for name in POLICY_FIELDS}}
    row["model"] = rule.model
    if isinstance(rule, RateLimit):
        return row | {name: getattr(rule, name) for name in _LIMITED}
    return row | {
        "amount_nanousd": rule.amount_nanousd,
        "window_kind": rule.window.kind,
        **{name: getattr(rule.window, name) for name in _WINDOW},
        "duration": stored.duration,
        "is_hard": rule.is_hard,
        "thresholds": [*rule.thresholds, *(msgspec.structs.asdict(step) for step in rule.steps)],
        "increase_nanousd": rule.increase_nanousd,
        "increase_until": rule.increase_until,
        "allow_over_allocation": stored.allow_over_allocation,
    }


def _stored_budget(row: sa.RowMapping, credit_from: int, credit_nanousd: int) -> StoredRule:
    rule = Budget(
        id=row["id"],
        scope=Scope(row["scope_kind"], row["scope_id"]),
        amount_nanousd=row["amount_nanousd"],
        window=Window(row["window_kind"], **{name: row[name] for name in _WINDOW}),
        model=row["model"],
        is_hard=row["is_hard"],
        thresholds=tuple(one for one in row["thresholds"] if isinstance(one, int)),
        steps=tuple(BudgetStep(**one) for one in row["thresholds"] if isinstance(one, dict)),
        increase_nanousd=row["increase_nanousd"],
        increase_until=row["increase_until"],
        credit_nanousd=credit_nanousd,
        credit_from=credit_from,
    )
    return StoredRule(
        rule,
        **{name: row[name] for name in _STORED},
        duration=row["duration"],
        allow_over_allocation=row["allow_over_allocation"],
    )


def _stored_limit(row: sa.RowMapping) -> StoredRule:
    scope = Scope(row["scope_kind"], row["scope_id"])
    rule = RateLimit(row["id"], scope, row["model"], **{name: row[name] for name in _LIMITED})
    return StoredRule(rule, **{name: row[name] for name in _STORED})


def _stored_policy(row: sa.RowMapping) -> StoredRule:
    values = row["allowed"] | {"id": row["id"], "scope": (row["scope_kind"], row["scope_id"]), "name": row["name"]}
    return StoredRule(msgspec.convert(values, Policy), **{name: row[name] for name in _STORED})


def _is_template(org_id: str, template_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (budget_template.c.org_id == org_id, budget_template.c.id == template_id)


def _template(row: sa.RowMapping) -> Template:
    values = {name: value for name, value in row.items() if name != "org_id"}
    return Template(**values | {"terms": msgspec.convert(row["terms"], Terms)})


def _recalled(rule: dict[str, Any]) -> Budget | RateLimit | Policy:
    if "providers" in rule:
        return msgspec.convert(rule, Policy)
    return msgspec.convert(rule, Budget) if "amount_nanousd" in rule else msgspec.convert(rule, RateLimit)
