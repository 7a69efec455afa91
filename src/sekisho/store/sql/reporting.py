"""How figures are shown to people, in the database."""

import msgspec
import sqlalchemy as sa

from sekisho.access.audit import AuditEvent
from sekisho.record.reporting import Reporting
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.tables.schema import setting

NAME = "reporting"


class SqlReporting:
    """`record.reporting.ReportingStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reporting(self, org_id: str) -> Reporting:
        """How figures are shown now."""
        query = sa.select(setting.c.value).where(setting.c.org_id == org_id, setting.c.name == NAME)
        async with self._database.read() as connection:
            value = (await connection.execute(query)).scalar_one_or_none()
        return msgspec.convert(value or {}, Reporting)

    async def set_reporting(self, org_id: str, reporting: Reporting, by: str, now_us: int) -> None:
        """Show them so from now on."""
        value = msgspec.to_builtins(reporting)
        row = {"org_id": org_id, "name": NAME, "value": value, "updated_at": now_us, "updated_by": by}
        query = sa.select(setting.c.value).where(setting.c.org_id == org_id, setting.c.name == NAME)
        async with self._database.write() as connection:
            before = (await connection.execute(query)).scalar_one_or_none()
            insert = self._database.insert(setting).values(row)
            await connection.execute(insert.on_conflict_do_update(index_elements=["org_id", "name"], set_=row))
            change = AuditEvent(by, "setting.update", "setting", NAME, before, value)
            await record_all(connection, org_id, now_us, [change])
