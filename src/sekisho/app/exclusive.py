"""What only one control process of a home may have: its lock, and its socket."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sekisho.errors import StoreUnavailable

LOCK_POLL_S = 0.05


def bind_control_socket(path: Path) -> socket.socket:
    """A listening Unix socket that only the owner of its folder reaches. Raises StoreUnavailable."""
    path.parent.chmod(0o700)  # before the socket exists, so that nobody else ever reaches it
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path.absolute()))  # its name tells a request that it came over this socket
        path.chmod(0o600)
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise StoreUnavailable(f"The socket {path} cannot be opened: {error.strerror or error}.") from error
    return listener


@contextmanager
def sole_process(home: Path, path: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock file of this home, making the folders. Raises StoreUnavailable when another process keeps it.

    It waits, because the control process of a killed supervisor may still be on its way out."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)  # `parents` alone would leave it open to all
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    deadline = time.monotonic() + wait_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"Another control process runs here: {path} is locked.") from error
            time.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)
