"""The register of what files state about the organisation: plan, apply, export.

An apply is one transaction: the difference is computed in it, so that what it does is what it finds, and all of it is
in force when the method returns. Above: the admin API. Below: a `DeclarationStore`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from sekisho.access.declaration.difference import Options, compare
from sekisho.access.declaration.document import write_document
from sekisho.access.declaration.holding import things_of
from sekisho.access.declaration.plans import Plan
from sekisho.access.declaration.reading import Declaration, read_declaration
from sekisho.access.declaration.things import Holdings
from sekisho.access.declaration.writes import Maker
from sekisho.access.publishing import Publisher
from sekisho.clock import Clock
from sekisho.errors import Conflict
from sekisho.values import Model

DEFAULTS = Options()
Decide = Callable[[Holdings], Plan]


class DeclarationStore(Protocol):
    """Where all that a file may state is kept. Raises StoreUnavailable."""

    async def holdings(self, org_id: str) -> Holdings:
        """All that is in use, from one consistent read."""
        ...

    async def apply(self, org_id: str, decide: Decide, by: str, now_us: int) -> Plan:
        """Read, decide and write in one transaction that raises the epoch; what `decide` raises undoes it."""
        ...


class DeclarationRegister:
    """Compares files with one organisation and makes it what they state."""

    def __init__(
        self,
        store: DeclarationStore,
        org_id: str,
        clock: Clock,
        publisher: Publisher,
        time_zone: str,
        models: Callable[[], Sequence[Model]],
    ) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock
        self._publisher = publisher
        self._time_zone = time_zone
        self._models = models

    def read(self, document: str) -> Declaration:
        """What a document states. Takes a while for a large one. Raises BadDocument."""
        return read_declaration(document, self._time_zone)

    async def plan(self, declaration: Declaration, options: Options, by: str) -> Plan:
        """What an apply would do now. Raises BadDocument, StoreUnavailable."""
        return compare(declaration, await self._store.holdings(self._org_id), options, self._maker(by))

    async def apply(self, declaration: Declaration, options: Options, by: str, expected: str = "") -> Plan:
        """Make the organisation what the declaration states; what was done. `expected`: the digest of the plan that
        somebody agreed to. Raises BadDocument, StoreUnavailable, and Conflict when the plan is now another."""
        maker = self._maker(by)

        def decide(holdings: Holdings) -> Plan:
            plan = compare(declaration, holdings, options, maker)
            if expected and plan.digest != expected:
                raise Conflict("The organisation has changed since the plan was made: look at the plan again.")
            return plan

        done = await self._store.apply(self._org_id, decide, by, maker.now_us)
        await self._publisher.publish()  # also when nothing changed: an earlier apply may not have been confirmed
        return done

    async def export(self) -> str:
        """The organisation as a document."""
        holdings = await self._store.holdings(self._org_id)
        return write_document(things_of(holdings, self._clock.now_us()), self._time_zone)

    def _maker(self, by: str) -> Maker:
        return Maker(self._org_id, by, self._clock.now_us(), self._time_zone, self._models())
