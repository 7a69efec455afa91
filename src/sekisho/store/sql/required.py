"""What metadata is required, in the database, and the check that every write of an object makes."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.required import Kind, Required, RequiredField, check_metadata
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.tables.organisation import person, team, virtual_key
from sekisho.store.sql.tables.schema import setting

NAME = "required_metadata"


class SqlRequired:
    """`access.required.RequiredStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def required(self, org_id: str) -> Required:
        """What is required now."""
        async with self._database.read() as connection:
            return await read_required(connection, org_id)

    async def set_required(self, org_id: str, required: Required, by: str, now_us: int) -> None:
        """Require this from now on."""
        value = msgspec.to_builtins(dict(required))
        row = {"org_id": org_id, "name": NAME, "value": value, "updated_at": now_us, "updated_by": by}
        async with self._database.write() as connection:
            before = await read_required(connection, org_id)
            insert = self._database.insert(setting).values(row)
            keys = ["org_id", "name"]
            await connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=row))
            change = AuditEvent(by, "setting.update", "setting", NAME, msgspec.to_builtins(dict(before)), value)
            await record_all(connection, org_id, now_us, [change])

    async def metadata(self, org_id: str) -> Sequence[tuple[Kind, str, Mapping[str, Any]]]:
        """The metadata of every object in use."""
        found: list[tuple[Kind, str, Mapping[str, Any]]] = []
        async with self._database.read() as connection:
            kinds: tuple[tuple[Kind, sa.Table], ...] = (("team", team), ("user", person), ("key", virtual_key))
            for kind, table in kinds:
                columns = [table.c.id, table.c.metadata] + ([table.c.kind] if table is person else [])
                query = sa.select(*columns).where(table.c.org_id == org_id, table.c.deleted_at.is_(None))
                for row in (await connection.execute(query)).mappings():
                    is_service = row.get("kind") == "service"
                    found.append(("service" if is_service else kind, row["id"], row["metadata"]))
        return found


async def read_required(connection: AsyncConnection, org_id: str) -> Required:
    """What is required now."""
    query = sa.select(setting.c.value).where(setting.c.org_id == org_id, setting.c.name == NAME)
    value = (await connection.execute(query)).scalar_one_or_none()
    return msgspec.convert(value or {}, dict[Kind, tuple[RequiredField, ...]])


async def need_metadata(connection: AsyncConnection, org_id: str, kind: Kind, metadata: Mapping[str, Any]) -> None:
    """Raises BadRequest, naming the field, for metadata that lacks what is required now."""
    check_metadata(kind, await read_required(connection, org_id), metadata)
