"""Shared budgets, as LiteLLM's /budget routes have them: terms under an id, which keys, teams and users may point to.

Each scope that points to one has rules of its own, made from the terms: what is shared is the amount, never the money.
A change of the terms changes all of them in one transaction.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from sekisho.access.organisation import check_id
from sekisho.access.publishing import Publisher
from sekisho.access.rules import RuleFilter, RuleKind, RuleRegister, RuleWrite, StoredRule
from sekisho.access.terms import Origin, Terms, plan
from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import BadRequest, NotFound
from sekisho.values import Scope

MOST_RULES = 100_000


class Template(msgspec.Struct, frozen=True):
    """A shared budget."""

    id: str
    terms: Terms
    created_at: int
    created_by: str
    updated_at: int


class TemplateStore(Protocol):
    """Where shared budgets are kept. Raises StoreUnavailable."""

    async def put_template(self, org_id: str, template: Template, write: RuleWrite, by: str, now_us: int) -> None:
        """Keep a template and, in the same step, what that makes of the rules made from it."""
        ...

    async def delete_template(self, org_id: str, template_id: str, write: RuleWrite, by: str, now_us: int) -> None:
        """Forget a template and, in the same step, the rules made from it."""
        ...

    async def find_template(self, org_id: str, template_id: str) -> Template | None: ...

    async def list_templates(self, org_id: str) -> list[Template]: ...


class TemplateRegister:
    """Creates, finds and changes the shared budgets of one organisation."""

    def __init__(
        self,
        store: TemplateStore,
        rules: RuleRegister,
        org_id: str,
        clock: Clock,
        publisher: Publisher,
        time_zone: str,
    ) -> None:
        self._store = store
        self._rules = rules
        self._org_id = org_id
        self._clock = clock
        self._publisher = publisher
        self._time_zone = time_zone

    async def create(self, template_id: str, terms: Terms, by: str) -> Template:
        """Make a shared budget; without an id it gets one. Raises BadRequest, StoreUnavailable."""
        now_us = self._clock.now_us()
        template = Template(template_id or id_text(new_id(now_us)), terms, now_us, by, now_us)
        check_id(template.id, "budget_id")
        _check(template, self._time_zone)
        if await self._store.find_template(self._org_id, template.id):
            raise BadRequest("Another budget already has this id.", param="budget_id")
        await self._store.put_template(self._org_id, template, RuleWrite(), by, now_us)
        return template

    async def update(self, template_id: str, terms: Terms, by: str) -> Template:
        """State a shared budget anew, for all that point to it. Raises NotFound, BadRequest, StoreUnavailable."""
        now_us = self._clock.now_us()
        template = replace(await self.get(template_id), terms=terms, updated_at=now_us)
        _check(template, self._time_zone)
        put: list[StoredRule] = []
        drop: list[str] = []
        for scope, rules in (await self._made_from(template_id)).items():
            write = plan(terms, scope, rules, self.origin(by, template_id))
            put += write.put
            drop += write.drop
        await self._store.put_template(self._org_id, template, RuleWrite(tuple(put), tuple(drop)), by, now_us)
        await self._publisher.publish()
        return template

    async def delete(self, template_id: str, by: str) -> None:
        """Delete a shared budget, and the rules made from it. Raises NotFound, StoreUnavailable."""
        await self.get(template_id)
        made = [stored.rule.id for rules in (await self._made_from(template_id)).values() for stored in rules]
        write = RuleWrite(drop=tuple(made))
        await self._store.delete_template(self._org_id, template_id, write, by, self._clock.now_us())
        await self._publisher.publish()

    async def get(self, template_id: str) -> Template:
        """One shared budget. Raises NotFound."""
        found = await self._store.find_template(self._org_id, template_id)
        if found is None:
            raise NotFound("There is no such budget.")
        return found

    async def list(self) -> Sequence[Template]:
        """All shared budgets, by id."""
        return await self._store.list_templates(self._org_id)

    def origin(self, by: str, template_id: str = "", *, allow_over_allocation: bool = False) -> Origin:
        """What the rules of terms are made with, now."""
        now_us = self._clock.now_us()
        return Origin(self._rules.draft, by, now_us, self._time_zone, template_id, allow_over_allocation)

    async def _made_from(self, template_id: str) -> Mapping[Scope, Sequence[StoredRule]]:
        where = RuleFilter(template_id=template_id)
        found: defaultdict[Scope, Any] = defaultdict(list)
        kinds: tuple[RuleKind, ...] = ("budget", "limit")
        for kind in kinds:
            for stored in await self._rules.list(kind, where, limit=MOST_RULES):
                found[stored.rule.scope].append(stored)
        return found


def _check(template: Template, time_zone: str) -> None:
    """Raises BadRequest for terms that ask for nothing: who pointed to them would be forgotten."""
    if template.terms in (Terms(), Terms(duration=template.terms.duration)):
        raise BadRequest("A budget limits something: state max_budget, soft_budget or a limit.", param="max_budget")
    origin = Origin(lambda rule, by, **_: StoredRule(rule, "", 0, by, 0), "", 0, time_zone, template.id)
    plan(template.terms, Scope("key", ""), (), origin)  # durations are read here
