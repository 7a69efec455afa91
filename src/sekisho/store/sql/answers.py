"""Answers to requests with an idempotency key."""

import sqlalchemy as sa

from sekisho.access.answers import KeptAnswer
from sekisho.store.sql.engine import Database
from sekisho.store.sql.tables.schema import idempotent_answer


class SqlAnswers:
    """`access.answers.AnswerStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, digest: bytes, request_digest: bytes, now_us: int, expires_at: int) -> KeptAnswer | None:
        """Take this key for a request that is about to run; if it is taken, what is kept under it."""
        columns = idempotent_answer.c
        row = {"digest": digest, "request_digest": request_digest, "status": 0, "body": b"", "expires_at": expires_at}
        async with self._database.write() as connection:
            await connection.execute(idempotent_answer.delete().where(columns.expires_at <= now_us))
            insert = self._database.insert(idempotent_answer).values(row).on_conflict_do_nothing()
            if (await connection.execute(insert)).rowcount:
                return None
            query = sa.select(columns.request_digest, columns.status, columns.body).where(columns.digest == digest)
            return KeptAnswer(*(await connection.execute(query)).one())

    async def keep(self, digest: bytes, status: int, body: bytes) -> None:
        """Keep the answer of a claimed request."""
        ours = idempotent_answer.c.digest == digest
        async with self._database.write() as connection:
            await connection.execute(idempotent_answer.update().where(ours).values(status=status, body=body))

    async def release(self, digest: bytes) -> None:
        """Forget a claimed request that changed nothing."""
        async with self._database.write() as connection:
            await connection.execute(idempotent_answer.delete().where(idempotent_answer.c.digest == digest))
