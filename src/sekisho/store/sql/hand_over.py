"""One-time links in the database, as digests."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.hand_over import HandOver
from sekisho.access.roles import EVERYTHING, Sight
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.keys import in_sight
from sekisho.store.sql.tables.organisation import virtual_key
from sekisho.store.sql.tables.rights import access_token, hand_over


class SqlHandOvers:
    """`access.hand_over.HandOverStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_hand_over(self, link: HandOver) -> None:
        """Keep a new link; what is still open of the same object is withdrawn."""
        columns = hand_over.c
        older = (columns.org_id == link.org_id, columns.object_id == link.object_id, *_open(link.created_at))
        async with self._database.write() as connection:
            await connection.execute(hand_over.update().where(*older).values(withdrawn_at=link.created_at))
            await connection.execute(hand_over.insert().values(msgspec.structs.asdict(link)))
            made = AuditEvent(link.created_by, "hand_over.create", "hand_over", link.id, None, link)
            await record_all(connection, link.org_id, link.created_at, [made])

    async def find_hand_over(self, org_id: str, *, id: str = "", digest: bytes = b"") -> HandOver | None:
        """One link."""
        columns = hand_over.c
        query = sa.select(hand_over).where(columns.org_id == org_id)
        query = query.where(columns.id == id) if id else query.where(columns.digest == digest)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            return HandOver(**row) if row else None

    async def list_hand_overs(
        self, org_id: str, *, limit: int, after: str = "", keys: Sight = EVERYTHING, tokens: Sight = EVERYTHING
    ) -> list[HandOver]:
        """Links, newest first."""
        columns = hand_over.c
        query = sa.select(hand_over).where(columns.org_id == org_id).order_by(columns.id.desc()).limit(limit)
        if not keys.is_all:
            query = query.where(sa.or_(_of_key(keys), _of_token(tokens)))
        if after:
            query = query.where(columns.id < after)
        async with self._database.read() as connection:
            return [HandOver(**row) for row in (await connection.execute(query)).mappings()]

    async def claim(self, org_id: str, id: str, by: str, now_us: int) -> bool:
        """Mark an open link as redeemed."""
        return await self._end(org_id, id, "redeem", by, now_us, {"redeemed_at": now_us})

    async def withdraw(self, org_id: str, id: str, by: str, now_us: int) -> bool:
        """End an open link."""
        return await self._end(org_id, id, "withdraw", by, now_us, {"withdrawn_at": now_us})

    async def unclaim(self, org_id: str, id: str, by: str, now_us: int) -> None:
        """Open a link again."""
        async with self._database.write() as connection:
            ours = (hand_over.c.org_id == org_id, hand_over.c.id == id)
            await connection.execute(hand_over.update().where(*ours).values(redeemed_at=None))
            await _record(connection, org_id, id, "reopen", by, now_us)

    async def _end(self, org_id: str, id: str, action: str, by: str, now_us: int, values: dict[str, int]) -> bool:
        ours = (hand_over.c.org_id == org_id, hand_over.c.id == id, *_open(now_us))
        async with self._database.write() as connection:
            if (await connection.execute(hand_over.update().where(*ours).values(values))).rowcount == 0:
                return False
            await _record(connection, org_id, id, action, by, now_us)
            return True


def _of_key(sight: Sight) -> sa.ColumnElement[bool]:
    """Whether a link is one of a key in use that lies in sight."""
    ours = (virtual_key.c.id == hand_over.c.object_id, virtual_key.c.deleted_at.is_(None), in_sight(sight))
    return (hand_over.c.kind == "key") & sa.exists().where(*ours)


def _of_token(sight: Sight) -> sa.ColumnElement[bool]:
    """Whether a link is one of a token in use of a user in sight."""
    token = access_token.c
    owned = sa.true() if sight.is_all else token.user_id == sight.user_id if sight.user_id else sa.false()
    ours = (token.id == hand_over.c.object_id, token.revoked_at.is_(None), owned)
    return (hand_over.c.kind == "token") & sa.exists().where(*ours)


def _open(now_us: int) -> tuple[sa.ColumnElement[bool], ...]:
    columns = hand_over.c
    return columns.redeemed_at.is_(None), columns.withdrawn_at.is_(None), columns.expires_at > now_us


async def _record(connection: AsyncConnection, org_id: str, id: str, action: str, by: str, now_us: int) -> None:
    await record_all(connection, org_id, now_us, [AuditEvent(by, f"hand_over.{action}", "hand_over", id)])
