"""A lead's members: who is in the team, what each has and has spent; giving a share, taking in, letting go."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from sekisho.access.money import usd_text
from sekisho.errors import NotFound
from sekisho.values import Budget
from sekisho.web.console.costs import Node, month_of, read_costs
from sekisho.web.console.edge import Visit, accepted_form
from sekisho.web.console.names import names_of
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.writing import ask_admin, done, refused


def member_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Members(parts)
    return (
        Page("members", pages.show, place="members"),
        Page("members", pages.add, method="POST", place="members"),
        Page("members/share", pages.share, method="POST", place="members"),
        Page("members/remove", pages.remove, method="POST", place="members"),
    )


@dataclass(frozen=True)
class MemberRow:
    """One member. `number`: names its dialogs. `budget`: the monthly share, if there is one."""

    number: int
    user_id: str
    name: str
    role: str
    keys: int
    node: Node | None
    budget: Budget | None
    amount_text: str


@dataclass
class _Members:
    """One method for each page."""

    parts: Parts

    async def show(self, visit: Visit) -> Response:
        """The members of a team that the viewer leads."""
        services = self.parts.services
        led = sorted(visit.who.leads)
        if not led:
            raise NotFound("There is no such page.")
        team_id = visit.request.query_params.get("team", "") or led[0]
        if team_id not in led:
            raise NotFound("There is no such team.")
        team = await services.teams.get(team_id)
        costs = await read_costs(services, visit.who, month_of(services, ""), team_id)
        nodes = {node.scope.id: node for root in costs.roots for node in root.walk() if node.scope.kind == "member"}
        rows = []
        members = await services.teams.members(team_id)
        names = await names_of(services, [("user", one.user_id) for one in members])
        for number, member in enumerate(members):
            node = nodes.get(f"{team_id}/{member.user_id}")
            budget = node.budget if node and node.budget and node.budget.scope.kind == "member" else None
            amount = usd_text(budget.amount_nanousd) if budget else ""
            keys = len(node.children) if node else 0
            name = names.person(member.user_id)
            rows.append(MemberRow(number, member.user_id, name, member.role, keys, node, budget, amount))
        return self.parts.drawing.page(
            visit, "members.html", team=team, rows=rows, led=led, costs=costs, me=visit.who.user_id
        )

    async def add(self, visit: Visit) -> Response:
        """Take somebody in."""
        form = await accepted_form(visit)
        user_id, team_id = form.get("user", "").strip(), form.get("team", "")
        body = {"user_id": user_id, "role": "member"}
        answer = await ask_admin(visit, visit.who, "POST", f"/admin/v1/teams/{quote(team_id, safe='')}/members", body)
        return self._done(visit, form, answer, "member.added", name=user_id)

    async def share(self, visit: Visit) -> Response:
        """Give a member a monthly share of the team's budget, or change it."""
        form = await accepted_form(visit)
        amount = form.get("amount", "").strip().removeprefix("$").replace(",", "")
        if form.get("budget"):
            path = f"/admin/v1/budgets/{quote(form['budget'], safe='')}"
            answer = await ask_admin(visit, visit.who, "PATCH", path, {"amount_usd": amount})
        else:
            body = {
                "scope": {"kind": "member", "id": f"{form.get('team', '')}/{form.get('user', '')}"},
                "amount_usd": amount,
                "window": {"kind": "month"},
            }
            answer = await ask_admin(visit, visit.who, "POST", "/admin/v1/budgets", body)
        return self._done(visit, form, answer, "member.shared", name=form.get("user", ""), amount=f"${amount}")

    async def remove(self, visit: Visit) -> Response:
        """Let somebody go: the keys of the membership end at once."""
        form = await accepted_form(visit)
        user_id, team_id = form.get("user", ""), form.get("team", "")
        if form.get("typed", "").strip() != user_id:
            return refused(str(visit.words("keys.typed_wrong", name=user_id)))
        path = f"/admin/v1/teams/{quote(team_id, safe='')}/members/{quote(user_id, safe='')}"
        answer = await ask_admin(visit, visit.who, "DELETE", path)
        return self._done(visit, form, answer, "member.removed", name=user_id)

    def _done(self, visit: Visit, form: Mapping[str, str], answer: Any, text: str, **values: str) -> Response:
        if not answer.is_good:
            return refused(answer.problem(visit.words), answer.status)
        return done(self.parts.edge, form, text, **values)
