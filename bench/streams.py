"""A client that reads streams to their end: `python -m bench.streams JSON`, prints JSON.

Asked: url, headers, model, connections, seconds (0: one stream per connection), spread_s (over which the streams
begin), paced, usage (whether to ask OpenAI's door for the usage event), cores (to run on; none: all). Told: the number
of streams, and for paced ones the transit times in ms: from the provider, of the oldest event in each read.
"""

import asyncio
import itertools
import json
import os
import re
import sys
import time
from typing import Any

import uvloop

from bench.bodies import small_call
from bench.http import Client, Target, connect

_SENT = re.compile(rb"t=(\d{6,});")


class Reader(Client):
    """Notes how old the oldest event of each read is."""

    transit_ns: list[int]

    def read(self, data: bytes) -> None:
        if found := _SENT.search(data):
            self.transit_ns.append(time.monotonic_ns() - int(found[1]))


def _body(ask: dict[str, Any]) -> bytes:
    body = small_call(ask["model"], stream=True, text="#paced " if ask["paced"] else "")
    return body[:-1] + b',"stream_options":{"include_usage":true}}' if ask["usage"] else body


async def _main(ask: dict[str, Any]) -> None:
    if ask["cores"]:
        os.sched_setaffinity(0, ask["cores"])
    target = Target(ask["url"], ask["headers"])
    until_s = time.monotonic() + ask["seconds"]
    body, transit_ns = _body(ask), []  # type: tuple[bytes, list[int]]

    def make() -> Reader:
        reader = Reader(target, itertools.repeat(body), lambda: time.monotonic() < until_s)
        reader.transit_ns = transit_ns
        return reader

    async def run(number: int) -> int:
        await asyncio.sleep(ask["spread_s"] * number / ask["connections"])
        client = await connect(target, make)
        await client.done
        return client.answers

    streams = sum(await asyncio.gather(*(run(number) for number in range(ask["connections"]))))
    transit_ms = sorted(ns / 1e6 for ns in transit_ns)
    told: dict[str, float] = {"streams": streams}
    if transit_ms:
        told |= {f"p{q}_ms": round(transit_ms[len(transit_ms) * q // 100], 2) for q in (50, 99)}
    print(json.dumps(told))


if __name__ == "__main__":
    uvloop.run(_main(json.loads(sys.argv[1])))
