"""What SIGTERM means while a process serves."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def orderly_stop() -> Iterator[None]:
    """While the block runs, SIGTERM ends uvicorn's serving and nothing else.

    uvicorn sends itself the signal again once it has stopped, which would end the process before it has put its own
    things in order. In a thread that is not the main one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
