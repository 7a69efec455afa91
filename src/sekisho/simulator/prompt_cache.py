"""The prompt cache: which part of a prompt was seen before, and what is written for the next call.

Rules (Amazon Bedrock prompt caching): entries exist only where a cache point stood; at a cache point the prompt itself
and up to 20 earlier blocks are looked up; a prefix shorter than the model's minimum is silently not cached; a hit
renews the entry's life; entries are per account, Region and model.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from sekisho.clock import Clock
from sekisho.simulator.tokens import CountedBlock
from sekisho.values import Usage

LOOKBACK_BLOCKS = 20
LIFE_US = {"5m": 300_000_000, "1h": 3_600_000_000}
ENTRIES_MAX = 100_000


class CacheKey(msgspec.Struct, frozen=True):
    """Calls share a cache only when all of this is equal."""

    account: str
    region: str
    model_id: str


class _Prefix(msgspec.Struct, frozen=True):
    """The prompt up to and including one block."""

    digest: bytes
    tokens: int
    cache_ttl: str | None


class PromptCache:
    """Entries by the digest of their whole prefix; each knows its life and when it ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[bytes, tuple[str, int]] = {}

    def read_and_write(self, key: CacheKey, blocks: Sequence[CountedBlock], min_tokens: int) -> Usage:
        """The input side of the usage of a call with this prompt; the cache then holds its cache points.

        `min_tokens` 0: the model does no explicit caching."""
        prefixes = _prefixes(key, blocks)
        total = prefixes[-1].tokens if prefixes else 0
        points = [index for index, prefix in enumerate(prefixes) if prefix.cache_ttl is not None]
        if not points or min_tokens == 0:
            return Usage(input_tokens=total)
        now_us = self._clock.monotonic_us()
        hit = self._find_hit(prefixes, points, now_us)
        read = prefixes[hit].tokens if hit is not None else 0
        if hit is not None:
            self._renew(prefixes[hit].digest, now_us)
        written, reached = {"5m": 0, "1h": 0}, read
        for index in points:
            prefix = prefixes[index]
            if prefix.tokens <= reached or prefix.tokens < min_tokens:
                continue
            ttl = prefix.cache_ttl or "5m"
            written[ttl] += prefix.tokens - reached
            reached = prefix.tokens
            self._store(prefix.digest, ttl, now_us)
        return Usage(
            input_tokens=total - reached,
            cache_read_tokens=read,
            cache_write_5m_tokens=written["5m"],
            cache_write_1h_tokens=written["1h"],
        )

    def _find_hit(self, prefixes: Sequence[_Prefix], points: Sequence[int], now_us: int) -> int | None:
        """The longest live prefix that some cache point reaches."""
        for point in reversed(points):
            for index in range(point, max(point - LOOKBACK_BLOCKS, 0) - 1, -1):
                entry = self._entries.get(prefixes[index].digest)
                if entry is not None and entry[1] > now_us:
                    return index
        return None

    def _renew(self, digest: bytes, now_us: int) -> None:
        ttl, _ = self._entries[digest]
        self._store(digest, ttl, now_us)

    def _store(self, digest: bytes, ttl: str, now_us: int) -> None:
        self._entries.pop(digest, None)
        if len(self._entries) >= ENTRIES_MAX:
            del self._entries[next(iter(self._entries))]
        self._entries[digest] = (ttl, now_us + LIFE_US[ttl])


def _prefixes(key: CacheKey, blocks: Sequence[CountedBlock]) -> list[_Prefix]:
    running = hashlib.blake2b(repr((key.account, key.region, key.model_id)).encode(), digest_size=16)
    tokens, prefixes = 0, []
    for block in blocks:
        running.update(block.digest)
        tokens += block.tokens
        prefixes.append(_Prefix(running.copy().digest(), tokens, block.cache_ttl))
    return prefixes
