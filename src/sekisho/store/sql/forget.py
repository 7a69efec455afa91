"""What the directory knew of a user who is deleted: a new user of the same id begins without it."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql.tables.organisation import person
from sekisho.store.sql.tables.sign_in import directory_group, directory_link, leaver_key, scim_member, scim_user


async def forget_directory(connection: AsyncConnection, org_id: str, user_id: str) -> None:
    """Drop the links, groups and provisioned accounts of a user."""
    provisioned = sa.select(scim_user.c.id).where(scim_user.c.org_id == org_id, scim_user.c.user_id == user_id)
    ours = (scim_member.c.org_id == org_id, scim_member.c.member_id.in_(provisioned))
    await connection.execute(scim_member.delete().where(*ours))
    for table in (directory_link, directory_group, leaver_key, scim_user):
        await connection.execute(table.delete().where(table.c.org_id == org_id, table.c.user_id == user_id))
    same = person.update().where(person.c.org_id == org_id, person.c.id == user_id)
    await connection.execute(same.values(left_at=None))
