"""What the snapshot says of the calls of one key to one model, worked out once and kept until the next snapshot.

Above: the stages behind `authorize`. Below: access (scopes, policies) and the prices of the model's deployments.
Nothing here depends on a single call, on what is spent or on the time: `allowance` is asked for agents and hours at
each call.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from sekisho.access.keys import may_use, scopes_of
from sekisho.access.policies import Allowance, Denied
from sekisho.calls.call import Agent
from sekisho.ledger.bound import PriceBounds
from sekisho.ledger.journal import Caller
from sekisho.values import Deployment, Model, RateLimit, Scope, VirtualKey

_KEPT_CALLERS = 64  # clients may call themselves anything


class Passage:
    """`model` has only the deployments that the key may use. `is_listed`: the key's own list of models names it.
    `denied`: the policy that leaves nothing of the model, which is whole then. `candidates` have a price.
    `caps_tasks`: the limits on what a task may cost and on how many calls it may make, if there are any.
    `has_soft_budgets`: there may be some, which reserve an estimate."""

    __slots__ = (
        "_agent",
        "_caller",
        "_callers",
        "allowance",
        "asked",
        "bounds",
        "candidates",
        "caps_tasks",
        "denied",
        "has_soft_budgets",
        "is_listed",
        "key",
        "model",
        "scopes",
    )

    def __init__(
        self,
        key: VirtualKey,
        asked: Model,
        allowance: Allowance,
        limits: Mapping[Scope, Sequence[RateLimit]],
        soft: AbstractSet[Scope],
    ) -> None:
        self.key = key
        self.asked = asked
        self.allowance = allowance
        self.is_listed = may_use(key, asked.name, asked.aliases)
        left = allowance.model(asked)
        self.denied = left if isinstance(left, Denied) else None
        self.model: Model = asked if isinstance(left, Denied) else left
        self.scopes: tuple[Scope, ...] = scopes_of(key)
        priced = [(one, one.price) for one in self.model.deployments if one.price is not None]
        self.candidates: tuple[Deployment, ...] = tuple([one for one, _ in priced])
        self.bounds = PriceBounds([price for _, price in priced])
        self.caps_tasks = _caps(limits, self.scopes, asked.name)
        self.has_soft_budgets = not soft.isdisjoint(self.scopes)
        self._callers: dict[Agent, Caller] = {}
        self._agent = Agent()
        self._caller = caller_of(key, self._agent)

    def caller(self, agent: Agent) -> Caller:
        """Who calls, with this agent, for the journal."""
        if agent is self._agent:  # to look it up is to hash all that it says
            return self._caller
        known = self._callers.get(agent)
        if known is None:
            if len(self._callers) >= _KEPT_CALLERS:
                self._callers.clear()
            known = self._callers[agent] = caller_of(self.key, agent)
        self._agent, self._caller = agent, known
        return known


def _caps(
    limits: Mapping[Scope, Sequence[RateLimit]], scopes: tuple[Scope, ...], model: str
) -> tuple[RateLimit | None, RateLimit | None] | None:
    """The tightest cap on the cost of a task, and on its calls; None where there is neither."""
    found = [one for scope in scopes for one in limits.get(scope, ()) if one.model in ("", model)]
    cost = min((one for one in found if one.nanousd_per_task is not None), key=_cost, default=None)
    calls = min((one for one in found if one.calls_per_task is not None), key=_calls, default=None)
    return (cost, calls) if cost or calls else None


def _cost(limit: RateLimit) -> int:
    return limit.nanousd_per_task or 0


def _calls(limit: RateLimit) -> int:
    return limit.calls_per_task or 0


def caller_of(key: VirtualKey | None, agent: Agent) -> Caller:
    """Who called, for the journal."""
    return Caller(
        org_id=key.org_id if key else "",
        key_id=key.id if key else "",
        user_id=key.user_id if key else "",
        team_id=key.team_id if key else "",
        tags=key.tags if key else (),
        agent=agent.name,
        agent_version=agent.version,
        session=agent.session,
    )
