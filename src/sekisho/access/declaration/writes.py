"""From planned changes to the values that one transaction writes, and whether they may be written."""

import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from sekisho.access.allocation import parents, worse_by_nanousd
from sekisho.access.declaration.fields import Problems
from sekisho.access.declaration.plans import Change, Writes
from sekisho.access.declaration.problems import Problem
from sekisho.access.declaration.things import Address, Fields, Holdings, Thing, describe, owner_of, owner_scope, usd
from sekisho.access.declaration.words import parse_time
from sekisho.access.organisation import Member, Tag, Team, User
from sekisho.access.register import KeyChange, StoredKey
from sekisho.access.roles import Grant, RoleName
from sekisho.access.rules import RuleWrite, StoredRule
from sekisho.access.steps import checked_steps
from sekisho.access.templates import Template
from sekisho.access.terms import Origin, Terms, plan
from sekisho.clock import id_text, new_id
from sekisho.errors import BadRequest
from sekisho.values import Budget, Model, Policy, RateLimit, Scope

DIGEST_BYTES = 32
_OWNERS = ("user", "team", "member", "tag", "key")


class Maker(msgspec.Struct, frozen=True):
    """Whose organisation it is, who changes it and when, and the models on offer."""

    org_id: str
    by: str
    now_us: int
    time_zone: str
    models: Sequence[Model]

    def public(self, name: str) -> str:
        """The public name of a model on offer, by it or by an alias; "" if there is none."""
        return next((model.name for model in self.models if name == model.name or name in model.aliases), "")

    def origin(self, template_id: str = "") -> Origin:
        """What the rules of a shared budget are made with."""
        return Origin(self.draft, self.by, self.now_us, self.time_zone, template_id)

    def draft(
        self, rule: Budget | RateLimit | Policy, by: str, *, name: str = "", allow_over_allocation: bool = False
    ) -> StoredRule:
        """A new rule with an id of its own."""
        made = replace(rule, id=id_text(new_id(self.now_us)))
        return StoredRule(
            made, self.org_id, self.now_us, by, self.now_us, name, allow_over_allocation=allow_over_allocation
        )


class WriteBuilder:
    """Collects writes; what may not be is noted in `problems`, what is odd in `warnings`."""

    def __init__(self, held: Mapping[Address, Thing], holdings: Holdings, maker: Maker, problems: Problems) -> None:
        self._held = held
        self._holdings = holdings
        self._maker = maker
        self._problems = problems
        self.warnings: list[Problem] = []
        self._wanted: Mapping[Address, Thing] = {}
        self._templates = {template.id: template for template in holdings.templates}
        self._new: dict[str, list[Any]] = defaultdict(list)
        self._put: dict[str, tuple[StoredRule, int]] = {}
        self._drop: list[str] = []
        self._removals: list[Address] = []
        self._key_ids = {
            thing.address[1]: thing.value.id for thing in held.values() if isinstance(thing.value, StoredKey)
        }

    def prepare(self, changes: Iterable[Change], wanted: Mapping[Address, Thing]) -> None:
        """Turn changes into writes."""
        self._wanted = wanted
        steps = list(changes)
        gone = {change.address for change in steps if change.action == "delete"}
        for change in steps:
            if change.action == "delete":
                self._remove(change.address)
            else:
                getattr(self, f"_{change.address[0]}")(change, change.after or {})
        self._share(steps, gone)
        self._check_references(steps)
        self._check_aliases(gone)
        self._check_allocation()

    def writes(self) -> Writes:
        """All of it."""
        rules = RuleWrite(tuple(stored for stored, _ in self._put.values()), tuple(self._drop))
        return Writes(
            **{kind: tuple(values) for kind, values in self._new.items()},
            rules=rules,
            key_ids=self._key_ids,
            removals=tuple(self._removals),
        )

    def _remove(self, address: Address) -> None:
        value = self._held[address].value
        if isinstance(value, StoredRule):
            self._drop.append(value.rule.id)
        elif isinstance(value, StoredKey):
            self._removals.append(("key", value.id))
        else:
            self._removals.append(address)

    def _budget_template(self, change: Change, _after: Fields) -> None:
        terms = self._wanted[change.address].value
        assert isinstance(terms, Terms)
        old = self._templates.get(change.address[1])
        maker = self._maker
        if old is None:
            new = Template(change.address[1], terms, maker.now_us, maker.by, maker.now_us)
        else:
            kept = old.terms if terms.max_budget_nanousd is not None else Terms()
            terms = replace(terms, increase_nanousd=kept.increase_nanousd, increase_until=kept.increase_until)
            new = replace(old, terms=terms, updated_at=maker.now_us)
        self._templates[new.id] = new
        self._new["templates"].append(new)

    def _user(self, change: Change, after: Fields) -> None:
        old = self._held[change.address].value if change.address in self._held else None
        kept = old if isinstance(old, User) else self._fresh(User, id=change.address[1])
        self._new["users"].append(
            replace(
                kept,
                kind=after.get("kind", "person"),
                alias=after.get("alias", ""),
                email=after.get("email", ""),
                metadata=after.get("metadata", {}),
                updated_at=self._maker.now_us,
            )
        )

        self._roles(change, after)

    def _roles(self, change: Change, after: Fields) -> None:
        old, new = set((change.before or {}).get("roles", ())), set(after.get("roles", ()))
        for text in sorted(old ^ new):
            role, _, team_id = text.partition(" in ")
            if text in new and team_id and not self._is_known(("team", team_id)):
                self._problems.add(
                    change.line, f"There is no team '{team_id[:60]}'.", f"チーム「{team_id[:60]}」がありません。"
                )
            self._new["grants"].append((change.address[1], Grant(cast("RoleName", role), team_id), text in new))

    def _tag(self, change: Change, after: Fields) -> None:
        old = self._held[change.address].value if change.address in self._held else None
        kept = old if isinstance(old, Tag) else self._fresh(Tag, name=change.address[1])
        self._new["tags"].append(replace(kept, description=after.get("description", ""), updated_at=self._maker.now_us))

    def _team(self, change: Change, after: Fields) -> None:
        old = self._held[change.address].value if change.address in self._held else None
        kept = old if isinstance(old, Team) else self._fresh(Team, id=change.address[1])
        self._new["teams"].append(
            replace(
                kept,
                alias=after.get("alias", ""),
                models=tuple(after.get("models", ())),
                metadata=after.get("metadata", {}),
                blocked=after.get("blocked", False),
                content_level=after.get("content_level"),
                content_days=after.get("content_days", 0),
                cut_streams=after.get("cut_streams"),
                updated_at=self._maker.now_us,
            )
        )

    def _member(self, change: Change, after: Fields) -> None:
        maker = self._maker
        _, team_id, user_id = change.address
        role = after.get("role", "member")
        self._new["members"].append(Member(maker.org_id, team_id, user_id, role, maker.now_us, maker.by))

    def _key(self, change: Change, after: Fields) -> None:
        expires, name = after.get("expires"), change.address[1]
        fields: dict[str, Any] = {
            "user_id": after.get("user", ""),
            "team_id": after.get("team", ""),
            "models": tuple(after.get("models", ())),
            "tags": tuple(after.get("tags", ())),
            "metadata": after.get("metadata", {}),
            "expires_at": parse_time(expires, "UTC") if expires else None,
            "blocked": after.get("blocked", False),
            "cut_streams": after.get("cut_streams"),
        }
        if name in self._key_ids:
            self._new["keys"].append((self._key_ids[name], KeyChange(**fields)))
            return
        self._key_ids[name] = id_text(new_id(self._maker.now_us))
        nobodys = {"digest": secrets.token_bytes(DIGEST_BYTES), "hint": ""}
        self._new["new_keys"].append(self._fresh(StoredKey, id=self._key_ids[name], alias=name, **nobodys, **fields))

    def _budget(self, change: Change, after: Fields) -> None:
        new = self._wanted[change.address].value
        assert isinstance(new, Budget)
        self._check_model(change, new.model)
        self._check_steps(change, new)
        allow = after.get("allow_over_allocation", False)
        old = self._held[change.address].value if change.address in self._held else None
        kept = old.rule if isinstance(old, StoredRule) and isinstance(old.rule, Budget) else None
        if kept and new.window.kind == "period" and after.get("from"):
            new = replace(new, window=replace(new.window, starts_at=parse_time(after["from"], "UTC") or 0))
        elif new.window.kind == "period" and "from" not in after:
            new = replace(new, window=replace(new.window, starts_at=self._maker.now_us))
        if kept and "increase" in after and not new.increase_nanousd:
            new = replace(new, increase_nanousd=kept.increase_nanousd, increase_until=kept.increase_until)
        if not isinstance(old, StoredRule) or kept is None:
            self._add_rule(change, new, allow)
            return
        rule = replace(
            new, id=kept.id, scope=kept.scope, credit_nanousd=kept.credit_nanousd, credit_from=kept.credit_from
        )
        duration = old.duration if rule.window == kept.window else ""
        made = replace(old, rule=rule, updated_at=self._maker.now_us, duration=duration, allow_over_allocation=allow)
        self._put[rule.id] = (made, change.line)

    def _limit(self, change: Change, _after: Fields) -> None:
        new = self._wanted[change.address].value
        assert isinstance(new, RateLimit)
        self._check_model(change, new.model)
        old = self._held[change.address].value if change.address in self._held else None
        if not isinstance(old, StoredRule):
            self._add_rule(change, new, False)
            return
        rule = replace(new, id=old.rule.id, scope=old.rule.scope)
        self._put[rule.id] = (replace(old, rule=rule, updated_at=self._maker.now_us), change.line)

    def _policy(self, change: Change, _after: Fields) -> None:
        new = self._wanted[change.address].value
        assert isinstance(new, Policy)
        old = self._held[change.address].value if change.address in self._held else None
        if not isinstance(old, StoredRule):
            self._add_rule(change, replace(new, name=change.address[-1]), False)
            return
        rule = replace(new, id=old.rule.id, scope=old.rule.scope, name=old.name)
        self._put[rule.id] = (replace(old, rule=rule, updated_at=self._maker.now_us), change.line)

    def _add_rule(self, change: Change, rule: Budget | RateLimit | Policy, allow: bool) -> None:
        scope = owner_scope(owner_of(change.address), self._maker.org_id, self._key_ids)
        made = self._maker.draft(
            replace(rule, scope=scope), self._maker.by, name=change.address[-1], allow_over_allocation=allow
        )
        self._put[made.rule.id] = (made, change.line)

    def _share(self, steps: Sequence[Change], gone: set[Address]) -> None:
        """Make, change and drop the rules that owners have from shared budgets."""
        made: dict[Scope, list[StoredRule]] = defaultdict(list)
        for stored in self._holdings.rules:
            if stored.template_id:
                made[stored.rule.scope].append(stored)
        restated = {step.address[1] for step in steps if step.address[0] == "budget_template" and step.after}
        after = {step.address: step for step in steps if step.address[0] in _OWNERS and step.after is not None}
        for address in [*after, *(one for one in self._held if one[0] in _OWNERS and one not in after)]:
            step = after.get(address)
            fields = step.after if step and step.after is not None else self._held[address].fields
            fields = {} if address in gone else fields
            old = made.get(owner_scope(address, self._maker.org_id, self._key_ids), [])
            self._share_one(address, fields.get("budget_template", ""), old, restated, step.line if step else 0)

    def _share_one(
        self, address: Address, template_id: str, old: list[StoredRule], restated: set[str], line: int
    ) -> None:
        held_id = old[0].template_id if old else ""
        if held_id == template_id and template_id not in restated:
            return
        if held_id != template_id:
            self._drop += [stored.rule.id for stored in old]
            old = []
        template = self._templates.get(template_id)
        if template:
            scope = owner_scope(address, self._maker.org_id, self._key_ids)
            write = plan(template.terms, scope, old, self._maker.origin(template_id))
            self._put |= {stored.rule.id: (stored, line) for stored in write.put}
            self._drop += write.drop

    def _check_references(self, changes: Iterable[Change]) -> None:
        """What changes names must be there, or be made."""
        for change in changes:
            fields = change.after or {}
            template_id, team_id = fields.get("budget_template", ""), fields.get("team", "")
            if template_id and not self._is_known(("budget_template", template_id)):
                self._problems.add(
                    change.line,
                    f"There is no budget template '{template_id[:60]}'.",
                    f"予算テンプレート「{template_id[:60]}」がありません。",
                )
            if change.address[0] == "key" and team_id and not self._is_known(("team", team_id)):
                self._problems.add(
                    change.line, f"There is no team '{team_id[:60]}'.", f"チーム「{team_id[:60]}」がありません。"
                )
            for model in fields.get("models", ()) if change.address[0] in ("team", "key") else ():
                if not self._maker.public(model):
                    self.warnings.append(
                        Problem(
                            change.line,
                            f"{describe(change.address)}: the model '{model[:60]}' is not on offer now.",
                            f"{describe(change.address)}：モデル「{model[:60]}」は現在提供していません。",
                        )
                    )

    def _is_known(self, address: Address) -> bool:
        return address in self._held or address in self._wanted

    def _check_model(self, change: Change, model: str) -> None:
        """A rule for a model that nobody offers would never act."""
        if model and self._maker.public(model) != model and (change.before or {}).get("model") != model:
            other = self._maker.public(model)
            hint_en, hint_ja = (f" Write {other}.", f"{other} と書いてください。") if other else ("", "")
            self._problems.add(
                change.line,
                f"There is no model '{model[:60]}' on offer.{hint_en}",
                f"モデル「{model[:60]}」は提供していません。{hint_ja}",
            )

    def _check_steps(self, change: Change, new: Budget) -> None:
        """Only steps that make sense."""
        if new.steps and (change.before or {}).get("steps") != (change.after or {}).get("steps"):
            try:
                checked_steps(new, new.steps, self._maker.models)
            except BadRequest as error:
                self._problems.add(change.line, error.message, f"steps を適用できません：{error.message}")

    def _check_aliases(self, gone: set[Address]) -> None:
        """No two teams are called the same."""
        after = {team.id: team.alias for team in self._holdings.teams if ("team", team.id) not in gone}
        after |= {team.id: team.alias for team in self._new["teams"]}
        first: dict[str, str] = {}
        for team_id, alias in after.items():
            other = first.setdefault(alias, team_id) if alias else team_id
            if other != team_id:
                changed = next(one for one in (team_id, other) if ("team", one) in self._wanted)
                self._problems.add(
                    self._wanted[("team", changed)].line,
                    f"The teams {other} and {team_id} have the same alias '{alias}'.",
                    f"チーム {other} と {team_id} の別名が同じです：{alias}",
                )

    def _check_allocation(self) -> None:
        """No budget hands out more than there is unless the file says that it is meant."""
        judged = [
            (stored, line)
            for stored, line in self._put.values()
            if isinstance(stored.rule, Budget) and not stored.allow_over_allocation
        ]  # the others come after these, as if they were written later
        lines = {stored.rule.id: line for stored, line in judged}
        before = [one.rule for one in self._holdings.rules if isinstance(one.rule, Budget)]
        after = [one for one in before if one.id not in self._drop and one.id not in lines]
        after += [stored.rule for stored, _ in judged if isinstance(stored.rule, Budget)]
        scopes = [(stored.rule.scope, line) for stored, line in judged]
        for parent in dict.fromkeys(parent for scope, _ in scopes for parent in parents(scope, self._maker.org_id)):
            excess = worse_by_nanousd(before, after, parent, self._maker.now_us)
            if excess:
                involved = [(scope, line) for scope, line in scopes if parent in parents(scope, self._maker.org_id)]
                below = [line for scope, line in involved if scope != parent]
                for line in dict.fromkeys(below or [line for _, line in involved]):
                    self._over(line, parent, excess)

    def _over(self, line: int, parent: Scope, excess: int) -> None:
        name = "organisation" if parent.kind == "org" else f"{parent.kind} {parent.id}"
        self._problems.add(
            line,
            f"The budgets below the {name} would be {usd(excess)} more than its own in the same window. "
            "Raise that, or write allow_over_allocation: true here if it is meant.",
            f"{name} の下の予算の合計が、同じ期間の {name} の予算を {usd(excess)} 超えます。"
            "上位の予算を増やすか、意図したものならここに allow_over_allocation: true と書いてください。",
        )

    def _fresh(self, made: type[Any], **identity: Any) -> Any:
        maker = self._maker
        return made(
            org_id=maker.org_id, created_at=maker.now_us, created_by=maker.by, updated_at=maker.now_us, **identity
        )
