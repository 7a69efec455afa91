"""The part of the organisation that somebody may see, as a condition on rows of calls or of what is made of them."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.record.calls import Part
from sekisho.store.sql.names import Names
from sekisho.store.sql.tables.ledger import call

# The organisation of a call, where another index leads to it: SQLite knows no better than to take the one of changes
# within an organisation, and that is every call there is, to be sorted.
CALL_ORG = call.c.org + 0


async def in_part(connection: AsyncConnection, names: Names, part: Part, rows: sa.Table) -> sa.ColumnElement[bool]:
    """Rows (with columns `team` and `user`) of these teams or of this user; none for names that nothing ever had."""
    known = await names.known(connection, (*part.team_ids, part.user_id))
    teams = [known[team_id] for team_id in part.team_ids if team_id and team_id in known]
    own = rows.c.user == known[part.user_id] if part.user_id and part.user_id in known else sa.false()
    return sa.or_(rows.c.team.in_(teams), own)
