"""A client that reads streams: `python -m bench.streams URL KEY CONNECTIONS STREAMS`, each stream to its end.

Every connection asks for STREAMS streams, one after the other. Exits with 1 when an answer is not a whole stream.
"""

import asyncio
import sys
from urllib.parse import urlsplit

import uvloop

from bench.bodies import small_call

_END = b"0\r\n\r\n"
_SPREAD_S = 0.02  # streams do not begin in one moment


async def _read_streams(port: int, path: str, key: str, streams: int, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    body = small_call()[:-1] + b',"stream":true}'
    ask = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(streams):
        writer.write(ask)
        tail = head = await reader.read(65_536)
        if not head.startswith(b"HTTP/1.1 200"):
            sys.exit(f"bench: {head[:300]!r}")
        while not tail.endswith(_END):
            data = await reader.read(65_536)
            if not data:
                sys.exit("bench: a stream broke off")
            tail = tail[-len(_END) :] + data
    writer.close()


async def _main(url: str, key: str, connections: int, streams: int) -> None:
    parts = urlsplit(url)
    assert parts.port
    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            delay_s = _SPREAD_S * number / connections
            group.create_task(_read_streams(parts.port, parts.path, key, streams, delay_s))


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
