"""The console beside a hundred calls a second: its live list shows each of them, and whoever reads pages holds no call
up.

Calls and pages are asked for by processes of their own, so that they cannot wait for each other here.
"""

import http.client
import json
import multiprocessing
import re
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import cycle
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
import pytest

from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_budgets_restart import MASTER, new_key

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("processes")]
RATE, SECONDS, ROUNDS = 100, 5, 9
_SPAWN = multiprocessing.get_context("spawn")
_PAUSE_S = 0.5  # as the page waits between two looks
_HELLO = json.dumps({"model": "nova-pro", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]})
_PAGES = {
    "platform_admin": ("live", "tasks", "models", "audit", "keys"),
    "cost_manager": ("overview", "breakdown?by=user", "budgets"),
}


@contextmanager
def visitor(server: Served) -> Iterator[httpx.Client]:
    """A browser that has entered by the link that was printed."""
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", follow_redirects=True, timeout=30) as client:
        page = client.get(server.link).text
        fields = {name: re.findall(f'name="{name}" value="([^"]*)"', page)[-1] for name in ("csrf", "code")}
        assert client.post("/console/enter", data=fields).status_code == 200
        yield client


class Load:
    """Calls at a steady pace, each connection kept: how long each took, and its id."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._local = port, threading.local()
        self._lines: list[http.client.HTTPConnection] = []
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def run(self) -> list[tuple[float, str]]:
        began = time.monotonic()

        def call(number: int) -> tuple[float, str]:
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            line = self._line()
            sent = time.perf_counter()
            line.request("POST", "/v1/chat/completions", _HELLO, self._headers)
            response = line.getresponse()
            body = response.read()
            took = time.perf_counter() - sent
            assert response.status == 200, body
            return took, response.headers["x-sekisho-call-id"]

        with ThreadPoolExecutor(16) as pool:
            calls = list(pool.map(call, range(RATE * SECONDS)))
        while self._lines:
            self._lines.pop().close()
        return calls

    def _line(self) -> http.client.HTTPConnection:
        """This thread's own connection."""
        line = getattr(self._local, "line", None)
        if line is None:
            line = self._local.line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            self._lines.append(line)
        return line


def make_calls(port: int, key: str) -> list[tuple[float, str]]:
    return Load(port, key).run()


def read_pages(url: str, cookies: dict[str, str], stop: Event) -> None:
    """Open one page after the other."""
    with httpx.Client(base_url=url, cookies=cookies, timeout=30) as reader:
        for role, page in cycle([(role, page) for role, pages in _PAGES.items() for page in pages]):
            reader.cookies.set("sekisho_role", role)
            assert reader.get(f"/console/{page}").status_code == 200
            if stop.wait(0.1):
                return


@contextmanager
def reading(client: httpx.Client) -> Iterator[None]:
    """Somebody who opens one page after the other."""
    stop = _SPAWN.Event()
    cookies = {name: value for name, value in client.cookies.items() if name != "sekisho_role"}
    reader = _SPAWN.Process(target=read_pages, args=(str(client.base_url), cookies, stop))
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()
    assert reader.exitcode == 0


def waited_ms(pid: int) -> float:
    """How long the threads of a process have been ready to run and had no core."""
    stats = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(waited) for _, waited, _ in stats) / 1e6


class Watch:
    """What the live list is told, asked for as its script does."""

    def __init__(self, client: httpx.Client) -> None:
        self._client, self._stop = client, threading.Event()
        self.ids: set[str] = set()
        self.after = int(re.findall(r'data-after="(\d+)"', client.get("/console/live").text)[0])
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.is_set():
            told = self._client.get("/console/calls/changes", params={"after": self.after, "band": "1"}).json()
            self.after = told["after"]
            self.ids.update(row["id"] for row in told["rows"])
            if not told["more"]:
                self._stop.wait(_PAUSE_S)

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def test_the_live_list_keeps_up_and_pages_hold_no_call_up(tmp_path: Path) -> None:
    with (
        served(tmp_path / "home", SEKISHO_MASTER_KEY=MASTER) as server,
        visitor(server) as client,
        ProcessPoolExecutor(1, _SPAWN) as caller,
    ):
        key, pid = new_key(server), server.children()["call-1"]
        watch = Watch(client)
        took: dict[str, list[float]] = {"alone": [], "beside pages": []}
        waited = dict.fromkeys(took, 0.0)
        try:
            for _ in range(ROUNDS):
                for name in took:
                    with reading(client) if name == "beside pages" else nullcontext():
                        before_ms = waited_ms(pid)
                        calls = caller.submit(make_calls, server.port, key).result()
                        waited[name] += waited_ms(pid) - before_ms
                    ids = {call_id for _, call_id in calls}
                    assert len(ids) == RATE * SECONDS
                    wait_for(lambda ids=ids: ids <= watch.ids, "the live list shows every call", 3)
                    took[name] += [one for one, _ in calls]
        finally:
            watch.end()
    for name, found in took.items():
        cuts = statistics.quantiles(found, n=100)
        print(
            f"{name}: p50 {cuts[49] * 1e3:.2f} ms, p99 {cuts[98] * 1e3:.2f} ms; "
            f"the call process waited {waited[name] * 1e3 / len(found):.0f} us for a core per call"
        )
