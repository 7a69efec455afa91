"""The schema: migrations and tables agree, on both engines."""

import asyncio
import sqlite3
import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError

from sekisho.errors import StoreUnavailable
from sekisho.store.sql import engine
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.migrate import HEAD, _upgrade, alembic_config, migrate
from sekisho.store.sql.tables import metadata
from sekisho.store.sql.tables.schema import counter, installation


async def test_the_migrations_build_exactly_the_tables(database):
    def compare(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    async with database.read() as connection:
        assert await connection.run_sync(compare) == []


async def test_a_new_sqlite_file_gets_what_the_migrations_build(tmp_path):
    """Whoever writes a migration with a trigger or with rows adds them to `fresh` too."""
    found = []
    for path, is_fresh in ((tmp_path / "fresh", True), (tmp_path / "migrated", False)):
        database = Database(sqlite_url(path))
        if is_fresh:
            await migrate(database)
        else:
            async with database.write() as connection:
                await connection.run_sync(_upgrade)
        async with database.read() as connection:
            assert (
                await connection.run_sync(
                    lambda one: compare_metadata(MigrationContext.configure(one, opts={"compare_type": True}), metadata)
                )
                == []
            )
            kinds = await connection.execute(sa.text("SELECT type, name FROM sqlite_master ORDER BY 1, 2"))
            triggers = await connection.execute(
                sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY 1")
            )
            rows = {
                table.name: sorted(map(repr, (await connection.execute(sa.select(table))).all()))
                for table in metadata.sorted_tables
            }
            version = (await connection.execute(sa.text("SELECT * FROM alembic_version"))).all()
            found.append((kinds.all(), triggers.all(), rows, version))
        await database.close()
    assert found[0] == found[1]


def test_the_head_named_in_code_is_the_newest_migration():
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == HEAD


def test_every_table_compiles_for_postgresql():
    for table in metadata.sorted_tables:
        ddl = str(sa.schema.CreateTable(table).compile(dialect=postgresql.dialect()))
        assert "WITHOUT ROWID" not in ddl


async def test_migrating_again_changes_nothing(database):
    async with database.write() as connection:
        await connection.execute(counter.update().values(value=41))
    await migrate(database)
    async with database.read() as connection:
        assert set((await connection.execute(sa.select(counter.c.value))).scalars()) == {41}


async def test_a_database_from_a_newer_version_is_refused(tmp_path):
    database = Database(sqlite_url(tmp_path / "db"))
    await migrate(database)
    async with database.write() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        await connection.execute(installation.update().values(oldest_code="9998"))
    with pytest.raises(StoreUnavailable, match="newer version"):
        await migrate(database)
    await database.close()


async def test_code_goes_on_with_a_newer_schema_that_says_it_may(database):
    async with database.write() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        await connection.execute(installation.update().values(oldest_code=HEAD))
    await migrate(database)
    async with database.read() as connection:
        assert (await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar() == "9999"


async def test_of_many_that_start_at_once_one_migrates(empty):
    await asyncio.gather(*(migrate(empty) for _ in range(4)))
    async with empty.read() as connection:
        assert (await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar() == HEAD
        assert (await connection.execute(sa.select(installation.c.oldest_code))).scalars().all() == [HEAD]


def test_a_start_on_a_current_database_does_not_import_alembic(template):
    code = f"""
import asyncio, sys
from pathlib import Path
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.migrate import migrate
async def main():
    database = Database(sqlite_url(Path({str(template)!r})))
    await migrate(database)
    await database.close()
asyncio.run(main())
assert not [name for name in sys.modules if name.startswith(("alembic", "fastapi"))]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_sqlite_runs_in_wal_mode_with_full_syncs_and_foreign_keys(database, monkeypatch):
    if not database.is_sqlite:
        return
    assert engine.SQLITE_PRAGMAS[-1] == "synchronous=OFF"  # of the tests' own: see conftest
    monkeypatch.setattr(engine, "SQLITE_PRAGMAS", engine.SQLITE_PRAGMAS[:-1])
    await database.close()  # its connections were opened as the tests want them
    async with database.read() as connection:
        found = [
            (await connection.execute(sa.text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]


async def test_a_failed_write_leaves_nothing_behind(database):
    with pytest.raises(RuntimeError):
        async with database.write() as connection:
            await connection.execute(counter.update().values(value=41))
            raise RuntimeError
    async with database.read() as connection:
        assert 41 not in set((await connection.execute(sa.select(counter.c.value))).scalars())


async def test_a_clash_is_told_apart_from_a_broken_database(database, tmp_path):
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.execute(counter.insert().values(name="epoch", value=1))
    (tmp_path / "broken").write_bytes(b"not a database, but long enough to look at" * 100)
    broken = Database(sqlite_url(tmp_path / "broken"))
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        async with broken.read() as connection:
            await connection.execute(sa.text("SELECT 1 FROM counter"))
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        async with broken.write() as connection:
            await connection.execute(counter.update().values(value=1))
    await broken.close()


async def test_a_write_waits_for_another_programme_and_fails_closed_when_it_never_ends(tmp_path, template):
    import shutil

    path = tmp_path / "db"
    shutil.copy(template, path)
    database = Database(sqlite_url(path))
    async with database.read() as connection:
        await connection.execute(sa.text("PRAGMA busy_timeout=0"))  # the pooled connection keeps it
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        async with database.write() as connection:
            await connection.execute(counter.update().values(value=1))
    other.execute("ROLLBACK")
    other.close()
    async with database.write() as connection:
        await connection.execute(counter.update().values(value=1))
    await database.close()
