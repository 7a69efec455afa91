"""Console sessions and one-time codes in the database, as digests."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.grants import actor_name
from sekisho.access.sessions import Session
from sekisho.store.sql import audit
from sekisho.store.sql.engine import Database
from sekisho.store.sql.tables.sign_in import console_session, login_code

_SHOWN = ("id", "user_id", "method", "address", "expires_at")


class SqlSessions:
    """What `access.sessions` keeps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_code(
        self, org_id: str, digest: bytes, by: str, now_us: int, expires_at: int, user_id: str = ""
    ) -> None:
        """Keep a code, in the place of those of this user before."""
        row = {"digest": digest, "org_id": org_id, "expires_at": expires_at, "user_id": user_id}
        shown = {"user_id": user_id, "expires_at": expires_at}
        async with self._database.write() as connection:
            await audit.lock_head(connection, org_id)
            if user_id:
                await connection.execute(login_code.delete().where(*_codes(org_id, user_id)))
            await connection.execute(login_code.insert().values(row))
            await _record(connection, org_id, by, "console.invite", _name(digest), now_us, shown)

    async def find_code(self, org_id: str, code: bytes, now_us: int) -> str | None:
        """Whose a code is that is still good."""
        columns = login_code.c
        ours = (columns.digest == code, columns.org_id == org_id, columns.expires_at > now_us)
        async with self._database.read() as connection:
            found = (await connection.execute(sa.select(columns.user_id).where(*ours))).scalar_one_or_none()
            return None if found is None else str(found)

    async def redeem(self, org_id: str, code: bytes, digest: bytes, session: Session) -> str | None:
        """Swap a code for a session, once; clears out what has expired."""
        now_us = session.created_at
        async with self._database.write() as connection:
            await audit.lock_head(connection, org_id)
            await connection.execute(login_code.delete().where(login_code.c.expires_at <= now_us))
            ours = (login_code.c.digest == code) & (login_code.c.org_id == org_id)
            user_id = (await connection.execute(sa.select(login_code.c.user_id).where(ours))).scalar_one_or_none()
            if (await connection.execute(login_code.delete().where(ours))).rowcount == 0 or user_id is None:
                return None
            opened = msgspec.structs.replace(session, user_id=user_id)
            code_name = _name(code)
            await _open(connection, org_id, digest, opened, f"console code {code_name}", {"code": code_name})
            return str(user_id)

    async def add_session(self, org_id: str, digest: bytes, session: Session) -> None:
        """Open a session; clears out what has expired."""
        async with self._database.write() as connection:
            await audit.lock_head(connection, org_id)
            await _open(connection, org_id, digest, session, actor_name("person", session.user_id), {})

    async def find_session(self, org_id: str, digest: bytes) -> Session | None:
        """The session of this cookie."""
        query = sa.select(console_session).where(*_cookie(org_id, digest))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            return _session(row) if row else None

    async def touch(self, org_id: str, digest: bytes, now_us: int) -> None:
        """Note that the session is in use."""
        change = console_session.update().where(*_cookie(org_id, digest)).values(seen_at=now_us)
        async with self._database.write() as connection:
            await connection.execute(change)

    async def list_sessions(self, org_id: str, user_id: str) -> list[Session]:
        """The sessions of a user, newest first."""
        columns = console_session.c
        query = sa.select(console_session).where(columns.org_id == org_id, columns.user_id == user_id)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(columns.created_at.desc()))
            return [_session(row) for row in rows.mappings()]

    async def end(self, org_id: str, session: bytes, now_us: int) -> None:
        """Forget a session."""
        async with self._database.write() as connection:
            await audit.lock_head(connection, org_id)
            if (await connection.execute(console_session.delete().where(*_cookie(org_id, session)))).rowcount:
                by = f"console session {_name(session)}"
                await _record(connection, org_id, by, "console.leave", _name(session), now_us)

    async def end_sessions(
        self, org_id: str, user_id: str, by: str, now_us: int, *, only: str = "", but: str = ""
    ) -> int:
        """End sessions of a user; without `only` its codes as well."""
        columns = console_session.c
        where = [columns.org_id == org_id, columns.user_id == user_id]
        where += [columns.id == only] if only else []
        where += [columns.id != but] if but else []
        async with self._database.write() as connection:
            await audit.lock_head(connection, org_id)
            found = [_session(row) for row in (await connection.execute(_select(where))).mappings()]
            await connection.execute(console_session.delete().where(*where))
            if user_id and not only:
                await connection.execute(login_code.delete().where(*_codes(org_id, user_id)))
            for one in found:
                await _record(connection, org_id, by, "console.end", one.id, now_us, {"user_id": user_id})
            return len(found)


def _codes(org_id: str, user_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    """The codes of a user that nobody has used."""
    return login_code.c.org_id == org_id, login_code.c.user_id == user_id


async def _open(
    connection: AsyncConnection, org_id: str, digest: bytes, session: Session, by: str, about: dict[str, Any]
) -> None:
    now_us = session.created_at
    await connection.execute(console_session.delete().where(console_session.c.expires_at <= now_us))
    row = msgspec.structs.asdict(session) | {"digest": digest, "org_id": org_id}
    await connection.execute(console_session.insert().values(row))
    shown = about | {name: getattr(session, name) for name in _SHOWN}
    await _record(connection, org_id, by, "console.enter", _name(digest), now_us, shown)


async def _record(
    connection: AsyncConnection, org_id: str, by: str, action: str, id_: str, now_us: int, after: Any = None
) -> None:
    await audit.record(
        connection, org_id=org_id, actor=by, action=action, kind="session", id=id_, after=after, at_us=now_us
    )


def _select(where: list[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    return sa.select(console_session).where(*where)


def _cookie(org_id: str, digest: bytes) -> tuple[sa.ColumnElement[bool], ...]:
    return console_session.c.digest == digest, console_session.c.org_id == org_id


def _session(row: sa.RowMapping) -> Session:
    values = {name: row[name] for name in Session.__struct_fields__}
    # a session opened by an older version says nothing of its use: it began when it was made
    return Session(**values | {"id_token": row["id_token"] or b"", "seen_at": row["seen_at"] or row["created_at"]})


def _name(digest: bytes) -> str:
    """How a code or a session is called in the record: the beginning of its digest opens nothing."""
    return digest.hex()[:16]
