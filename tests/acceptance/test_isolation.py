"""What somebody may not see is in no answer: Alice pays, Bob is in her team, Charlie must see nothing of it.

The oracle is a brute-force model of a random organisation: every name and every figure in it is unique, so that one
that should be hidden can be searched for in the bytes of every answer.
"""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sekisho.clock import id_text
from tests.acceptance.control_plane import Running, bearer, running_control_plane, task_of
from tests.thorough import seed_numbers

pytestmark = [pytest.mark.seeds, pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("isolation")]

LISTS = (
    "/admin/v1/keys",
    "/admin/v1/teams",
    "/admin/v1/users",
    "/admin/v1/budgets",
    "/admin/v1/limits",
    "/admin/v1/calls",
    "/admin/v1/tasks",
    "/admin/v1/cache?by=team&by=day",
    "/admin/v1/cache/breaks",
    "/admin/v1/spend?by=team&by=user&by=key&since=2020-01-01",
    "/admin/v1/spend?since=2020-01-01",
    "/admin/v1/tokens",
    "/admin/v1/role-grants",
    "/key/list?return_full_object=true&size=100",
    "/key/list",
    "/user/daily/activity?start_date=2025-11-01&end_date=2025-11-30",
    "/team/daily/activity?start_date=2025-11-01&end_date=2025-11-30",
    "/tag/daily/activity?start_date=2025-11-01&end_date=2025-11-30",
    "/organization/daily/activity?start_date=2025-11-01&end_date=2025-11-30",
    "/team/list",
    "/user/list?page_size=100",
)


@dataclass
class World:
    """A random organisation and what is secret in it: by owner (team, user), the words that tell of it."""

    running: Running
    dice: random.Random
    teams: list[str] = field(default_factory=list)
    members: dict[str, dict[str, str]] = field(default_factory=dict)  # by team: role by user
    aliases: dict[str, str] = field(default_factory=dict)
    users: dict[str, dict[str, str]] = field(default_factory=dict)  # by user: headers of a token
    secrets: list[tuple[str, str, str]] = field(default_factory=list)  # team, user, word
    objects: list[tuple[str, str, str]] = field(default_factory=list)  # team, user, path
    answers: dict[tuple[str, str], httpx.Response] = field(default_factory=dict)  # by viewer and path
    number: int = 0

    def word(self, what: str) -> str:
        self.number += 1
        return f"{what}{self.number:03d}x{self.dice.randrange(10**6):06d}"

    def amount(self) -> int:
        """Nano-USD that appear nowhere else, also not as a part of another number."""
        self.number += 1
        return self.dice.randrange(10**6, 9 * 10**6) * 10**6 + self.number * 1000 + 7

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self.running.operator.post(path, json=body)
        assert answer.status_code in (200, 201), (path, body, answer.text)
        return answer.json()

    async def get(self, viewer: str, path: str) -> httpx.Response:
        """What the viewer is answered; asked once, since nothing changes here any more."""
        if (viewer, path) not in self.answers:
            self.answers[viewer, path] = await self.running.gate.get(path, headers=self.users[viewer])
        return self.answers[viewer, path]

    def sees(self, viewer: str, team: str, user: str) -> bool:
        """The model: one sees what is one's own, and all that is in a team that one leads."""
        return (bool(user) and user == viewer) or self.members.get(team, {}).get(viewer) == "lead"

    def sees_user(self, viewer: str, user: str) -> bool:
        led = [team for team in self.teams if self.members[team].get(viewer) == "lead"]
        return user == viewer or any(user in self.members[team] for team in led)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=seed_numbers(1))
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One for all tests: they only look at it."""
    async with running_control_plane(tmp_path_factory.mktemp("world") / "home") as running:
        yield await build(World(running, random.Random(request.param)))


async def build(world: World) -> World:
    dice = world.dice
    for _ in range(dice.randint(2, 3)):
        await add_team(world)
    for name in [world.word("user") for _ in range(dice.randint(3, 4))]:
        await add_user(world, name)
    for team in world.teams:
        for user in dice.sample(sorted(world.users), dice.randint(1, 3)):
            role = dice.choice(("lead", "member", "member"))
            world.members[team][user] = role
            await world.post(f"/admin/v1/teams/{team}/members", user_id=user, role=role)
        await add_budget(world, "team", team, team, "")
    for team in world.teams:
        for user in list(world.members[team]):
            await add_budget(world, "member", f"{team}/{user}", team, user)
            await add_key(world, team, user)
        await add_key(world, team, "")
    for user in world.users:
        await add_key(world, "", user)
        await add_budget(world, "user", user, "", user)
    await world.post("/admin/v1/users", id="spare")
    return world


async def add_team(world: World) -> None:
    team, alias, note = world.word("team"), world.word("alias"), world.word("note")
    await world.post("/admin/v1/teams", id=team, alias=alias, metadata={"note": note})
    world.teams.append(team)
    world.members[team] = {}
    world.aliases[team] = alias
    world.secrets.append((team, "", note))
    world.objects += [(team, "", f"/admin/v1/teams/{team}"), (team, "", f"/team/info?team_id={team}")]


async def add_user(world: World, name: str) -> None:
    note = world.word("note")
    await world.post("/admin/v1/users", id=name, metadata={"note": note})
    made = await world.post("/admin/v1/tokens", user_id=name)
    world.users[name] = bearer(made["token"])
    world.secrets += [("", name, note), ("", name, made["id"])]
    world.objects.append(("", name, f"/admin/v1/tokens/{made['id']}"))


async def add_budget(world: World, kind: str, scope_id: str, team: str, user: str) -> None:
    amount = world.amount()
    scope = {"kind": kind, "id": scope_id}
    money = {"amount_usd": f"{amount // 10**9}.{amount % 10**9:09d}", "window": {"kind": "month"}}
    made = await world.post("/admin/v1/budgets", scope=scope, allow_over_allocation=True, **money)
    limit = await world.post("/admin/v1/limits", scope=scope, tokens_per_minute=world.amount() // 10**4)
    world.secrets += [(team, user, made["id"]), (team, user, str(amount)), (team, user, limit["id"])]
    for path in (f"/admin/v1/budgets/{made['id']}", f"/admin/v1/limits/{limit['id']}"):
        world.objects += [(team, user, path), (team, user, f"{path}/history")]
    world.objects.append((team, user, f"/admin/v1/budgets/{made['id']}/credits"))


async def add_key(world: World, team: str, user: str) -> None:
    alias = world.word("key")
    made = await world.post("/admin/v1/keys", alias=alias, team_id=team, user_id=user)
    cost = world.dice.randrange(10**4, 10**5) * 1000 + world.number
    await world.running.call_of(made, cost_nanousd=cost)
    world.secrets += [(team, user, word) for word in (made["id"], alias, str(cost))]
    world.objects += [(team, user, f"/admin/v1/keys/{made['id']}"), (team, user, f"/key/info?key={made['id']}")]
    world.objects.append((team, user, f"/admin/v1/tasks/{id_text(task_of(made))}"))
    await add_budget(world, "key", made["id"], team, user)


def assert_hides(world: World, viewer: str, path: str, text: str) -> None:
    hidden = [word for team, user, word in world.secrets if not world.sees(viewer, team, user)]
    hidden += [name for name in world.users if not world.sees_user(viewer, name)]
    mine = {team for team in world.teams if viewer in world.members[team]}  # a member may know what its team is called
    hidden += [name for team in world.teams if team not in mine for name in (team, world.aliases[team])]
    for word in hidden:
        assert word not in text, (path, word, viewer)


async def test_no_answer_holds_a_name_or_a_figure_of_what_somebody_may_not_see(world):
    for viewer in world.users:
        for path in [*LISTS, *(one for _, _, one in world.objects)]:
            answer = await world.get(viewer, path)
            assert answer.status_code in (200, 403, 404), (path, answer.text)
            assert_hides(world, viewer, path, answer.text)
        for team, user, path in world.objects:
            if path.startswith("/admin/v1/keys/"):
                question = {"key_id": path.rsplit("/", 1)[1], "model": "claude"}
                said = await world.running.gate.post("/admin/v1/explain", json=question, headers=world.users[viewer])
                assert (said.status_code == 200) == world.sees(viewer, team, user), said.text
                assert_hides(world, viewer, "explain", said.text)
            status = (await world.get(viewer, path)).status_code
            assert (status == 200) == world.sees(viewer, team, user), (viewer, path, status)


async def test_what_somebody_may_see_is_in_the_lists(world):
    for viewer in world.users:
        texts = "".join([(await world.get(viewer, path)).text for path in LISTS])
        for team, user, word in world.secrets:
            if world.sees(viewer, team, user):
                assert word in texts, (viewer, word)


async def test_another_teams_object_is_answered_word_for_word_like_one_that_does_not_exist(world):
    for viewer in world.users:
        for team, user, path in world.objects:
            if world.sees(viewer, team, user):
                continue
            foreign = await world.get(viewer, path)
            name = path.split("?")[0].split("/")[-1] if "?" not in path else path.split("=")[1]
            parts = path.split("/")
            if parts[-1] in ("history", "credits"):
                name = parts[-2]
            missing = await world.get(viewer, path.replace(name, "0" * 26))
            assert (foreign.status_code, foreign.text) == (missing.status_code, missing.text), path
