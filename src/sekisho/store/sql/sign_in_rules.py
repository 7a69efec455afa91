"""The rules of signing in, in the database."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.sign_in_rules import SignInRules
from sekisho.errors import BadRequest
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.tables.organisation import team
from sekisho.store.sql.tables.schema import setting

NAME = "sign_in"


class SqlSignInRules:
    """`access.sign_in_rules.SignInRuleStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sign_in_rules(self, org_id: str) -> SignInRules:
        """The rules now."""
        async with self._database.read() as connection:
            return await read_sign_in_rules(connection, org_id)

    async def set_sign_in_rules(self, org_id: str, rules: SignInRules, by: str, now_us: int) -> None:
        """Follow these from now on."""
        value: dict[str, Any] = msgspec.to_builtins(rules)
        row = {"org_id": org_id, "name": NAME, "value": value, "updated_at": now_us, "updated_by": by}
        async with self._database.write() as connection:
            await raise_epoch(connection)  # a lock: the teams stay
            named = {rule.team_id for rule in rules.groups if rule.team_id}
            live = sa.select(team.c.id).where(team.c.org_id == org_id, team.c.deleted_at.is_(None))
            found = set((await connection.execute(live.where(team.c.id.in_(named)))).scalars())
            if missing := sorted(named - found):
                raise BadRequest(f"There is no team '{missing[0][:60]}'.", param="groups")
            before = await read_sign_in_rules(connection, org_id)
            insert = self._database.insert(setting).values(row)
            await connection.execute(insert.on_conflict_do_update(index_elements=["org_id", "name"], set_=row))
            change = AuditEvent(by, "setting.update", "setting", NAME, msgspec.to_builtins(before), value)
            await record_all(connection, org_id, now_us, [change])


async def read_sign_in_rules(connection: AsyncConnection, org_id: str) -> SignInRules:
    """The rules now."""
    query = sa.select(setting.c.value).where(setting.c.org_id == org_id, setting.c.name == NAME)
    value = (await connection.execute(query)).scalar_one_or_none()
    return msgspec.convert(value or {}, SignInRules)
