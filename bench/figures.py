"""Reads a run: medians of the rounds, and ratios taken within each round."""

import statistics
from collections.abc import Mapping
from typing import Any

from bench.loads import median
from bench.peers.sekisho import Sekisho

OURS = Sekisho.name
Told = Mapping[str, Any]


class Figures:
    """One run, whole or in parts."""

    def __init__(self, told: Told) -> None:
        self.told = told

    def rounds(self, session: str, measure: str, peer: str) -> list[dict[str, float]] | None:
        found = self.told["sessions"].get(session, {}).get(measure, {}).get("peers", {}).get(peer)
        return found if isinstance(found, list) and found else None

    def why(self, session: str, measure: str, peer: str) -> str:
        found = self.told["sessions"].get(session, {}).get(measure, {}).get("peers", {}).get(peer)
        return found if isinstance(found, str) else ""

    def median(self, session: str, measure: str, peer: str, figure: str = "us") -> float | None:
        rounds = self.rounds(session, measure, peer)
        return None if rounds is None or figure not in rounds[0] else median(rounds)[figure]

    def ratio(self, session: str, measure: str, over: str, under: str, part: str = "us") -> float | None:
        """`over` divided by `under`; `part`: which of our own figures."""
        above, below = self.rounds(session, measure, over), self.rounds(session, measure, under)
        if above is None or below is None:
            return None
        figure = {OURS: part}
        if OURS in (over, under) and part not in (above if over == OURS else below)[0]:
            return None
        pairs = zip(above, below, strict=False)
        return statistics.median(a[figure.get(over, "us")] / b[figure.get(under, "us")] for a, b in pairs)


def short(value: float) -> str:
    """A figure with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
