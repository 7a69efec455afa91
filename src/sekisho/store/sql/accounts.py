"""Local accounts in the database: digests of passwords, sealed second factors, recovery codes, failures."""

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.accounts import Account, AccountChange
from sekisho.access.audit import AuditEvent
from sekisho.access.grants import actor_name
from sekisho.access.lockout import FORGET_US, Failures, Guess, Standing, judge
from sekisho.access.organisation import User
from sekisho.store.sql.audit import lock_head, record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.grants import need_user
from sekisho.store.sql.tables.organisation import person
from sekisho.store.sql.tables.sign_in import local_account, recovery_code, sign_in_failure

_NEW = {"password": "", "password_at": 0, "totp": b"", "totp_at": 0, "totp_step": 0}
_NAME_CHARACTERS = 400


class SqlAccounts:
    """`access.accounts.AccountStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_login(self, org_id: str, login: str) -> User | None:
        """The person with this id, or with this e-mail address if only one has it."""
        live = (
            person.c.org_id == org_id,
            person.c.deleted_at.is_(None),
            person.c.left_at.is_(None),
            person.c.kind == "person",
        )
        by_id = sa.select(person).where(*live, person.c.id.in_({login, login.lower()}))
        by_email = sa.select(person).where(*live, sa.func.lower(person.c.email) == login.lower()).limit(2)
        async with self._database.read() as connection:
            rows = (await connection.execute(by_id)).mappings().all()
            rows = [row for row in rows if row["id"] == login] or rows
            rows = rows or (await connection.execute(by_email)).mappings().all()
            return _user(rows[0]) if len(rows) == 1 else None

    async def find_account(self, org_id: str, user_id: str) -> Account:
        """The account of a user."""
        query = sa.select(local_account).where(*_ours(local_account, org_id, user_id))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            values = {name: value for name, value in (row or {}).items() if name != "org_id"}
            return Account(**values) if values else Account(user_id)

    async def change_account(
        self, org_id: str, user_id: str, change: AccountChange, by: str, action: str, now_us: int
    ) -> None:
        """Change an account, making it if need be."""
        values = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        codes = values.pop("recovery", None)
        async with self._database.write() as connection:
            await raise_epoch(connection)  # a lock: the user stays while it gets the account
            await need_user(connection, org_id, user_id)
            row = {"org_id": org_id, "user_id": user_id} | _NEW | values
            insert = self._database.insert(local_account).values(row)
            keys = ["org_id", "user_id"]
            if values:
                await connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=values))
            if codes is not None:
                await connection.execute(recovery_code.delete().where(*_ours(recovery_code, org_id, user_id)))
            if codes:
                rows = [{"org_id": org_id, "user_id": user_id, "digest": code} for code in codes]
                await connection.execute(recovery_code.insert(), rows)
            await record_all(connection, org_id, now_us, [AuditEvent(by, action, "user", user_id)])

    async def use_step(self, org_id: str, user_id: str, step: int) -> bool:
        """Note the step of a code, unless it or a later one was used already."""
        ours = _ours(local_account, org_id, user_id)
        change = local_account.update().where(*ours, local_account.c.totp_step < step).values(totp_step=step)
        async with self._database.write() as connection:
            return (await connection.execute(change)).rowcount == 1

    async def use_recovery(self, org_id: str, user_id: str, digest: bytes, now_us: int) -> bool:
        """Spend a recovery code, once."""
        ours = (*_ours(recovery_code, org_id, user_id), recovery_code.c.digest == digest)
        async with self._database.write() as connection:
            await lock_head(connection, org_id)
            if not (await connection.execute(recovery_code.delete().where(*ours))).rowcount:
                return False
            spent = AuditEvent(actor_name("person", user_id), "recovery.use", "user", user_id)
            await record_all(connection, org_id, now_us, [spent])
            return True

    async def recovery_left(self, org_id: str, user_id: str) -> int:
        """How many recovery codes are left."""
        query = sa.select(sa.func.count()).select_from(recovery_code).where(*_ours(recovery_code, org_id, user_id))
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def note(self, org_id: str, actor: str, action: str, id: str, about: Mapping[str, Any], now_us: int) -> None:
        """Write into the audit log."""
        async with self._database.write() as connection:
            await record_all(connection, org_id, now_us, [AuditEvent(actor, action, "user", id, None, dict(about))])


class SqlLockout:
    """`access.lockout.LockoutStore` over SQL: of attempts at the same counters one waits for the other."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attempt(self, org_id: str, guesses: tuple[Guess, ...], now_us: int) -> Standing:
        """Count an attempt on every counter, unless one of them waits."""
        async with self._database.write() as connection:
            await connection.execute(
                sign_in_failure.delete().where(sign_in_failure.c.failed_at < now_us - 2 * FORGET_US)
            )
            before = {guess: await self._locked(connection, org_id, guess) for guess in sorted(guesses, key=_key)}
            standing, after = judge(before, now_us)
            for guess, failures in after.items():
                ours = (sign_in_failure.c.org_id == org_id, sign_in_failure.c.name == _key(guess))
                await connection.execute(sign_in_failure.update().where(*ours).values(msgspec.structs.asdict(failures)))
            return standing

    async def clear(self, org_id: str, guesses: tuple[Guess, ...], now_us: int) -> None:
        """Forget these counters."""
        names = [_key(guess) for guess in guesses]
        gone = sign_in_failure.delete().where(sign_in_failure.c.org_id == org_id, sign_in_failure.c.name.in_(names))
        async with self._database.write() as connection:
            await connection.execute(gone)

    async def take_back(self, org_id: str, guesses: tuple[Guess, ...], until_us: int) -> None:
        """Count one attempt less, and wait no more unless for longer than until then."""
        columns = sign_in_failure.c
        names = [_key(guess) for guess in guesses]
        less = sa.case((columns.count > 0, columns.count - 1), else_=0)
        waits = sa.case((columns.wait_until > until_us, columns.wait_until), else_=0)
        change = sign_in_failure.update().where(columns.org_id == org_id, columns.name.in_(names))
        async with self._database.write() as connection:
            await connection.execute(change.values(count=less, wait_until=waits))

    async def _locked(self, connection: AsyncConnection, org_id: str, guess: Guess) -> Failures:
        """The counter, held until the transaction ends; made if it is not there."""
        name = _key(guess)
        row = {"org_id": org_id, "name": name, "count": 0, "wait_until": 0, "failed_at": 0}
        await connection.execute(self._database.insert(sign_in_failure).values(row).on_conflict_do_nothing())
        ours = (sign_in_failure.c.org_id == org_id, sign_in_failure.c.name == name)
        found = await connection.execute(sa.select(sign_in_failure).where(*ours).with_for_update())
        kept = found.mappings().one()
        return Failures(kept["count"], kept["wait_until"], kept["failed_at"])


async def drop_account(connection: AsyncConnection, org_id: str, user_id: str) -> None:
    """Forget the account of a user that is no more."""
    for table in (local_account, recovery_code):
        await connection.execute(table.delete().where(*_ours(table, org_id, user_id)))


def _ours(table: sa.Table, org_id: str, user_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.org_id == org_id, table.c.user_id == user_id


def _key(guess: Guess) -> str:
    return guess.key[:_NAME_CHARACTERS]


def _user(row: sa.RowMapping) -> User:
    return User(**{name: value for name, value in row.items() if name not in ("deleted_at", "left_at")})
