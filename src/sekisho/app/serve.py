"""`sekisho serve`: bind the port, start the processes, restart one that dies, stop them in good order.

The supervisor itself serves nothing and holds no state, so it has nothing to lose.
"""

import errno
import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import msgspec

from sekisho.access.keys import pepper_path
from sekisho.app.process import CANNOT_START, ENVIRONMENT, ProcessSpec, Role, encode_spec
from sekisho.app.starting import Step, steps_of
from sekisho.settings import Settings

_BACKLOG = 2048
_POLL_S = 0.05
_FIRST_WORD_S = 5.0  # a start that takes longer says what it waits for, and then again and again
_WORD_S = 10.0
_ENDING_S = 20.0  # by then a process that cannot live has shown it
_MOST_ENDS = 3
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_STEADY_S = 10.0
_CREDENTIALS_S = 1.0  # after this, credentials that are missing are taken to be missing for good
_LONGEST_SOCKET_BYTES = 103  # of a Unix socket's path, on macOS; Linux takes 107


_WAITING_FOR_STEP: Mapping[Step | None, tuple[str, str]] = {
    None: ("the control process has not begun yet", "制御プロセスの開始を待っています"),
    "database": ("the control process connects to the database", "制御プロセスがデータベースに接続しています"),
    "migration": (
        "the control process brings the database up to date, which takes minutes when it is large",
        "制御プロセスがデータベースを移行しています（大きいと数分かかります）",
    ),
    "days": (
        "the control process adds the days and months of the books up again, which takes minutes when they are large",
        "制御プロセスが日と月の集計をやり直しています（大きいと数分かかります）",
    ),
    "snapshot": (
        "the control process puts keys, models and budgets together",
        "制御プロセスがキー、モデル、予算をまとめています",
    ),
}


class ServeError(Exception):
    """Sekisho cannot start. Says why and what to do, in English and in Japanese."""

    def __init__(self, en: str, ja: str) -> None:
        self.en = en
        self.ja = ja
        super().__init__(en)


def address_path(home: Path) -> Path:
    """The file that says under which URL the Sekisho of this home answers on its own machine."""
    return home / "run" / "address"


@dataclass(slots=True)
class Child:
    """One process and how it has been doing."""

    spec: ProcessSpec
    popen: "subprocess.Popen[bytes] | None" = None
    started_s: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    due_s: float = 0.0
    ends: int = 0

    def keeps_ending(self, now_s: float) -> bool:
        """Whether it has ended several times, and has not lived for long since."""
        return self.ends >= _MOST_ENDS and now_s - self.started_s < _STEADY_S


def _say_english(en: str, _ja: str) -> None:
    sys.stderr.write(f"sekisho: {en}\n")


@dataclass(slots=True)
class Supervisor:
    """Runs the processes of one home. Use: `start`, `wait_ready`, `watch`, `stop`. `say`: tells the operator something,
    given in English and in Japanese."""

    settings: Settings
    config_path: str
    is_simulated: bool
    command: str = "sekisho"
    say: Callable[[str, str], None] = _say_english
    children: list[Child] = field(default_factory=list)
    port: int = 0
    _is_stopping: bool = False
    _lock: int = -1
    _listeners: list[socket.socket] = field(default_factory=list)
    _began_s: float = 0.0
    _next_word_s: float = _FIRST_WORD_S

    def start(self) -> None:
        """Bind and start everything. Raises ServeError."""
        home = Path(self.settings.home)
        _make_home(home)
        self._lock = _lock_home(home)
        if self.settings.pepper is None:
            _check_pepper(home)
        listener = self._listen(self.settings.host, self.settings.port)
        self.port = listener.getsockname()[1]
        address_path(home).write_text(self.url + "\n")
        simulator_url = ""
        if self.is_simulated:
            simulator = self._listen("127.0.0.1", 0)
            simulator_url = f"http://127.0.0.1:{simulator.getsockname()[1]}"
            self._add("simulator", "simulator", simulator)
        self._add("control", "control", None, simulator_url)
        for number in range(1, self.settings.call_processes + 1):
            self._add("call", f"call-{number}", listener)
        steps_of(home).end()
        self._began_s = time.monotonic()
        for child in self.children:
            self._spawn(child)

    def wait_ready(self) -> Mapping[str, object]:
        """Wait until calls can be answered, or until nothing but credentials is missing; what `/health/ready` says.

        Processes that are alive are waited for, however long they take. Empty when told to stop. Raises ServeError."""
        lacking_since = 0.0
        while not self._is_stopping:
            self._mend(is_starting=True)
            said = self._ask_ready()
            if said.get("status") == "ready":
                return said
            now_s = time.monotonic()
            if not (said.get("missing_credentials") and self._does_control_answer()):
                lacking_since = 0.0
            elif not lacking_since:
                lacking_since = now_s
            elif now_s > lacking_since + _CREDENTIALS_S:
                return said
            self._be_patient(now_s, said)
            time.sleep(_POLL_S)
        return {}

    def wait_control(self) -> None:
        """Wait until the control plane answers on its socket too, or until told to stop. Raises ServeError."""
        while not self._is_stopping and not self._does_control_answer():
            self._mend(is_starting=True)
            self._be_patient(time.monotonic(), {})
            time.sleep(_POLL_S)

    def _be_patient(self, now_s: float, said: Mapping[str, object]) -> None:
        """Now and then say what a start waits for. Raises ServeError when a process ends again and again."""
        took_s = now_s - self._began_s
        if took_s > _ENDING_S:
            for child in self.children:
                if child.keeps_ending(now_s):
                    raise ServeError(
                        f"Sekisho cannot start: the {child.spec.name} process ends again and again; "
                        "the lines above say why.",
                        f"起動できません。{child.spec.name} プロセスが何度も終了しています。理由は上の行にあります。",
                    )
        if took_s >= self._next_word_s:
            self._next_word_s = took_s + _WORD_S
            en, ja = self._waiting_for(said)
            self.say(f"Still starting after {took_s:.0f} s: {en}.", f"起動中です（{took_s:.0f} 秒経過）。{ja}。")

    def _waiting_for(self, said: Mapping[str, object]) -> tuple[str, str]:
        """What is missing for a start to be over, in English and in Japanese."""
        if not self._does_control_answer():
            return _WAITING_FOR_STEP[steps_of(Path(self.settings.home)).find()]
        if not said:
            return "the call process does not answer yet", "コールプロセスの応答を待っています"
        return (
            "the call process takes over keys, models, credentials and what budgets have spent",
            "コールプロセスがキー、モデル、認証情報、予算の使用額を引き継いでいます",
        )

    def _ask_ready(self) -> Mapping[str, object]:
        """What `/health/ready` says now; empty when nobody answers."""
        connection = http.client.HTTPConnection(self.local_host, self.port, timeout=2)
        try:
            connection.request("GET", "/health/ready")
            said: dict[str, object] = msgspec.json.decode(connection.getresponse().read())
            return said
        except (OSError, http.client.HTTPException, msgspec.DecodeError):
            return {}
        finally:
            connection.close()

    def _does_control_answer(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(_control_socket(Path(self.settings.home)))) == 0

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
            address_path(Path(self.settings.home)).unlink(missing_ok=True)
            os.close(self._lock)

    def request_stop(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """Signal handler: make `watch` return."""
        self._is_stopping = True

    @property
    def is_stopping(self) -> bool:
        return self._is_stopping

    @property
    def local_host(self) -> str:
        """An address of this machine on which the port answers."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.host, self.settings.host)

    @property
    def url(self) -> str:
        """Where Sekisho answers on this machine."""
        host = f"[{self.local_host}]" if ":" in self.local_host else self.local_host
        return f"http://{host}:{self.port}"

    def _listen(self, host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            listener.close()
            raise _cannot_listen(host, port, error) from error
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
            command=self.command,
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

    def _mend(self, *, is_starting: bool = False) -> None:
        """Start again what has ended. Raises ServeError when, at the start, a process says that it cannot start."""
        now_s = time.monotonic()
        for child in self.children:
            if child.popen is None:
                if now_s >= child.due_s:
                    self._spawn(child)
            elif child.popen.poll() is not None:
                if is_starting and child.popen.returncode == CANNOT_START:
                    raise ServeError(
                        "Sekisho cannot start; the line above says why.", "起動できません。理由は上の行にあります。"
                    )
                if now_s - child.started_s > _STEADY_S:
                    child.pause_s = _FIRST_PAUSE_S
                sys.stderr.write(
                    f"sekisho: the {child.spec.name} process ended ({child.popen.returncode}); starting it again\n"
                )
                child.popen = None
                child.ends += 1
                child.due_s = now_s + child.pause_s
                child.pause_s = min(child.pause_s * 2, _LONGEST_PAUSE_S)


def _cannot_listen(host: str, port: int, error: OSError) -> ServeError:
    """What to do about a port that cannot be had, or about a host that is not one of this machine."""
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return ServeError(
            f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with --port or SEKISHO_PORT.",
            f"{host} のポート {port} は使えません（{error.strerror}）。"
            "--port か SEKISHO_PORT で別のポートを選んでください。",
        )
    return ServeError(
        f"Sekisho cannot listen on {host}: {error.strerror}. Choose another address with --host or SEKISHO_HOST.",
        f"{host} では待ち受けられません（{error.strerror}）。--host か SEKISHO_HOST で別のアドレスを選んでください。",
    )


def _control_socket(home: Path) -> Path:
    return home / "run" / "control.sock"


def _make_home(home: Path) -> None:
    if len(os.fsencode(_control_socket(home).absolute())) > _LONGEST_SOCKET_BYTES:
        raise ServeError(
            f"The path of the home {home} is too long for a socket. Choose a shorter one with --home or SEKISHO_HOME.",
            f"データフォルダー {home} はパスが長すぎて、ソケットを置けません。"
            "--home か SEKISHO_HOME で短いパスを選んでください。",
        )
    try:
        for part in (home, home / "run", home / "secrets", home / "journal"):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home / "run"):
            pass
    except OSError as error:
        raise ServeError(
            f"The home {home} cannot be used: {error.strerror}. Choose another with --home or SEKISHO_HOME.",
            f"データフォルダー {home} は使えません（{error.strerror}）。"
            "--home か SEKISHO_HOME で別の場所を選んでください。",
        ) from error


def _check_pepper(home: Path) -> None:
    """No key would open any more: a new pepper must not be made beside an old database."""
    pepper = pepper_path(home)
    if (home / "sekisho.db").exists() and not pepper.exists():
        raise ServeError(
            f"{pepper} is missing; without it no key opens. Restore it from your backup.",
            f"{pepper} がありません。これがないと、どのキーも使えません。バックアップから戻してください。",
        )


def _lock_home(home: Path) -> int:
    """One Sekisho per home: two would drain one journal twice."""
    lock = os.open(home / "run" / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ServeError(
            f"Another Sekisho is running in {home}. Stop it, or choose another home with --home.",
            f"{home} では別の関所が動いています。それを止めるか、--home で別のデータフォルダーを選んでください。",
        ) from error
    return lock
