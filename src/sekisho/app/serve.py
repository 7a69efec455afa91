"""`sekisho serve`: bind the port, start the processes, restart one that dies, stop them in good order.

The supervisor itself serves nothing and holds no state, so it has nothing to lose.
"""

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import msgspec

from sekisho.app.process import ENVIRONMENT, ProcessSpec, Role, encode_spec
from sekisho.settings import Settings

_BACKLOG = 2048
_READY_TIMEOUT_S = 20.0
_POLL_S = 0.05
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_STEADY_S = 10.0


class ServeError(Exception):
    """Sekisho cannot start; the text says why and what to do."""


@dataclass(slots=True)
class Child:
    """One process and how it has been doing."""

    spec: ProcessSpec
    popen: "subprocess.Popen[bytes] | None" = None
    started_s: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    due_s: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Runs the processes of one home. Use: `start`, `wait_ready`, `watch`, `stop`."""

    settings: Settings
    config_path: str
    is_simulated: bool
    children: list[Child] = field(default_factory=list)
    port: int = 0
    _is_stopping: bool = False
    _lock: int = -1
    _listeners: list[socket.socket] = field(default_factory=list)

    def start(self) -> None:
        """Bind and start everything. Raises ServeError."""
        home = Path(self.settings.home)
        _make_home(home)
        self._lock = _lock_home(home)
        listener = self._listen(self.settings.host, self.settings.port)
        self.port = listener.getsockname()[1]
        simulator_url = ""
        if self.is_simulated:
            simulator = self._listen("127.0.0.1", 0)
            simulator_url = f"http://127.0.0.1:{simulator.getsockname()[1]}"
            self._add("simulator", "simulator", simulator)
        self._add("control", "control", None, simulator_url)
        for number in range(1, self.settings.call_processes + 1):
            self._add("call", f"call-{number}", listener)
        for child in self.children:
            self._spawn(child)

    def wait_ready(self) -> Mapping[str, object]:
        """Wait until calls can be answered; what `/health/ready` says. Raises ServeError."""
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < deadline and not self._is_stopping:
            self._mend()
            try:
                connection = http.client.HTTPConnection(self.local_host, self.port, timeout=2)
                connection.request("GET", "/health/ready")
                response = connection.getresponse()
                body = response.read()
                connection.close()
                if response.status == 200:
                    ready: dict[str, object] = msgspec.json.decode(body)
                    return ready
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(_POLL_S)
        raise ServeError("Sekisho did not become ready in time; the lines above say why.")

    def wait_control(self) -> None:
        """Wait until the control plane answers on its socket too. Raises ServeError."""
        path = str(Path(self.settings.home) / "run" / "control.sock")
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < deadline and not self._is_stopping:
            self._mend()
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(path) == 0:
                    return
            time.sleep(_POLL_S)
        raise ServeError("Sekisho's control plane did not start in time; the lines above say why.")

    def watch(self) -> None:
        """Restart what dies, until told to stop."""
        while not self._is_stopping:
            self._mend()
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Let calls end, then let the journal be drained, then go."""
        self._is_stopping = True
        for role in ("call", "control", "simulator"):
            running = [child.popen for child in self.children if child.spec.role == role and child.popen]
            for popen in running:
                if popen.poll() is None:
                    popen.send_signal(signal.SIGTERM)
            for popen in running:
                try:
                    popen.wait(self.settings.shutdown_grace_s + 5)
                except subprocess.TimeoutExpired:
                    popen.kill()
                    popen.wait()
        for listener in self._listeners:
            listener.close()
        if self._lock >= 0:
            os.close(self._lock)

    def request_stop(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """Signal handler: make `watch` return."""
        self._is_stopping = True

    @property
    def local_host(self) -> str:
        """An address of this machine on which the port answers."""
        return "127.0.0.1" if self.settings.host in ("0.0.0.0", "::", "") else self.settings.host

    def _listen(self, host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            listener.close()
            raise ServeError(f"Port {port} on {host} cannot be used: {error.strerror}. Try --port.") from error
        listener.listen(_BACKLOG)
        self._listeners.append(listener)
        return listener

    def _add(self, role: Role, name: str, listener: socket.socket | None, simulator_url: str = "") -> None:
        spec = ProcessSpec(
            role=role,
            name=name,
            settings=self.settings,
            listen_fd=listener.fileno() if listener else -1,
            config_path=self.config_path,
            simulator_url=simulator_url,
        )
        self.children.append(Child(spec))

    def _spawn(self, child: Child) -> None:
        environment = dict(os.environ)
        environment[ENVIRONMENT] = encode_spec(child.spec)
        environment["PYTHONUNBUFFERED"] = "1"
        child.started_s = time.monotonic()
        child.popen = subprocess.Popen(
            [sys.executable, "-m", "sekisho.app.process"],
            stdin=subprocess.DEVNULL,
            env=environment,
            pass_fds=[child.spec.listen_fd] if child.spec.listen_fd >= 0 else [],
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops them in order
        )

    def _mend(self) -> None:
        now_s = time.monotonic()
        for child in self.children:
            if child.popen is None:
                if now_s >= child.due_s:
                    self._spawn(child)
            elif child.popen.poll() is not None:
                if now_s - child.started_s > _STEADY_S:
                    child.pause_s = _FIRST_PAUSE_S
                sys.stderr.write(
                    f"sekisho: the {child.spec.name} process ended ({child.popen.returncode}); starting it again\n"
                )
                child.popen = None
                child.due_s = now_s + child.pause_s
                child.pause_s = min(child.pause_s * 2, _LONGEST_PAUSE_S)


def _make_home(home: Path) -> None:
    try:
        for part in (home, home / "run", home / "secrets", home / "journal"):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServeError(f"The home {home} cannot be used: {error.strerror}. Try --home.") from error


def _lock_home(home: Path) -> int:
    """One Sekisho per home: two would drain one journal twice."""
    lock = os.open(home / "run" / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ServeError(f"Another Sekisho is running in {home}. Stop it, or use another --home.") from error
    return lock
