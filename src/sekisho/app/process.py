"""The entry of each child process of `sekisho serve`: `python -m sekisho.app.process`.

What it is to do comes as JSON in the environment variable SEKISHO_PROCESS; its sockets come as open descriptors.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import time
from typing import Literal

import msgspec

from sekisho.errors import SekishoError
from sekisho.settings import Settings, SettingsError

log = logging.getLogger(__name__)
ENVIRONMENT = "SEKISHO_PROCESS"
CANNOT_START = 78  # exit code: something that an operator must mend; EX_CONFIG of sysexits.h
_PR_SET_PDEATHSIG = 1

Role = Literal["call", "control", "simulator"]


class ProcessSpec(msgspec.Struct, frozen=True):
    """What one child process is and needs. `listen_fd` is an open, bound, listening socket."""

    role: Role
    name: str
    settings: Settings
    listen_fd: int = -1
    config_path: str = ""
    simulator_url: str = ""
    command: str = "sekisho"


def encode_spec(spec: ProcessSpec) -> str:
    """The JSON for a child's environment."""
    return msgspec.json.encode(spec, enc_hook=str).decode()


def decode_spec(text: str) -> ProcessSpec:
    """What `encode_spec` wrote. Raises msgspec.DecodeError."""
    return msgspec.json.decode(text, type=ProcessSpec, dec_hook=lambda kind, value: kind(value))


def main() -> None:
    spec = decode_spec(os.environ[ENVIRONMENT])
    logging.basicConfig(
        level=spec.settings.log_level.upper(),
        format=f"%(asctime)s {spec.name} %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for library in ("uvicorn", "alembic", "botocore"):
        logging.getLogger(library).setLevel(logging.WARNING)
    if spec.role == "simulator":
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it breaks connections off when asked to
    _die_with_parent()
    import uvloop  # noqa: PLC0415  the supervisor uses this module too, and needs no event loop

    try:
        uvloop.run(_run(spec))
    except (SekishoError, SettingsError) as error:
        log.error("%s", error)
        sys.exit(CANNOT_START)


async def _run(spec: ProcessSpec) -> None:
    # each role imports only what it runs: the call process must start fast and stay small
    listener = socket.socket(fileno=spec.listen_fd) if spec.listen_fd >= 0 else None
    if spec.role == "call":
        from sekisho.app.call_plane import run_call_plane  # noqa: PLC0415

        assert listener is not None
        await run_call_plane(spec.settings, listener, f"{spec.name}.{os.getpid()}.{time.time_ns():x}")
    elif spec.role == "simulator":
        from sekisho.app.simulated import run_simulator  # noqa: PLC0415

        assert listener is not None
        await run_simulator(listener)
    else:
        from sekisho.app.control_process import run_control_process  # noqa: PLC0415

        await run_control_process(spec.settings, spec.config_path, spec.simulator_url, spec.command)


def _die_with_parent() -> None:
    """Stop in good order when the supervisor dies, however it dies. Linux tells us; elsewhere we look."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
