"""Virtual keys in the database, and the epoch of what call processes must know."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.register import KeyChange, KeyFilter, KeyLabel, Rotation, StoredKey
from sekisho.access.roles import Sight
from sekisho.access.rules import NO_RULES, RuleWrite, StoredRule
from sekisho.errors import BadRequest, NotFound
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.organisation import bind_key
from sekisho.store.sql.required import need_metadata
from sekisho.store.sql.rules import judge_move, retire_rules, write_rules
from sekisho.store.sql.tables.organisation import virtual_key
from sekisho.store.sql.tables.schema import org
from sekisho.values import Scope, VirtualKey

_COLUMNS = [column for column in virtual_key.c if column.name != "deleted_at"]


class SqlKeys:
    """The keys, as `access.register` wants them, and what a snapshot is made of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure_org(self, org_id: str, name: str, now_us: int) -> None:
        """Make the organisation when it is not there yet."""
        async with self._database.write() as connection:
            row = {"id": org_id, "name": name, "created_at": now_us}
            made = await connection.execute(self._database.insert(org).values(row).on_conflict_do_nothing())
            if made.rowcount:
                await record_all(
                    connection, org_id, now_us, [AuditEvent("sekisho", "org.create", "org", org_id, None, row)]
                )

    async def raise_epoch(self) -> None:
        """Say that something outside the database changed: models, credentials, the master key."""
        async with self._database.write() as connection:
            await raise_epoch(connection)

    async def add(self, key: StoredKey, rules: Sequence[StoredRule] = ()) -> None:
        """Keep a new key with its rules. Raises BadRequest when its alias or its digest is taken."""
        row = msgspec.structs.asdict(key) | {"alias": key.alias or None, "models": key.models, "tags": key.tags}
        try:
            async with self._database.write() as connection:
                await raise_epoch(connection)
                await _check_digest(connection, key.digest, key.id)
                who = (key.team_id, key.user_id, key.created_by)
                await bind_key(self._database, connection, key.org_id, *who, key.created_at)
                await need_metadata(connection, key.org_id, "key", key.metadata)
                await connection.execute(virtual_key.insert().values(row))
                made = AuditEvent(key.created_by, "key.create", "key", key.id, None, key)
                await record_all(connection, key.org_id, key.created_at, [made])
                await write_rules(connection, key.org_id, RuleWrite(tuple(rules)), key.created_by, key.created_at)
        except IntegrityError as error:
            raise await self._taken(key.org_id, key.alias) from error

    async def change(
        self, org_id: str, key_id: str, change: KeyChange, by: str, now_us: int, rules: RuleWrite = NO_RULES
    ) -> StoredKey:
        """Change a key and its rules. Raises NotFound, or BadRequest when the alias is taken."""
        values = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        if "alias" in values:
            values["alias"] = values["alias"] or None
        try:
            async with self._database.write() as connection:
                await raise_epoch(connection)
                who = (values.get("team_id", ""), values.get("user_id", ""), by)
                await bind_key(self._database, connection, org_id, *who, now_us)
                query = _live(org_id).where(virtual_key.c.id == key_id)
                before = (await connection.execute(query)).mappings().one_or_none()
                if before is None:
                    raise NotFound("There is no such key.")
                if "metadata" in values:
                    await need_metadata(connection, org_id, "key", values["metadata"])
                await connection.execute(_update(org_id, key_id).values(values | {"updated_at": now_us}))
                after = _stored((await connection.execute(query)).mappings().one())
                if (before["team_id"], before["user_id"]) != (after.team_id, after.user_id):
                    await judge_move(connection, org_id, key_id, before["team_id"], before["user_id"], now_us)
                if values:
                    changed = AuditEvent(by, "key.update", "key", key_id, _stored(before), after)
                    await record_all(connection, org_id, now_us, [changed])
                await write_rules(connection, org_id, rules, by, now_us)
                return after
        except IntegrityError as error:
            raise await self._taken(org_id, values.get("alias") or "") from error

    async def rotate(self, org_id: str, key_id: str, rotation: Rotation, by: str, now_us: int) -> StoredKey:
        """Give a key another raw form. Raises NotFound, or BadRequest when the digest is taken."""
        values = {name: value for name, value in msgspec.structs.asdict(rotation).items() if value is not UNSET}
        try:
            async with self._database.write() as connection:
                await raise_epoch(connection)
                await _check_digest(connection, rotation.digest, key_id)
                query = _live(org_id).where(virtual_key.c.id == key_id)
                before = (await connection.execute(query)).mappings().one_or_none()
                if before is None:
                    raise NotFound("There is no such key.")
                await connection.execute(_update(org_id, key_id).values(values | {"updated_at": now_us}))
                after = _stored((await connection.execute(query)).mappings().one())
                rotated = AuditEvent(by, "key.rotate", "key", key_id, _stored(before), after)
                await record_all(connection, org_id, now_us, [rotated])
                return after
        except IntegrityError as error:
            raise await self._taken(org_id, "") from error

    async def delete(self, org_id: str, key_id: str, by: str, now_us: int) -> None:
        """Take a key out of use, with its rules; the row stays for the history. Raises NotFound."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await _record_end(connection, org_id, key_id, "key.delete", by, now_us)
            await connection.execute(_update(org_id, key_id).values(deleted_at=now_us))
            await retire_rules(connection, org_id, Scope("key", key_id).__eq__, by, now_us)

    async def erase(self, org_id: str, key_id: str, by: str, now_us: int) -> None:
        """Remove the row of a key that nobody has seen, and take its rules away."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await _record_end(connection, org_id, key_id, "key.erase", by, now_us)
            ours = (virtual_key.c.org_id == org_id) & (virtual_key.c.id == key_id)
            await connection.execute(virtual_key.delete().where(ours))
            await retire_rules(connection, org_id, Scope("key", key_id).__eq__, by, now_us)

    async def find(self, org_id: str, *, key_id: str = "", digest: bytes = b"", alias: str = "") -> StoredKey | None:
        """The key in use that has all the given properties; None when none are given."""
        wanted = {"id": key_id, "alias": alias}
        conditions = [virtual_key.c[column] == value for column, value in wanted.items() if value]
        if digest:
            conditions.append(sa.or_(virtual_key.c.digest == digest, virtual_key.c.previous_digest == digest))
        if not conditions:
            return None
        async with self._database.read() as connection:
            row = (await connection.execute(_live(org_id).where(*conditions))).mappings().one_or_none()
            return None if row is None else _stored(row)

    async def list(
        self, org_id: str, where: KeyFilter, *, limit: int, after: str = "", offset: int = 0
    ) -> list[StoredKey]:
        """Keys in use, newest first."""
        query = _filtered(_live(org_id), where).order_by(virtual_key.c.id.desc()).limit(limit).offset(offset)
        if after:
            query = query.where(virtual_key.c.id < after)
        async with self._database.read() as connection:
            return [_stored(row) for row in (await connection.execute(query)).mappings()]

    async def count(self, org_id: str, where: KeyFilter) -> int:
        """How many keys in use there are."""
        query = sa.select(sa.func.count()).select_from(_filtered(_live(org_id), where).subquery())
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar_one()

    async def labels(self, org_id: str, key_ids: Collection[str]) -> dict[str, KeyLabel]:
        """What to call these keys, also those no longer in use."""
        columns = (virtual_key.c.id, virtual_key.c.alias, virtual_key.c.hint, virtual_key.c.digest)
        query = sa.select(*columns).where(virtual_key.c.org_id == org_id, virtual_key.c.id.in_(key_ids))
        async with self._database.read() as connection:
            rows = await connection.execute(query)
            return {key_id: KeyLabel(alias or "", hint, digest) for key_id, alias, hint, digest in rows}

    async def _taken(self, org_id: str, alias: str) -> BadRequest:
        if alias and await self.find(org_id, alias=alias):
            return BadRequest("Another key already has this alias.", param="key_alias")
        return BadRequest("This key cannot be used.", param="key")  # say nothing about keys that exist


async def read_keys(connection: AsyncConnection, org_id: str) -> tuple[VirtualKey, ...]:
    """All keys in use, as their own rows say; their teams may allow less."""
    rows = (await connection.execute(_live(org_id).order_by(virtual_key.c.id))).mappings()
    return tuple(_stored(row).virtual_key() for row in rows)


async def _check_digest(connection: AsyncConnection, digest: bytes, key_id: str) -> None:
    """Raises BadRequest when a raw key is the one that another key had before its rotation."""
    query = sa.select(virtual_key.c.id).where(virtual_key.c.previous_digest == digest, virtual_key.c.id != key_id)
    if (await connection.execute(query)).first():
        raise BadRequest("This key cannot be used.", param="key")


async def _record_end(connection: AsyncConnection, org_id: str, key_id: str, action: str, by: str, now_us: int) -> None:
    """Raises NotFound when there is no such key in use."""
    row = (await connection.execute(_live(org_id).where(virtual_key.c.id == key_id))).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such key.")
    await record_all(connection, org_id, now_us, [AuditEvent(by, action, "key", key_id, _stored(row))])


async def read_stored_keys(connection: AsyncConnection, org_id: str) -> tuple[StoredKey, ...]:
    """All keys in use, as their administrator sees them."""
    rows = (await connection.execute(_live(org_id).order_by(virtual_key.c.id))).mappings()
    return tuple(_stored(row) for row in rows)


def _live(org_id: str) -> sa.Select[Any]:
    return sa.select(*_COLUMNS).where(virtual_key.c.org_id == org_id, virtual_key.c.deleted_at.is_(None))


def _update(org_id: str, key_id: str) -> sa.Update:
    return virtual_key.update().where(
        virtual_key.c.org_id == org_id, virtual_key.c.id == key_id, virtual_key.c.deleted_at.is_(None)
    )


def _filtered(query: sa.Select[Any], where: KeyFilter) -> sa.Select[Any]:
    columns = virtual_key.c
    wanted = {"alias": where.alias, "user_id": where.user_id, "team_id": where.team_id, "digest": where.digest}
    query = query.where(*(columns[name] == value for name, value in wanted.items() if value))
    return query if where.sight.is_all else query.where(in_sight(where.sight))


def in_sight(sight: Sight) -> sa.ColumnElement[bool]:
    """Whether a key belongs to one of these teams, or to this user."""
    own = virtual_key.c.user_id == sight.user_id if sight.user_id else sa.false()
    return sa.or_(virtual_key.c.team_id.in_(sight.team_ids), own)


def _stored(row: sa.RowMapping) -> StoredKey:
    return StoredKey(**{**row, "alias": row["alias"] or "", "models": tuple(row["models"]), "tags": tuple(row["tags"])})
