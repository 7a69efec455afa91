"""Console sessions and one-time codes in the database, as digests."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql import audit
from sekisho.store.sql.engine import Database
from sekisho.store.sql.tables import console_session, login_code


class SqlSessions:
    """What `access.sessions` keeps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_code(
        self, org_id: str, digest: bytes, by: str, now_us: int, expires_at: int, user_id: str = ""
    ) -> None:
        """Keep a code."""
        row = {"digest": digest, "org_id": org_id, "expires_at": expires_at, "user_id": user_id}
        async with self._database.write() as connection:
            await audit.lock_head(connection, org_id)
            await connection.execute(login_code.insert().values(row))
            await _record(connection, org_id, by, "console.invite", digest, now_us, {"expires_at": expires_at})

    async def redeem(self, org_id: str, code: bytes, session: bytes, now_us: int, expires_at: int) -> bool:
        """Swap a code for a session, once; clears out what has expired."""
        async with self._database.write() as connection:
            await audit.lock_head(connection, org_id)
            await connection.execute(login_code.delete().where(login_code.c.expires_at <= now_us))
            await connection.execute(console_session.delete().where(console_session.c.expires_at <= now_us))
            ours = (login_code.c.digest == code) & (login_code.c.org_id == org_id)
            user_id = (await connection.execute(sa.select(login_code.c.user_id).where(ours))).scalar_one_or_none()
            if (await connection.execute(login_code.delete().where(ours))).rowcount == 0:
                return False
            row = {"digest": session, "org_id": org_id, "created_at": now_us, "expires_at": expires_at}
            row["user_id"] = user_id or ""
            await connection.execute(console_session.insert().values(row))
            code_name = _name(code)
            shown = {"code": code_name, "user_id": user_id or "", "expires_at": expires_at}
            await _record(connection, org_id, f"console code {code_name}", "console.enter", session, now_us, shown)
            return True

    async def user_of(self, org_id: str, session: bytes, now_us: int) -> str | None:
        """Whose session it is; None when it does not exist or has expired."""
        query = sa.select(console_session.c.expires_at, console_session.c.user_id).where(
            console_session.c.digest == session, console_session.c.org_id == org_id
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
            return row.user_id if row and row.expires_at > now_us else None

    async def end(self, org_id: str, session: bytes, now_us: int) -> None:
        """Forget a session."""
        async with self._database.write() as connection:
            await audit.lock_head(connection, org_id)
            ours = (console_session.c.digest == session) & (console_session.c.org_id == org_id)
            if (await connection.execute(console_session.delete().where(ours))).rowcount:
                await _record(connection, org_id, f"console session {_name(session)}", "console.leave", session, now_us)


async def _record(
    connection: AsyncConnection, org_id: str, by: str, action: str, digest: bytes, now_us: int, after: Any = None
) -> None:
    await audit.record(
        connection, org_id=org_id, actor=by, action=action, kind="session", id=_name(digest), after=after, at_us=now_us
    )


def _name(digest: bytes) -> str:
    """How a code or a session is called in the record: the beginning of its digest opens nothing."""
    return digest.hex()[:16]
