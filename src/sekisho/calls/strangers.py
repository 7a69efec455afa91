"""Counts requests that carry no key known here, so that guessing shows in the audit log and cannot fill the disk."""

from sekisho.ledger.journal import Unrecognised

WINDOW_US = 60_000_000
MOST_ADDRESSES = 32
OTHERS = "others"


class Strangers:
    """One count per address for at most a minute; beyond 32 addresses in a minute all others are counted together."""

    def __init__(self) -> None:
        self._seen: dict[str, list[int]] = {}  # first and last time, how many
        self._since = 0

    def note(self, address: str, now_us: int) -> None:
        """One more request from this address."""
        if not self._seen:
            self._since = now_us
        if address not in self._seen and len(self._seen) >= MOST_ADDRESSES:
            address = OTHERS
        seen = self._seen.setdefault(address[:200], [now_us, now_us, 0])
        seen[1] = now_us
        seen[2] += 1

    def take(self, org_id: str, now_us: int, *, at_once: bool = False) -> list[Unrecognised]:
        """What is to be recorded: nothing until the minute is over, or all there is `at_once`."""
        if not self._seen or not (at_once or abs(now_us - self._since) >= WINDOW_US):
            return []
        taken = [Unrecognised(org_id, address, *times_and_calls) for address, times_and_calls in self._seen.items()]
        self._seen = {}
        return taken
