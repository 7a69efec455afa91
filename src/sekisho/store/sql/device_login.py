"""Sign-ins of command lines in the database, as digests of their codes."""

import msgspec
import sqlalchemy as sa

from sekisho.access.addresses import network_of
from sekisho.access.audit import AuditEvent
from sekisho.access.device_login import DeviceLogin, State
from sekisho.store.sql.audit import lock_head, record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.tables.sign_in import device_login


class SqlDeviceLogins:
    """`access.device_login.DeviceLoginStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, org_id: str, login: DeviceLogin, *, most: int, most_of_network: int) -> bool:
        """Keep a new one unless there are too many."""
        columns = device_login.c
        begun = sa.select(columns.address).where(columns.org_id == org_id).limit(most)
        async with self._database.write() as connection:
            await connection.execute(device_login.delete().where(columns.expires_at <= login.created_at))
            addresses = (await connection.execute(begun)).scalars().all()
            ours = network_of(login.address)
            of_network = sum(network_of(address) == ours for address in addresses)
            if len(addresses) >= most or of_network >= most_of_network:
                return False
            await connection.execute(device_login.insert().values(msgspec.structs.asdict(login) | {"org_id": org_id}))
            return True

    async def find(self, org_id: str, *, digest: bytes = b"", user_code: bytes = b"") -> DeviceLogin | None:
        """One by its long or its short code."""
        columns = device_login.c
        query = sa.select(*(columns[name] for name in DeviceLogin.__struct_fields__)).where(columns.org_id == org_id)
        query = query.where(columns.digest == digest) if digest else query.where(columns.user_code == user_code)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            return DeviceLogin(**row) if row else None

    async def polled(self, org_id: str, digest: bytes, now_us: int) -> None:
        """Note that the command line asked."""
        columns = device_login.c
        change = device_login.update().where(columns.org_id == org_id, columns.digest == digest)
        async with self._database.write() as connection:
            await connection.execute(change.values(polled_at=now_us))

    async def decide(self, org_id: str, user_code: bytes, state: State, user_id: str, by: str, now_us: int) -> bool:
        """Approve or deny one that is pending."""
        columns = device_login.c
        pending = (columns.user_code == user_code, columns.state == "pending", columns.expires_at > now_us)
        change = device_login.update().where(columns.org_id == org_id, *pending)
        async with self._database.write() as connection:
            await lock_head(connection, org_id)
            if not (await connection.execute(change.values(state=state, user_id=user_id))).rowcount:
                return False
            asked = sa.select(columns.client, columns.address).where(columns.org_id == org_id)
            client, address = (await connection.execute(asked.where(columns.user_code == user_code))).one()
            about = {"client": client, "address": address}
            action = "device.approve" if state == "approved" else "device.deny"
            await record_all(connection, org_id, now_us, [AuditEvent(by, action, "user", user_id, None, about)])
            return True

    async def claim(self, org_id: str, digest: bytes, now_us: int) -> str | None:
        """Mark an approved one as used, once."""
        columns = device_login.c
        ours = (columns.org_id == org_id, columns.digest == digest)
        good = (columns.state == "approved", columns.expires_at > now_us)
        async with self._database.write() as connection:
            if not (await connection.execute(device_login.update().where(*ours, *good).values(state="used"))).rowcount:
                return None
            return str((await connection.execute(sa.select(columns.user_id).where(*ours))).scalar_one())
