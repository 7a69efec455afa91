"""What the calls of each agent on each model have been like: their cost, and how much the model wrote.

Kept in the memory of one call process, for the last calls only. Money never rests on it alone: a soft budget reserves
by it, and a clamped answer is not cut shorter than what the agent has needed.
"""

from collections import OrderedDict, deque

_KEPT_CALLS = 256
_KEPT_PAIRS = 2_000
_WORTH_CALLS = 8  # fewer say nothing
_SORTED_EVERY = 16


class _Recent:
    """The last values, and one of their quantiles: worked out when it is asked for, anew once a few have come."""

    __slots__ = ("_known", "_per_cent", "due", "values")

    def __init__(self, per_cent: int) -> None:
        self.values: deque[int] = deque(maxlen=_KEPT_CALLS)
        self._per_cent = per_cent
        self._known: int | None = None
        self.due = _WORTH_CALLS

    def quantile(self) -> int | None:
        """None where too few values are known."""
        if self.due <= 0:
            self.due = _SORTED_EVERY
            ordered = sorted(self.values)
            self._known = ordered[len(ordered) * self._per_cent // 100]
        return self._known


class Learned:
    """What was learned of each agent and model; the pairs that were not seen for longest are forgotten first."""

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, str], tuple[_Recent, _Recent]] = OrderedDict()

    def note(self, agent: str, model: str, cost_nanousd: int, output_tokens: int) -> None:
        """A call was settled."""
        key = (agent, model)
        pair = self._pairs.get(key)
        if pair is None:
            if len(self._pairs) >= _KEPT_PAIRS:
                self._pairs.popitem(last=False)
            pair = self._pairs[key] = (_Recent(90), _Recent(99))
        self._pairs.move_to_end(key)
        costs, tokens = pair
        costs.values.append(cost_nanousd)
        costs.due -= 1
        tokens.values.append(output_tokens)
        tokens.due -= 1

    def cost_nanousd(self, agent: str, model: str, bound_nanousd: int) -> int:
        """What nine of ten calls have cost at most; the bound where too few are known, and never more than it."""
        pair = self._pairs.get((agent, model))
        usual = pair[0].quantile() if pair else None
        return bound_nanousd if usual is None else min(usual, bound_nanousd)

    def output_tokens(self, agent: str, model: str) -> int:
        """How long 99 of 100 answers have been at most; 0 where too few are known."""
        pair = self._pairs.get((agent, model))
        return (pair[1].quantile() if pair else None) or 0
