"""What a principal may do with each object, where its role holds in some teams or for itself only.

What lies outside its sight is answered as if it were not there, word for word. What lies within and may only be seen is
refused as not allowed. Nobody gives more than they hold. Whoever has a permission in the whole organisation passes
here unjudged.
"""

from collections.abc import Sequence
from typing import cast

from msgspec import UNSET
from msgspec.structs import replace

from sekisho.access.keys import may_use
from sekisho.access.organisation import Team, member_scope
from sekisho.access.register import KeyChange, KeyDraft, StoredKey
from sekisho.access.roles import Permission, Principal, Sight
from sekisho.access.rules import RuleFilter, RuleWrite, StoredRule
from sekisho.errors import BadRequest, NotAllowed, NotFound
from sekisho.values import Budget, RateLimit, Scope, VirtualKey
from sekisho.web.admin.seniority import RATES, Seniority
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

ANOTHER = "another user"
NO_KEY = "There is no such key."
NO_TEAM = "There is no such team."
NO_USER = "There is no such user."
_MOST_RULES = 10_000
Owner = tuple[str, str]  # the team and the user that something belongs to; empty: none


def judge(who: Principal, permission: Permission, missing: str, *, team_id: str = "", user_id: str = "") -> None:
    """Let pass who has the permission over what belongs to this team or user. Raises NotFound with `missing`, or
    NotAllowed for what may only be seen."""
    if who.sight(permission).covers(team_id=team_id, user_id=user_id):
        return
    area, _, verb = permission.partition(":")
    if verb == "write" and who.sight(cast("Permission", f"{area}:read")).covers(team_id=team_id, user_id=user_id):
        raise NotAllowed(f"This needs the permission {permission} here.")
    raise NotFound(missing)


def shown_by(who: Principal, permission: Permission, name: str) -> str:
    """Who did something, as far as this principal may know: no other user's name, unless it may see everybody."""
    is_user = name.startswith(("user:", "service:"))
    return name if not is_user or name == who.actor or who.may(permission) else ANOTHER


def may_change_tokens(who: Principal, user_id: str) -> bool:
    """Whether the tokens of this user are this principal's to make and to revoke."""
    return who.may("organisation:write") or (bool(who.user_id) and who.user_id == user_id)


def within_own(who: Principal, expires_at: int | None, param: str) -> int | None:
    """An expiry no later than that of the token in use; where none is asked for, that one. An administrator's is free.

    Raises BadRequest for a later one."""
    last = None if who.is_admin else who.token_expires_at
    if last is None:
        return expires_at
    if expires_at is not None and expires_at > last:
        words = f"Your own access token ends at {iso(last)}: nothing that you issue lives longer."
        raise BadRequest(words, param=param)
    return last if expires_at is None else expires_at


def _uncut() -> BadRequest:
    words = "Only an administrator lets streams go on when their key is revoked."
    return BadRequest(words, param="cut_streams")


class Rights:
    """Judges what needs a look at the organisation. Raises as `judge`, and BadRequest for more than somebody holds."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seniority = Seniority(services)

    async def need_scope(self, who: Principal, permission: Permission, scope: Scope, missing: str) -> Owner:
        """Let pass who has the permission over the rules of this scope; to whom they belong."""
        if who.may(permission):
            return ("", "")
        team_id, user_id = await self._owner(scope)
        judge(who, permission, missing, team_id=team_id, user_id=user_id)
        if permission.endswith(":write") and scope.kind not in ("member", "key"):
            raise NotAllowed(f"This needs the permission {permission} in the whole organisation.")
        return team_id, user_id

    async def need_rule(self, who: Principal, permission: Permission, stored: StoredRule) -> None:
        """As `need_scope`, for a rule that is there."""
        await self.need_scope(who, permission, stored.rule.scope, f"There is no such {stored.kind}.")

    async def need_new_rule(self, who: Principal, permission: Permission, scope: Scope) -> None:
        """As `need_scope`, for a rule to be made: a scope out of sight is one that does not exist."""
        try:
            await self.need_scope(who, permission, scope, "")
        except NotFound as error:
            raise BadRequest(f"There is no {scope.kind} '{scope.id[:60]}'.", param="scope") from error

    async def rules_within(self, who: Principal, write: RuleWrite, team_id: str = "") -> RuleWrite:
        """The write, if none of its budgets and limits goes beyond what the team has, or lifts what a wider role has
        set. `team_id`: the team of a key that is about to be made."""
        if who.may("budgets:write") and who.may("limits:write"):
            return write
        for rule_id in write.drop:
            await self._seniority.drop(rule_id)
        put: list[StoredRule] = []
        for stored in write.put:
            await self._seniority.change(stored)
            of_team = team_id or (await self._owner(stored.rule.scope))[0]
            put.append(await self._rule_within(stored, of_team))
        return RuleWrite(tuple(put), write.drop)

    async def drop_rule(self, who: Principal, permission: Permission, stored: StoredRule) -> None:
        """As `need_rule`, for a rule to be taken away: one that a wider role has set stays. Raises NotAllowed."""
        await self.need_rule(who, permission, stored)
        if not who.may(permission):
            await self._seniority.drop(stored.rule.id)

    async def end_membership(self, who: Principal, team_id: str, user_id: str) -> None:
        """Let pass who may let this member of a team go. Raises NotFound, NotAllowed."""
        judge(who, "organisation:write", "There is no such member of this team.", team_id=team_id)
        if not who.may("organisation:write"):
            await self._seniority.end_membership(member_scope(team_id, user_id))

    def shared_budget(self, who: Principal, budget_id: str | None) -> None:
        """Let a shared budget be given by those only who may write all budgets. Raises BadRequest."""
        if budget_id and not who.may("budgets:write"):
            raise BadRequest("Only an administrator gives a shared budget.", param="budget_id")

    async def key_draft(self, who: Principal, draft: KeyDraft) -> KeyDraft:
        """The draft, if this principal may make such a key."""
        if who.may("keys:write"):
            return draft
        if draft.key:
            raise BadRequest("Only an administrator brings along a raw key.", param="key")
        if draft.tags:
            raise BadRequest("Only an administrator sets tags.", param="tags")
        if draft.cut_streams is False:
            raise _uncut()
        await self._check_binding(who, draft.team_id, draft.user_id, draft.models)
        return replace(draft, expires_at=within_own(who, draft.expires_at, "expires_in"))

    async def key_change(self, who: Principal, old: StoredKey, change: KeyChange) -> KeyChange:
        """The change, if this principal may change the key so."""
        if who.may("keys:write"):
            return change
        judge(who, "keys:write", NO_KEY, team_id=old.team_id)
        if change.tags is not UNSET and change.tags != old.tags:
            raise BadRequest("Only an administrator sets tags.", param="tags")
        if change.cut_streams not in (UNSET, True, old.cut_streams):
            raise _uncut()
        if change.blocked is False:
            await self._seniority.unblock(old)
        if change.team_id is not UNSET or change.user_id is not UNSET or change.models is not UNSET:
            team_id = old.team_id if change.team_id is UNSET else change.team_id
            user_id = old.user_id if change.user_id is UNSET else change.user_id
            await self._check_binding(who, team_id, user_id, old.models if change.models is UNSET else change.models)
        if change.expires_at is not UNSET:
            change = replace(change, expires_at=within_own(who, change.expires_at, "expires_in"))
        return change

    async def member_ids(self, sight: Sight) -> frozenset[str]:
        """The users within: the members of its teams, and the one itself."""
        found = {sight.user_id} - {""}
        for team_id in sight.team_ids:
            found |= {member.user_id for member in await self._services.teams.members(team_id)}
        return frozenset(found)

    async def need_user(self, who: Principal, user_id: str) -> None:
        """Let pass who may see this user: all, itself, or a member of a team. Raises NotFound."""
        sight = who.sight("organisation:read")
        if sight.covers(user_id=user_id):
            return
        if not any(one.team_id in sight.team_ids for one in await self._services.teams.memberships(user_id)):
            raise NotFound(NO_USER)

    async def _owner(self, scope: Scope) -> Owner:
        match scope.kind:
            case "team":
                return scope.id, ""
            case "user":
                return "", scope.id
            case "member":
                team_id, _, user_id = scope.id.partition("/")
                return team_id, user_id
            case "key":
                try:
                    key = await self._services.keys.get(scope.id)
                except NotFound:
                    return "", ""
                return key.team_id, key.user_id
        return "", ""

    async def _check_binding(self, who: Principal, team_id: str, user_id: str, models: Sequence[str]) -> None:
        """Raises BadRequest for another team, a user who is not in it, a model that it may not use."""
        if not team_id:
            raise BadRequest("Say for which of your teams the key is, in team_id.", param="team_id")
        if not who.sight("keys:write").covers_team(team_id):
            raise BadRequest(f"There is no team '{team_id[:60]}'. Create it first.", param="team_id")
        if user_id and user_id not in {one.user_id for one in await self._services.teams.members(team_id)}:
            raise BadRequest("This user is not a member of this team.", param="user_id")
        team = await self._services.teams.get(team_id)
        for model in models:
            if not self._may_use(team, model):
                raise BadRequest(f"The team may not use the model '{model[:60]}'.", param="models")

    def _may_use(self, team: Team, name: str) -> bool:
        as_key = VirtualKey("", team.org_id, b"", models=team.models)
        for model in self._services.models():
            if name == model.name or name in model.aliases:
                return may_use(as_key, model.name, model.aliases)
        return may_use(as_key, name)

    async def _rule_within(self, stored: StoredRule, team_id: str) -> StoredRule:
        if stored.template_id:
            raise BadRequest("Only an administrator gives a shared budget.", param="budget_id")
        if isinstance(stored.rule, Budget):
            await self._budget_within(stored.rule, team_id)
        elif isinstance(stored.rule, RateLimit):
            await self._limit_within(stored.rule, team_id)
        return replace(stored, allow_over_allocation=False)

    async def _budget_within(self, budget: Budget, team_id: str) -> None:
        where = RuleFilter("team", team_id)
        found = await self._services.rules.list("budget", where, limit=_MOST_RULES)
        amounts = [
            stored.rule.amount_nanousd + stored.rule.increase_nanousd
            for stored in found
            if isinstance(stored.rule, Budget) and stored.rule.model in ("", budget.model)
        ]
        if amounts and budget.amount_nanousd + budget.increase_nanousd > max(amounts):
            raise BadRequest("This is more than the team's own budget.", param="amount_usd")

    async def _limit_within(self, limit: RateLimit, team_id: str) -> None:
        where = RuleFilter("team", team_id)
        found = await self._services.rules.list("limit", where, limit=_MOST_RULES)
        limits = [stored.rule for stored in found if isinstance(stored.rule, RateLimit)]
        of_team = [one for one in limits if one.model in ("", limit.model)]
        for rate in RATES:
            wanted = getattr(limit, rate)
            most = min((value for rule in of_team if (value := getattr(rule, rate)) is not None), default=None)
            if wanted is not None and most is not None and wanted > most:
                raise BadRequest(f"The team's own limit is {most}.", param=rate)
