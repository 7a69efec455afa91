"""A large request body, received where it will stay.

A body of 800 KB comes in pieces of 256 KB, each copied out of the event loop's buffer and copied again when they are
joined: 0.1 ms and more of a call, most of it waiting for memory. Here the kernel writes into the final bytes.
"""

import asyncio
import ctypes
from collections.abc import Iterable
from typing import Any, Protocol

MIN_BYTES = 64 * 1024
"""What is still to come of a body must be at least so much, and all of it at most MAX_BYTES: it is reserved at once."""
MAX_BYTES = 4 * 1024 * 1024

_new_bytes: Any = ctypes.pythonapi.PyBytes_FromStringAndSize
_new_bytes.restype = ctypes.py_object
_new_bytes.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t)


class Connection(Protocol):
    """The protocol that gives its transport away for the length of a body, and hears of all else meanwhile."""

    def body_received(self, body: bytes) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class LargeBody(asyncio.BufferedProtocol):
    """Receives the rest of a body of `size` bytes that begins with these parts."""

    def __init__(self, connection: Connection, parts: Iterable[bytes], size: int) -> None:
        self._connection = connection
        self._body: bytes = _new_bytes(None, size)  # as the C API has it: filled by its maker before others see it
        start = ctypes.cast(ctypes.c_char_p(self._body), ctypes.c_void_p).value or 0
        self._view = memoryview((ctypes.c_char * size).from_address(start)).cast("B")
        self._at = 0
        for part in parts:
            self._view[self._at : self._at + len(part)] = part
            self._at += len(part)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Room for what is still to come, and for nothing behind it."""
        return self._view[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        self._at += nbytes
        if self._at == len(self._view):
            body, self._body, self._view = self._body, b"", memoryview(b"")
            self._connection.body_received(body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
