"""Who the directory knows, in the database: links, groups, what groups give, and who has left."""

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.directory import DIRECTORY, Arrival
from sekisho.access.grants import actor_name
from sekisho.access.organisation import Member
from sekisho.access.roles import Grant
from sekisho.access.sign_in_rules import Given, SignInRules, given_by
from sekisho.errors import NotAllowed
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.grants import note_role
from sekisho.store.sql.organisation import bind_key, end_membership, put_member
from sekisho.store.sql.sign_in_rules import read_sign_in_rules
from sekisho.store.sql.tables.organisation import person, team, team_member, virtual_key
from sekisho.store.sql.tables.rights import role_grant
from sekisho.store.sql.tables.sign_in import (
    directory_group,
    directory_link,
    leaver_key,
    local_account,
    scim_group,
    scim_member,
    scim_user,
)
from sekisho.store.sql.tokens import end_access


class SqlDirectory:
    """`access.directory.DirectoryStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def arrive(self, org_id: str, arrival: Arrival, now_us: int) -> str | None:
        """Find or make the user of an arrival and bring it up to date."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            rules = await read_sign_in_rules(connection, org_id)
            linked = await _linked(connection, org_id, arrival)
            user_id = linked or await self._candidate(connection, org_id, arrival.user_name)
            row = await _person(connection, org_id, user_id)
            if row is not None:
                await _may_enter(connection, org_id, arrival, row, is_linked=bool(linked))
            if arrival.groups is not None:
                await keep_groups(connection, org_id, user_id, arrival.groups)
            is_known = given_by(rules, await _groups(connection, org_id, user_id)).is_known
            is_ours = row is None or row["created_by"] == DIRECTORY
            if not is_known and rules.unmapped == "nobody" and is_ours:
                if row is not None:
                    await sync(self._database, connection, org_id, user_id, rules, now_us)
                return None
            await bind_key(self._database, connection, org_id, "", user_id, DIRECTORY, now_us)
            await name_person(connection, org_id, user_id, arrival.name, arrival.email, now_us)
            if not linked:
                await _link(connection, org_id, arrival, user_id, now_us)
            await sync(self._database, connection, org_id, user_id, rules, now_us)
            return user_id

    async def leave(self, org_id: str, user_id: str, by: str, now_us: int) -> bool:
        """Note that a user has left."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            return await leave(connection, org_id, user_id, by, now_us)

    async def come_back(self, org_id: str, user_id: str, by: str, now_us: int) -> bool:
        """Note that a user is back."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            return await come_back(connection, org_id, user_id, by, now_us)

    async def follow(self, org_id: str, now_us: int) -> None:
        """Bring everybody up to date with the rules."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            rules = await read_sign_in_rules(connection, org_id)
            linked = sa.select(directory_link.c.user_id).where(directory_link.c.org_id == org_id)
            provisioned = sa.select(scim_user.c.user_id).where(scim_user.c.org_id == org_id)
            for user_id in sorted(set((await connection.execute(sa.union(linked, provisioned))).scalars())):
                await sync(self._database, connection, org_id, user_id, rules, now_us)

    async def _candidate(self, connection: AsyncConnection, org_id: str, user_name: str) -> str:
        return await same_person(connection, org_id, user_name) or user_name.lower()


async def same_person(connection: AsyncConnection, org_id: str, user_name: str) -> str:
    """The id of the user whom this name means: in these letters, else in small ones; empty for nobody."""
    query = sa.select(person.c.id).where(
        person.c.org_id == org_id, person.c.deleted_at.is_(None), person.c.id.in_({user_name, user_name.lower()})
    )
    found = set((await connection.execute(query)).scalars())
    return user_name if user_name in found else next(iter(found), "")


async def leave(connection: AsyncConnection, org_id: str, user_id: str, by: str, now_us: int) -> bool:
    """Block the keys of a user, end its tokens, sessions, codes and local account, in a transaction that has raised the
    epoch. False when it had left, or is not there."""
    ours = (
        person.c.org_id == org_id,
        person.c.id == user_id,
        person.c.deleted_at.is_(None),
        person.c.left_at.is_(None),
    )
    if not (await connection.execute(person.update().where(*ours).values(left_at=now_us))).rowcount:
        return False
    keys = virtual_key.c
    live = (keys.org_id == org_id, keys.user_id == user_id, keys.deleted_at.is_(None), keys.blocked.is_(False))
    key_ids = list((await connection.execute(sa.select(keys.id).where(*live).order_by(keys.id))).scalars())
    await connection.execute(virtual_key.update().where(*live).values(blocked=True, updated_at=now_us))
    if key_ids:
        rows = [{"org_id": org_id, "user_id": user_id, "key_id": key_id} for key_id in key_ids]
        await connection.execute(leaver_key.insert(), rows)
    await end_access(connection, org_id, user_id, by, now_us)
    left = AuditEvent(by, "user.leave", "user", user_id, None, {"blocked_keys": key_ids})
    await record_all(connection, org_id, now_us, [left])
    return True


async def come_back(connection: AsyncConnection, org_id: str, user_id: str, by: str, now_us: int) -> bool:
    """Let a user in again, in a transaction that has raised the epoch; the keys as the rules say."""
    ours = (person.c.org_id == org_id, person.c.id == user_id, person.c.left_at.is_not(None))
    if not (await connection.execute(person.update().where(*ours).values(left_at=None))).rowcount:
        return False
    theirs = (leaver_key.c.org_id == org_id, leaver_key.c.user_id == user_id)
    key_ids = list((await connection.execute(sa.select(leaver_key.c.key_id).where(*theirs))).scalars())
    await connection.execute(leaver_key.delete().where(*theirs))
    restored: list[str] = []
    if (await read_sign_in_rules(connection, org_id)).returning == "restored":
        restored = key_ids
        again = virtual_key.update().where(virtual_key.c.org_id == org_id, virtual_key.c.id.in_(key_ids))
        await connection.execute(again.values(blocked=False, updated_at=now_us))
    back = AuditEvent(by, "user.return", "user", user_id, None, {"unblocked_keys": restored})
    await record_all(connection, org_id, now_us, [back])
    return True


async def read_left(connection: AsyncConnection, org_id: str) -> frozenset[str]:
    """The ids of users who have left."""
    query = sa.select(person.c.id).where(person.c.org_id == org_id, person.c.left_at.is_not(None))
    return frozenset((await connection.execute(query)).scalars())


async def keep_groups(connection: AsyncConnection, org_id: str, user_id: str, groups: Iterable[str]) -> None:
    """Keep the groups that the identity provider names at a sign-in."""
    ours = (directory_group.c.org_id == org_id, directory_group.c.user_id == user_id)
    await connection.execute(directory_group.delete().where(*ours))
    rows = [{"org_id": org_id, "user_id": user_id, "name": name} for name in groups]
    if rows:
        await connection.execute(directory_group.insert(), rows)


async def name_person(
    connection: AsyncConnection, org_id: str, user_id: str, name: str, email: str, now_us: int
) -> None:
    """Take over the names that the directory gives, where they are others."""
    row = await _person(connection, org_id, user_id)
    assert row is not None
    wanted = {key: value for key, value in (("alias", name), ("email", email)) if value and value != row[key]}
    if not wanted:
        return
    ours = (person.c.org_id == org_id, person.c.id == user_id)
    await connection.execute(person.update().where(*ours).values(wanted | {"updated_at": now_us}))
    before = {key: row[key] for key in wanted}
    await record_all(
        connection, org_id, now_us, [AuditEvent(DIRECTORY, "user.update", "user", user_id, before, wanted)]
    )


async def sync(
    database: Database, connection: AsyncConnection, org_id: str, user_id: str, rules: SignInRules, now_us: int
) -> None:
    """Bring what groups give a user up to date. What was given by hand is left alone."""
    given = given_by(rules, await _groups(connection, org_id, user_id))
    await _sync_grants(connection, org_id, user_id, given, now_us)
    await _sync_teams(database, connection, org_id, user_id, given, now_us)


async def _sync_grants(connection: AsyncConnection, org_id: str, user_id: str, given: Given, now_us: int) -> None:
    columns = role_grant.c
    ours = (columns.org_id == org_id, columns.user_id == user_id)
    query = sa.select(columns.role, columns.team_id, columns.created_by).where(*ours)
    held = {Grant(role, team_id): by for role, team_id, by in (await connection.execute(query)).all()}
    wanted = {grant for grant in given.grants if grant.role != "team_lead"}
    for grant in sorted(one for one, by in held.items() if by == DIRECTORY and one not in wanted):
        gone = (columns.role == grant.role, columns.team_id == grant.team_id)
        await connection.execute(role_grant.delete().where(*ours, *gone))
        await note_role(connection, org_id, user_id, grant, "revoke", DIRECTORY, now_us)
    teams = await _live_teams(connection, org_id, (grant.team_id for grant in wanted))
    for grant in sorted(wanted - held.keys()):
        if grant.team_id and grant.team_id not in teams:
            continue
        row = {"org_id": org_id, "user_id": user_id, "created_at": now_us, "created_by": DIRECTORY}
        await connection.execute(role_grant.insert().values(row | msgspec.structs.asdict(grant)))
        await note_role(connection, org_id, user_id, grant, "grant", DIRECTORY, now_us)


async def _sync_teams(
    database: Database, connection: AsyncConnection, org_id: str, user_id: str, given: Given, now_us: int
) -> None:
    columns = team_member.c
    query = sa.select(team_member).where(columns.org_id == org_id, columns.user_id == user_id)
    held = {row["team_id"]: Member(**row) for row in (await connection.execute(query)).mappings()}
    for team_id in sorted(team_id for team_id, one in held.items() if one.created_by == DIRECTORY):
        if team_id not in given.team_ids:
            await end_membership(connection, org_id, team_id, user_id, DIRECTORY, now_us)
    for team_id in sorted(await _live_teams(connection, org_id, given.team_ids)):
        role = "lead" if Grant("team_lead", team_id) in given.grants else "member"
        before = held.get(team_id)
        if before is None or (before.created_by == DIRECTORY and before.role != role):
            member = Member(org_id, team_id, user_id, "lead" if role == "lead" else "member", now_us, DIRECTORY)
            await put_member(database, connection, member)


async def _live_teams(connection: AsyncConnection, org_id: str, team_ids: Iterable[str]) -> set[str]:
    query = sa.select(team.c.id).where(team.c.org_id == org_id, team.c.deleted_at.is_(None))
    return set((await connection.execute(query.where(team.c.id.in_(set(team_ids))))).scalars())


async def _groups(connection: AsyncConnection, org_id: str, user_id: str) -> set[str]:
    """Every group of a user: as its sign-in named them, and as they were provisioned, by name and by foreign id."""
    said = sa.select(directory_group.c.name).where(
        directory_group.c.org_id == org_id, directory_group.c.user_id == user_id
    )
    provisioned = (
        sa.select(scim_group.c.display_name, scim_group.c.external_id)
        .join(scim_member, (scim_member.c.org_id == scim_group.c.org_id) & (scim_member.c.group_id == scim_group.c.id))
        .join(scim_user, (scim_user.c.org_id == scim_member.c.org_id) & (scim_user.c.id == scim_member.c.member_id))
        .where(scim_user.c.org_id == org_id, scim_user.c.user_id == user_id)
    )
    names = set((await connection.execute(said)).scalars())
    for display_name, external_id in await connection.execute(provisioned):
        names |= {display_name, external_id}
    return names - {""}


async def _person(connection: AsyncConnection, org_id: str, user_id: str) -> sa.RowMapping | None:
    query = sa.select(person).where(person.c.org_id == org_id, person.c.id == user_id, person.c.deleted_at.is_(None))
    return (await connection.execute(query)).mappings().one_or_none()


async def _linked(connection: AsyncConnection, org_id: str, arrival: Arrival) -> str:
    """The user of this account of the identity provider, if it still exists."""
    columns = directory_link.c
    ours = (columns.org_id == org_id, columns.issuer == arrival.issuer, columns.subject == arrival.subject)
    user_id = (await connection.execute(sa.select(columns.user_id).where(*ours))).scalar_one_or_none()
    if user_id is None or await _person(connection, org_id, user_id) is not None:
        return user_id or ""
    await connection.execute(directory_link.delete().where(*ours))
    return ""


async def _may_enter(
    connection: AsyncConnection, org_id: str, arrival: Arrival, row: sa.RowMapping, *, is_linked: bool
) -> None:
    """Raises NotAllowed for who has left, for a service account, for another account's user, and for one who has
    a password or wide rights already: a name that people can change at their provider must not take those over."""
    if row["left_at"] is not None:
        raise NotAllowed("This account is no longer active. Ask your administrator.", param="left")
    columns = directory_link.c
    taken = (columns.org_id == org_id, columns.issuer == arrival.issuer, columns.user_id == row["id"])
    is_taken = not is_linked and (await connection.execute(sa.select(columns.subject).where(*taken))).first()
    if row["kind"] != "person" or is_taken:
        raise NotAllowed("This user name belongs to another account. Ask your administrator.", param="taken")
    if not is_linked and await _is_guarded(connection, org_id, row["id"]):
        raise NotAllowed("This user name belongs to another account. Ask your administrator.", param="taken")


async def _is_guarded(connection: AsyncConnection, org_id: str, user_id: str) -> bool:
    """Whether the user has a password, or a role for the whole organisation that no group gave."""
    account, grant = local_account.c, role_grant.c
    password = sa.select(account.user_id).where(
        account.org_id == org_id, account.user_id == user_id, account.password != ""
    )
    by_hand = sa.select(grant.user_id).where(
        *(grant.org_id == org_id, grant.user_id == user_id, grant.team_id == "", grant.created_by != DIRECTORY)
    )
    return (await connection.execute(sa.union_all(password, by_hand).limit(1))).first() is not None


async def _link(connection: AsyncConnection, org_id: str, arrival: Arrival, user_id: str, now_us: int) -> None:
    row = {"org_id": org_id, "issuer": arrival.issuer, "subject": arrival.subject, "user_id": user_id}
    await connection.execute(directory_link.insert().values(row | {"created_at": now_us}))
    about = {"issuer": arrival.issuer, "subject": arrival.subject}
    made = AuditEvent(actor_name("person", user_id), "user.link", "user", user_id, None, about)
    await record_all(connection, org_id, now_us, [made])
