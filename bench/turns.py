"""Turns of conversations: `python -m bench.turns JSON`, prints JSON.

Asked: url, headers, door, model, bytes, mode ("same", "next", "unseen"), connections, seconds, seed. Each connection
has a conversation of its own. Told: the number of answers.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import uvloop

from bench.bodies import conversation
from bench.http import Client, Target, connect


def bodies(ask: dict[str, Any], number: int) -> Iterator[bytes]:
    """The requests of one connection."""
    made = conversation(ask["door"], ask["model"], ask["bytes"])
    name = f"{ask['seed']}-{number}".encode()
    if ask["mode"] == "same":
        return made.same()
    return made.next_turn(name) if ask["mode"] == "next" else made.unseen(name)


async def _main(ask: dict[str, Any]) -> None:
    target = Target(ask["url"], ask["headers"])
    until_s = time.monotonic() + ask["seconds"]
    clients = [
        await connect(target, lambda n=number: Client(target, bodies(ask, n), lambda: time.monotonic() < until_s))  # type: ignore[misc]
        for number in range(ask["connections"])
    ]
    await asyncio.gather(*(client.done for client in clients))
    print(json.dumps({"answers": sum(client.answers for client in clients)}))


if __name__ == "__main__":
    uvloop.run(_main(json.loads(sys.argv[1])))
