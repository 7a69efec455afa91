"""Access tokens in the database, as digests."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.roles import EVERYTHING, Sight
from sekisho.access.tokens import AccessToken
from sekisho.errors import NotFound
from sekisho.store.sql.accounts import drop_account
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.grants import need_user
from sekisho.store.sql.tables.organisation import team_member
from sekisho.store.sql.tables.rights import access_token
from sekisho.store.sql.tables.sign_in import console_session, device_login, login_code


class SqlTokens:
    """`access.tokens.TokenStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_token(self, token: AccessToken) -> None:
        """Keep a new token."""
        async with self._database.write() as connection:
            await raise_epoch(connection)  # a lock: the user stays while it gets the token
            await need_user(connection, token.org_id, token.user_id)
            await connection.execute(access_token.insert().values(msgspec.structs.asdict(token)))
            await _record(connection, token, "token.create", token.created_by, token.created_at)

    async def find_token(self, org_id: str, *, token_id: str = "", digest: bytes = b"") -> AccessToken | None:
        """One token that was not revoked."""
        query = _live(org_id)
        query = query.where(access_token.c.id == token_id) if token_id else query.where(access_token.c.digest == digest)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            return AccessToken(**row) if row else None

    async def list_tokens(
        self, org_id: str, *, user_id: str = "", sight: Sight = EVERYTHING, limit: int, after: str = ""
    ) -> list[AccessToken]:
        """Tokens that were not revoked, newest first; those of the users in sight."""
        columns = access_token.c
        query = _live(org_id).order_by(columns.id.desc()).limit(limit)
        if user_id:
            query = query.where(columns.user_id == user_id)
        if after:
            query = query.where(columns.id < after)
        if not sight.is_all:
            ours = (team_member.c.org_id == org_id) & team_member.c.team_id.in_(sight.team_ids)
            members = sa.select(team_member.c.user_id).where(ours)
            query = query.where(sa.or_(columns.user_id == sight.user_id, columns.user_id.in_(members)))
        async with self._database.read() as connection:
            return [AccessToken(**row) for row in (await connection.execute(query)).mappings()]

    async def set_token_digest(
        self, org_id: str, token_id: str, digest: bytes, hint: str, by: str, now_us: int
    ) -> None:
        """Give a token its raw form."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            found = await _get(connection, org_id, token_id)
            ours = access_token.c.id == token_id
            await connection.execute(access_token.update().where(ours).values(digest=digest, hint=hint))
            await _record(connection, found, "token.hand_over", by, now_us)

    async def revoke_token(self, org_id: str, token_id: str, by: str, now_us: int) -> None:
        """End a token for good."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            found = await _get(connection, org_id, token_id)
            await connection.execute(
                access_token.update().where(access_token.c.id == token_id).values(revoked_at=now_us)
            )
            await _record(connection, found, "token.revoke", by, now_us)


async def end_access(connection: AsyncConnection, org_id: str, user_id: str, by: str, now_us: int) -> None:
    """End every token, console session and code of a user that is no more."""
    live = (access_token.c.org_id == org_id, access_token.c.user_id == user_id, access_token.c.revoked_at.is_(None))
    for row in (await connection.execute(sa.select(access_token).where(*live))).mappings().all():
        await _record(connection, AccessToken(**row), "token.revoke", by, now_us)
    await connection.execute(access_token.update().where(*live).values(revoked_at=now_us))
    await drop_account(connection, org_id, user_id)
    for table in (login_code, console_session, device_login):
        await connection.execute(table.delete().where(table.c.org_id == org_id, table.c.user_id == user_id))


async def _get(connection: AsyncConnection, org_id: str, token_id: str) -> AccessToken:
    query = _live(org_id).where(access_token.c.id == token_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such access token.")
    return AccessToken(**row)


async def _record(connection: AsyncConnection, token: AccessToken, action: str, by: str, now_us: int) -> None:
    before, after = (None, token) if action == "token.create" else (token, None)
    event = AuditEvent(by, action, "token", token.id, before, after)
    await record_all(connection, token.org_id, now_us, [event])


def _live(org_id: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(access_token).where(access_token.c.org_id == org_id, access_token.c.revoked_at.is_(None))
