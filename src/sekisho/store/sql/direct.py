"""A transaction of many small statements on SQLite, run whole in one thread.

The asynchronous driver hands every statement to a thread and waits for it, three times each: 0.1 ms of CPU, several
times what the statement takes. The drain sends two dozen for each batch. Its coroutines wait for nothing but their
connection; so over a connection that answers at once they run from beginning to end without an event loop.
"""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")
Work = Callable[[AsyncConnection], Coroutine[Any, Any, T]]  # waits for nothing but the connection


class _Direct:
    """What such work uses of an `AsyncConnection`, over a connection of this thread."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect

    async def execute(self, statement: Any, parameters: Any = None) -> sa.CursorResult[Any]:
        return self._connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> sa.CursorResult[Any]:
        return self._connection.exec_driver_sql(statement, parameters)


def run_whole(engine: sa.Engine, options: dict[str, Any], work: Work[T]) -> T:
    """Run the work in one transaction of this thread and commit it; rolled back on any error."""
    with engine.connect().execution_options(**options) as connection, connection.begin():
        coroutine = work(cast(AsyncConnection, _Direct(connection)))
        try:
            coroutine.send(None)
        except StopIteration as end:
            return cast(T, end.value)
        coroutine.close()
        raise RuntimeError("The work of a whole transaction waits for something other than its connection.")
