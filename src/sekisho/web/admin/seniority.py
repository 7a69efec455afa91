"""What a wider role has blocked or capped: whoever has the permission in a team only may tighten that, never lift it.

Wider is who had the permission in the whole organisation at the time, by the history of roles: so leads undo no
administrator who has left since, and what a lead of before has set is the next lead's to change.
Above: `rights`. Source: docs/why/roles.md
"""

import json
from typing import Any

from sekisho.access.audit import AuditEntry, AuditFilter
from sekisho.access.register import StoredKey
from sekisho.access.roles import ROLES, Permission
from sekisho.access.rules import StoredRule
from sekisho.errors import NotAllowed
from sekisho.values import Budget, Policy, RateLimit, Scope
from sekisho.web.admin.services import Services

RATES = ("requests_per_minute", "tokens_per_minute", "parallel", "nanousd_per_task", "calls_per_task")
_PAGE = 200
_MOST_ROLE_CHANGES = 10_000


class Seniority:
    """Judges what somebody without the permission in the whole organisation wants to undo. Raises NotAllowed."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def unblock(self, key: StoredKey) -> None:
        """Let the key be unblocked, unless a wider role has blocked it, or its person's leaving has."""
        if not key.blocked:
            return
        entry = await self._last_turn(key)
        if entry is None or not _says_blocked(entry.after) or await self._was_wide(entry.actor, "keys:write", entry.at):
            raise NotAllowed("This key was blocked by a role above yours: only such a role unblocks it.")

    async def change(self, new: StoredRule) -> None:
        """Let a rule be changed to this, if that is within what a wider role has made of it last."""
        cap = await self._cap_of(new.rule.id)
        if cap is not None and (param := _loosened(new.rule, cap)):
            raise _not_lifted(cap, param)

    async def drop(self, rule_id: str) -> None:
        """Let a rule be taken away, unless a wider role has ever set it."""
        if (cap := await self._cap_of(rule_id)) is not None:
            raise _not_lifted(cap)

    async def end_membership(self, scope: Scope) -> None:
        """Let a member go, unless a rule of a wider role would go too, and be gone when the member is back."""
        for stored in await self._services.rules.of(scope):
            if await self._cap_of(stored.rule.id) is not None:
                raise NotAllowed(
                    "This member has a budget or limit that a role above yours has set, and it would end with the "
                    "membership: ask an administrator."
                )

    async def _cap_of(self, rule_id: str) -> Budget | RateLimit | Policy | None:
        """A rule as a wider role left it last; None for one that only leads have set, and for one to be made."""
        after: int | None = None
        while changes := await self._services.rules.history(rule_id, limit=_PAGE, after=after):
            for change in changes:
                permission: Permission = "budgets:write" if isinstance(change.rule, Budget) else "limits:write"
                if await self._was_wide(change.by, permission, change.at):
                    return change.rule
            after = changes[-1].id
        return None

    async def _last_turn(self, key: StoredKey) -> AuditEntry | None:
        """The entry of the log with which the key was blocked or unblocked last."""
        where, before = AuditFilter(kind="key", id=key.id), None
        while entries := await self._services.audit.list_entries(key.org_id, where, limit=_PAGE, before=before):
            for entry in entries:
                if _says_blocked(entry.after) != _says_blocked(entry.before):
                    return entry
            before = entries[-1].sequence
        return None

    async def _was_wide(self, actor: str, permission: Permission, at: int) -> bool:
        """Whether this name in the record had the permission in the whole organisation then."""
        kind, _, user_id = actor.partition(":")
        if kind not in ("user", "service"):
            return True  # the operator, the master key, the directory
        held = set()
        for change in reversed(await self._services.grants.history(user_id, limit=_MOST_ROLE_CHANGES)):
            if change.at > at or change.team_id or permission not in ROLES[change.role]:
                continue
            if change.action == "grant":
                held.add(change.role)
            else:
                held.discard(change.role)
        return bool(held)


def _says_blocked(text: str | None) -> bool:
    found: Any = json.loads(text) if text else None
    return isinstance(found, dict) and bool(found.get("blocked"))


def _not_lifted(cap: Budget | RateLimit | Policy, param: str | None = None) -> NotAllowed:
    kind = "budget" if isinstance(cap, Budget) else "limit"
    words = f"This {kind} was set by a role above yours: you may tighten it, and not lift it or take it away."
    return NotAllowed(words, param=param)


def _loosened(new: Budget | RateLimit | Policy, cap: Budget | RateLimit | Policy) -> str:
    """The first field in which a rule allows more than the cap; empty for none."""
    if isinstance(new, Budget) and isinstance(cap, Budget):
        return _loosened_budget(new, cap)
    for rate in RATES:
        most, wanted = getattr(cap, rate), getattr(new, rate)
        if most is not None and (wanted is None or wanted > most):
            return rate
    return ""


def _loosened_budget(new: Budget, cap: Budget) -> str:
    is_kept = {
        "amount_usd": new.amount_nanousd <= cap.amount_nanousd,
        "increase": not new.increase_nanousd
        or (new.increase_nanousd <= cap.increase_nanousd and new.increase_until <= cap.increase_until),
        "is_hard": new.is_hard or not cap.is_hard,
        "window": new.window == cap.window,
        "thresholds": {*cap.thresholds, *cap.steps} <= {*new.thresholds, *new.steps},
    }
    return next((name for name, kept in is_kept.items() if not kept), "")
