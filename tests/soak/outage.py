"""The content store gone for a sixth of the time, in the middle: what of each call is kept then, and afterwards."""

import asyncio
import hashlib
import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from sekisho.clock import SystemClock
from tests.acceptance.processes import Served

SPOOL_BYTES = 40_000_000  # less than an hour's outage brings: what is more must be marked as lost
_SLACK_US = 60_000_000  # until a spool that is full is taken
_BODIES = 0.01
_STATES = """select content.request_state, call.started_at from call join name on name.id = call.status
left join content on content.call_id = call.id where name.text = 'ok'"""


class Outage:
    """Takes the folder of the content store away, as when its mount is gone. `phase`: before, away, after."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = SystemClock()
        self.phase = "before"
        self.began_us = self.ended_us = 0

    def window_s(self, whole_s: float) -> tuple[float, float]:
        """From when to when, in a run of this length."""
        return whole_s * 5 / 12, whole_s * 7 / 12

    async def happen(self, whole_s: float) -> None:
        begin_s, end_s = self.window_s(whole_s)
        away = self._folder.with_name("content-away")
        await asyncio.sleep(begin_s)
        self._folder.rename(away)
        self._folder.touch()  # else the folder would be made again
        self.phase, self.began_us = "away", self._clock.now_us()
        await asyncio.sleep(end_s - begin_s)
        self._folder.unlink()
        away.rename(self._folder)
        self.phase, self.ended_us = "after", self._clock.now_us()


def kept(home: Path, outage: Outage) -> Counter[str]:
    """What became of the request of each call that was answered: "whole", "lost in the outage", another state at
    another time, or empty where nothing is known of it."""
    with closing(sqlite3.connect(f"file:{home / 'sekisho.db'}?mode=ro", uri=True)) as database:
        rows = database.execute(_STATES).fetchall()
    states = Counter[str]()
    for state, started_at in rows:
        was_away = outage.began_us <= started_at <= outage.ended_us + _SLACK_US
        states["lost in the outage" if state == "lost" and was_away else state or ""] += 1
    return states


def remember(bodies: dict[str, bytes], call_id: str, body: bytes, chance: random.Random) -> None:
    """Keep the hash of some requests."""
    if chance.random() < _BODIES:
        bodies[call_id] = hashlib.sha256(body).digest()


def check_bodies(server: Served, key: str, bodies: dict[str, bytes]) -> Counter[int]:
    """Read the requests back: each is there to the byte, or it is said that it is not; how many of each."""
    statuses = Counter[int]()
    for call_id, digest in bodies.items():
        status, body = server.ask("GET", f"/admin/v1/calls/{call_id}/content/request", key=key)
        statuses[status] += 1
        assert status == 404 or (status == 200 and hashlib.sha256(body).digest() == digest), call_id
    return statuses
