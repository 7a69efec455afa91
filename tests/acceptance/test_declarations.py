"""The organisation as one document: plan, apply, drift, prune, export, through the admin API."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sekisho.access.distribution import read_snapshot
from sekisho.app.control_plane import snapshot_path
from tests.acceptance.control_plane import MASTER, Running, bearer, running_control_plane
from tests.thorough import seeds

USD = 1_000_000_000
DOCUMENT = """\
organisation:
  time_zone: Asia/Tokyo
  budgets:
    yearly: {amount: "12,000 USD", per: once, from: 2026-04-01, until: 2027-04-01}
    monthly: {amount: 1000 USD, per: month, alert_at: [80%, 100%]}
  limits:
    all: {requests_per_minute: 6000, parallel: 200}
budget_templates:
  starter: {max_budget: 10 USD, per: 30d, requests_per_minute: 20}
users:
  alice: {alias: Alice, email: alice@example.com}
  bob: {budget_template: starter}
service_accounts:
  ci: {metadata: {owner: infra, active: true, floor: 1.5, rooms: [1, 2]}}
tags:
  project-x:
    description: 新製品
    budgets: {total: {amount: 0.5 USD, per: once, hard: false}}
teams:
  dept-a:
    alias: 部門A
    leads: [alice]
    models: [claude]
    metadata: {cost_centre: "0101"}
    budgets:
      monthly: {amount: 600 USD, per: month}
      claude: {amount: 100 USD, per: 12h, model: claude}
    limits:
      default: {requests_per_minute: 600, tokens_per_minute: 1000000}
    members:
      bob: {budgets: {monthly: {amount: 50 USD, per: month}}}
  dept-b:
    alias: 部門B
    members: {bob: , ci: }
"""


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        running.gate.headers.update(bearer(MASTER))
        yield running


async def plan(running: Running, document: str, **options: Any) -> Any:
    response = await running.operator.post("/admin/v1/plan", json={"document": document} | options)
    assert response.status_code == 200, response.text
    return response.json()


async def apply(running: Running, document: str, **options: Any) -> Any:
    response = await running.gate.post("/admin/v1/apply", json={"document": document} | options)
    assert response.status_code == 200, response.text
    return response.json()


async def export(running: Running) -> str:
    response = await running.operator.get("/admin/v1/export")
    assert response.status_code == 200, response.text
    return response.text


async def problems(running: Running, document: str, language: str = "en") -> list[tuple[int, str]]:
    """What is wrong with a document; and that it changed nothing."""
    before = await export(running)
    response = await running.operator.post(
        "/admin/v1/apply", json={"document": document}, headers={"accept-language": language}
    )
    assert response.status_code == 400, response.text
    assert await export(running) == before
    return [(one["line"], one["message"]) for one in response.json()["problems"]]


def names(answer: Any) -> list[tuple[str, str]]:
    return [(change["action"], change["name"]) for change in answer["changes"]]


async def post(running: Running, path: str, **fields: Any) -> Any:
    response = await running.operator.post(path, json=fields)
    assert response.status_code in (200, 201), response.text
    return response.json()


async def test_an_applied_document_is_in_force_and_a_second_apply_changes_nothing(running):
    planned = await plan(running, DOCUMENT)
    assert {action for action, _ in names(planned)} == {"create"}
    assert (await export(running)).count("dept-a") == 0
    done = await apply(running, DOCUMENT, plan=planned["id"])
    assert done["changes"] == planned["changes"]
    snapshot = read_snapshot(snapshot_path(running.home))
    budgets = {
        (one.scope.kind, one.scope.id, one.amount_nanousd, one.window.kind, one.is_hard) for one in snapshot.budgets
    }
    assert budgets == {
        ("org", "default", 12_000 * USD, "fixed", True),
        ("org", "default", 1000 * USD, "month", True),
        ("tag", "project-x", USD // 2, "fixed", False),
        ("team", "dept-a", 600 * USD, "month", True),
        ("team", "dept-a", 100 * USD, "period", True),
        ("member", "dept-a/bob", 50 * USD, "month", True),
        ("user", "bob", 10 * USD, "month", True),
    }
    yearly = next(one for one in snapshot.budgets if one.amount_nanousd == 12_000 * USD)
    assert (yearly.window.starts_at, yearly.window.ends_at) == (1_774_969_200_000_000, 1_806_505_200_000_000)
    assert {
        one.window.time_zone for one in snapshot.budgets if one.scope.kind == "team" and one.window.kind == "month"
    } == {"Asia/Tokyo"}
    assert {(one.scope.kind, one.requests_per_minute, one.parallel) for one in snapshot.limits} == {
        ("org", 6000, 200),
        ("team", 600, None),
        ("user", 20, None),
    }
    team = (await running.operator.get("/admin/v1/teams/dept-a")).json()
    assert (team["alias"], team["leads"], team["models"]) == ("部門A", ["alice"], ["claude"])
    ci = (await running.operator.get("/admin/v1/users/ci")).json()
    assert (ci["kind"], ci["metadata"]) == (
        "service",
        {"owner": "infra", "active": True, "floor": 1.5, "rooms": [1, 2]},
    )
    assert (await apply(running, DOCUMENT))["changes"] == []
    assert (await plan(running, DOCUMENT))["changes"] == []


async def test_what_somebody_changed_by_api_is_shown_as_drift_and_set_right(running):
    await apply(running, DOCUMENT)
    await running.operator.patch("/admin/v1/teams/dept-a", json={"alias": "Other"})
    budgets = (await running.operator.get("/admin/v1/budgets?scope_kind=member")).json()["budgets"]
    await running.operator.patch(f"/admin/v1/budgets/{budgets[0]['id']}", json={"amount_usd": 99})
    planned = await plan(running, DOCUMENT)
    assert [(one["name"], one["drifted"]) for one in planned["changes"]] == [
        ("team dept-a", ["alias"]),
        ("budget monthly of member dept-a/bob", ["amount"]),
    ]
    assert planned["changes"][1]["before"]["amount"] == "99 USD"
    assert planned["changes"][1]["after"]["amount"] == "50 USD"
    edited = DOCUMENT.replace("amount: 50 USD", "amount: 60 USD").replace("部門A", "Other")
    planned = await plan(running, edited)
    assert [(one["name"], one["drifted"]) for one in planned["changes"]] == [
        ("budget monthly of member dept-a/bob", ["amount"]),
    ]
    await apply(running, edited)
    assert (await plan(running, edited))["changes"] == []


async def test_prune_deletes_what_an_apply_made_and_never_what_others_made(running):
    await post(running, "/admin/v1/users", id="charlie")
    await apply(running, DOCUMENT)
    key = await post(running, "/admin/v1/keys", alias="of-bob", team_id="dept-b", user_id="bob")
    smaller = DOCUMENT[: DOCUMENT.index("  dept-b:")].replace(
        "      claude: {amount: 100 USD, per: 12h, model: claude}\n", ""
    )
    kept = await apply(running, smaller)
    assert kept["changes"] == []
    assert {one["name"] for one in kept["kept"]} == {
        "team dept-b",
        "member dept-b/bob",
        "member dept-b/ci",
        "budget claude of team dept-a",
    }
    assert set(kept["unmanaged"]) == {"user charlie", "key of-bob"}
    pruned = await apply(running, smaller, prune=True)
    assert set(names(pruned)) == {("delete", "budget claude of team dept-a"), ("delete", "member dept-b/ci")}
    assert {one["name"]: one["because_of"] for one in pruned["kept"]} == {
        "team dept-b": ["member dept-b/bob", "key of-bob"],
        "member dept-b/bob": ["key of-bob"],
    }
    await running.operator.delete(f"/admin/v1/keys/{key['id']}")
    assert set(names(await apply(running, smaller, prune=True))) == {
        ("delete", "team dept-b"),
        ("delete", "member dept-b/bob"),
    }
    assert (await running.operator.get("/admin/v1/teams/dept-b")).status_code == 404
    assert (await running.operator.get("/admin/v1/users/charlie")).status_code == 200
    assert (await plan(running, smaller, prune=True))["changes"] == []


async def test_what_was_there_before_is_pruned_only_once_it_was_adopted(running):
    await post(running, "/admin/v1/teams", id="old")
    await apply(running, "teams: {old: }")
    assert names(await plan(running, "", prune=True)) == []
    await apply(running, "teams: {old: }", adopt=True)
    assert names(await plan(running, "", prune=True)) == [("delete", "team old")]


async def test_a_plan_that_is_no_longer_true_is_not_applied(running):
    planned = await plan(running, DOCUMENT)
    await post(running, "/admin/v1/teams", id="dept-a")
    response = await running.operator.post("/admin/v1/apply", json={"document": DOCUMENT, "plan": planned["id"]})
    assert response.status_code == 409
    assert (await running.operator.get("/admin/v1/users/alice")).status_code == 404


async def test_emergency_actions_stay_unless_the_file_speaks_of_them(running):
    await apply(running, DOCUMENT)
    key = await post(running, "/admin/v1/keys", alias="k", expires_in="30d")
    await post(running, f"/admin/v1/keys/{key['id']}/block")
    await running.operator.patch("/admin/v1/teams/dept-a", json={"blocked": True})
    with_key = DOCUMENT + "keys:\n  k: {tags: [project-x]}\n"
    assert names(await apply(running, with_key)) == [("change", "key k")]
    shown = (await running.operator.get(f"/admin/v1/keys/{key['id']}")).json()
    assert (shown["blocked"], shown["expires_at"], shown["tags"]) == (True, key["expires_at"], ["project-x"])
    assert (await running.operator.get("/admin/v1/teams/dept-a")).json()["blocked"] is True
    stated = with_key.replace("tags: [project-x]", "tags: [project-x], blocked: false, expires: never")
    await apply(running, stated)
    shown = (await running.operator.get(f"/admin/v1/keys/{key['id']}")).json()
    assert (shown["blocked"], shown["expires_at"]) == (False, None)


async def test_a_new_key_opens_nothing_until_it_is_given_a_secret(running):
    document = "keys: {ci: {user: robot, models: [claude], budgets: {monthly: {amount: 5 USD, per: month}}}}"
    assert names(await apply(running, document)) == [
        ("create", "user robot"),
        ("create", "key ci"),
        ("create", "budget monthly of key ci"),
    ]
    assert names(await apply(running, document)) == []
    made = (await running.operator.get("/admin/v1/keys?alias=ci")).json()["keys"][0]
    assert (made["hint"], made["user_id"]) == ("", "robot")
    rotated = await post(running, f"/admin/v1/keys/{made['id']}/rotate")
    assert (await running.gate.get("/v1/sekisho/status", headers=bearer(rotated["key"]))).status_code == 200
    assert names(await apply(running, document)) == []
    assert set(names(await apply(running, "", prune=True))) == {
        ("delete", "budget monthly of key ci"),
        ("delete", "key ci"),
        ("delete", "user robot"),
    }
    assert (await running.gate.get("/v1/sekisho/status", headers=bearer(rotated["key"]))).status_code == 401


async def test_steps_of_a_budget_are_kept_shown_and_judged(running):
    document = "teams: {a: {budgets: {m: {amount: 5 USD, per: month, steps: [90% slow_down, 100% refuse]}}}}"
    await apply(running, document)
    assert "steps: [90% slow_down, 100% refuse]" in await export(running)
    assert names(await apply(running, document.replace("5 USD", "6 USD"))) == [("change", "budget m of team a")]
    shown = (await running.operator.get("/admin/v1/budgets")).json()["budgets"][0]
    assert shown["thresholds"] == [{"at": 90, "action": "slow_down"}, {"at": 100, "action": "refuse"}]
    wrong = await problems(running, document.replace("100% refuse", "100% step_down gpt-9"))
    assert wrong == [(1, "There is no model 'gpt-9' on offer.")]
    assert "80% slow_down" in (await problems(running, document.replace("100% refuse", "refuse")))[0][1]


POLICIES = """\
organisation:
  policies: {bedrock: {providers: [bedrock], geographies: [jp, in-region]}}
users:
  alice: {roles: [platform_admin, cost_manager in a]}
  bob: {}
teams:
  a:
    leads: [alice]
    policies:
      office:
        agents: [cline, claude-*]
        hours: [mon-fri 09:00-18:00 Asia/Tokyo, sat 22:00-06:00]
        holidays: [2026-12-29/2027-01-03]
        families: [claude]
        prefers: ["region:ap-northeast-1"]
        max_output_tokens: 8000
"""


async def test_policies_and_roles_are_stated_granted_and_taken_back(running):
    await apply(running, POLICIES)
    assert names(await apply(running, POLICIES)) == []
    snapshot = read_snapshot(snapshot_path(running.home))
    assert {(one.scope.kind, one.name, len(one.hours)) for one in snapshot.policies} == {
        ("org", "bedrock", 0),
        ("team", "office", 2),
    }
    (office,) = (one for one in snapshot.policies if one.name == "office")
    assert (office.holidays, office.families) == (("2026-12-29/2027-01-03",), ("claude",))
    assert (office.prefers, office.max_output_tokens) == (("region:ap-northeast-1",), 8000)
    granted = (await running.operator.get("/admin/v1/role-grants")).json()["grants"]
    assert {(one["user_id"], one["role"], one["team_id"]) for one in granted} == {
        ("alice", "platform_admin", None),
        ("alice", "cost_manager", "a"),
        ("alice", "team_lead", "a"),
    }
    exported = await export(running)
    assert "roles: [cost_manager in a, platform_admin]" in exported
    assert names(await plan(running, exported, prune=True)) == []
    await post(running, "/admin/v1/role-grants", user_id="bob", role="auditor")
    assert names(await plan(running, POLICIES)) == []  # nobody spoke of the roles of bob
    taken = POLICIES.replace("roles: [platform_admin, cost_manager in a]", "roles: []").replace("leads: [alice]", "")
    assert names(await apply(running, taken, prune=True)) == [("change", "user alice"), ("delete", "member a/alice")]
    granted = (await running.operator.get("/admin/v1/role-grants")).json()["grants"]
    assert [(one["user_id"], one["role"]) for one in granted] == [("bob", "auditor")]
    history = (await running.operator.get("/admin/v1/role-grants/history?user_id=alice")).json()["changes"]
    assert {(one["action"], one["role"]) for one in history[:3]} == {
        ("revoke", "platform_admin"),
        ("revoke", "cost_manager"),
        ("revoke", "team_lead"),
    }


async def test_policies_and_roles_that_cannot_be_are_refused(running):
    wrong = POLICIES.replace("bedrock]", "openai, nobody]").replace("sat 22:00", "someday 22:00")
    wrong = wrong.replace("platform_admin,", "team_lead in a, king,")
    assert [line for line, _ in await problems(running, wrong)] == [2, 4, 4, 12]
    wrong = POLICIES.replace("region:ap", "planet:ap").replace("2026-12-29/", "2028-12-29/").replace("8000", "0")
    assert [line for line, _ in await problems(running, wrong)] == [16]
    wrong = wrong.replace(": 0", ": 1")
    assert [line for line, _ in await problems(running, wrong)] == [13, 15]
    missing = await problems(running, POLICIES.replace("cost_manager in a", "auditor in nowhere"))
    assert missing == [(4, "There is no team 'nowhere'.")]


async def test_a_user_that_is_pruned_leaves_no_right_behind(running):
    await apply(running, "users: {alice: {roles: [auditor]}}")
    token = (await post(running, "/admin/v1/tokens", user_id="alice"))["token"]
    assert (await running.gate.get("/admin/v1/me", headers=bearer(token))).status_code == 200
    await apply(running, "", prune=True)
    assert (await running.gate.get("/admin/v1/me", headers=bearer(token))).status_code == 401
    await apply(running, "users: {alice: {}}")
    assert (await running.gate.get("/admin/v1/me", headers=bearer(token))).status_code == 401
    assert (await running.operator.get("/admin/v1/role-grants")).json()["grants"] == []


async def test_what_an_apply_did_is_in_the_audit_log(running):
    await apply(running, POLICIES)
    await apply(running, "", prune=True)
    entries = (await running.operator.get("/admin/v1/audit?limit=500")).json()["entries"]
    done = {(one["action"], one["id"]) for one in entries}
    assert {("user.create", "alice"), ("team.create", "a"), ("member.create", "a/alice")} <= done
    assert {("user.delete", "alice"), ("team.delete", "a"), ("member.delete", "a/alice")} <= done
    assert sum(one["action"] == "team.delete" for one in entries) == 1
    assert {"policy.create", "policy.delete", "role.grant", "role.revoke"} <= {action for action, _ in done}


async def test_aliases_swap_in_one_apply(running):
    first = "teams: {a: {alias: x}, b: {alias: y}}"
    await apply(running, first)
    swapped = "teams: {a: {alias: y}, b: {alias: x}}"
    assert names(await apply(running, swapped)) == [("change", "team a"), ("change", "team b")]
    assert names(await apply(running, swapped)) == []
    assert await problems(running, "teams:\n  a: {alias: z}\n  b: {alias: z}") == [
        (3, "The teams a and b have the same alias 'z'.")
    ]


async def test_a_template_that_changes_changes_all_that_point_to_it(running):
    await apply(running, DOCUMENT)
    larger = DOCUMENT.replace("max_budget: 10 USD", "max_budget: 25 USD").replace(
        "alice@example.com}", "a@example.com, budget_template: starter}"
    )
    assert [name for _, name in names(await apply(running, larger))] == ["budget_template starter", "user alice"]
    budgets = (await running.operator.get("/admin/v1/budgets?scope_kind=user")).json()["budgets"]
    assert {(one["scope"]["id"], one["amount_usd"]) for one in budgets} == {("alice", "25"), ("bob", "25")}
    gone = larger.replace(
        "  starter: {max_budget: 25 USD, per: 30d, requests_per_minute: 20}\n", "  other: {parallel: 1}\n"
    )
    gone = gone.replace("budget_template: starter", "budget_template: other")
    assert ("delete", "budget_template starter") in names(await apply(running, gone, prune=True))
    assert (await running.operator.get("/admin/v1/budgets?scope_kind=user")).json()["budgets"] == []
    assert names(await plan(running, gone, prune=True)) == []


async def test_more_handed_out_than_there_is_is_refused_unless_the_file_says_so(running):
    over = DOCUMENT.replace("amount: 50 USD, per: month", "amount: 601 USD, per: month")
    found = await problems(running, over)
    assert [line for line, _ in found] == [over[: over.index("bob: {budgets")].count("\n") + 1]
    assert "would be 1 USD more than its own" in found[0][1]
    meant = over.replace("601 USD, per: month", "601 USD, per: month, allow_over_allocation: true")
    await apply(running, meant)
    assert (await plan(running, meant))["changes"] == []


async def test_an_increase_beyond_what_there_is_and_a_key_beyond_its_team_are_refused_too(running):
    document = """\
teams:
  red:
    budgets: {all: {amount: 10 USD, per: month}}
    members:
      alice:
        budgets: {own: {amount: 6 USD, per: month, increase: {amount: 5 USD, until: 2030-01-01}}}
"""
    assert [line for line, _ in await problems(running, document)] == [6]
    assert "budget own of member red/alice" in str(await plan(running, document.replace("{amount: 5", "{amount: 4")))
    keys = "keys: {k: {team: red, budgets: {own: {amount: 11 USD, per: month}}}}\n"
    team = "teams: {red: {budgets: {all: {amount: 10 USD, per: month}}}}\n"
    answer = await running.operator.post("/admin/v1/apply", json={"document": team + keys})
    assert answer.status_code == 400, answer.text
    assert (await running.operator.get("/admin/v1/keys")).json()["keys"] == []


async def test_every_problem_is_told_with_its_line_in_both_languages(running):
    bad = """\
organisation:
  time_zone: Mars/Base
teams:
  a/b: {}
  c:
    alais: x
    budgets:
      m: {amount: -5, per: month}
      n: {amount: .nan, per: fortnight}
      o: {amount: 1e400 USD, per: month, model: gpt-9}
      p: {per: month}
    limits: {l: {}}
keys:
  k: {team: nowhere, expires: soon}
"""
    found = await problems(running, bad)
    assert [line for line, _ in found] == [2, 4, 6, 8, 9, 9, 10, 11, 12, 14]
    assert found[2][1] == "teams.c.alais has no meaning here. Did you mean alias?"
    japanese = await problems(running, bad, "ja")
    assert japanese[0] == (2, "organisation.time_zone：タイムゾーン「Mars/Base」はありません。")
    assert [line for line, _ in japanese] == [line for line, _ in found]


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ("teams:\n  a: {}\n  a: {}\n", 3),
        ("a: &x [1]\nb: [*x, *x]\n", 1),
        ("teams: !!python/object:os.system {}\n", 1),
        ("teams: {}\n---\nteams: {}\n", 2),
        ("teams:\n\t- x", 2),
        ("- a\n", 1),
        ("teams:\n  ? [a]\n  : b\n", 2),
        ("teams: " + "[" * 10_000, 1),
        ("teams: " + "{a: " * 10_000, 1),
        ("users:\n  a: {email: " + '"\\0"' + "}\n", 2),
        ("users:\n  a: {alias: \x01}\n", 2),
        ("users:\n  a: {alias: [b]}\n", 2),
        ("users:\n  '': {}\n", 2),
        ("users: {a: {metadata: {x: '" + "y" * 20_000 + "'}}}\n", 1),
        ("users: {a: {alias: '" + "y" * 1_000_000 + "'}}\n", 1),
    ],
)
async def test_what_is_not_the_file_it_should_be_is_refused_with_its_line(running, document, line):
    assert (await problems(running, document))[0][0] == line


async def test_a_lone_surrogate_is_refused(running):
    response = await running.operator.post(
        "/admin/v1/apply", content=b'{"document": "users: {a: {alias: \\"\\ud800\\"}}"}'
    )
    assert response.status_code == 400


async def test_only_who_may_read_everything_exports_and_only_administrators_apply(running):
    key = await post(running, "/admin/v1/keys", alias="dev")
    for path in ("/admin/v1/plan", "/admin/v1/apply"):
        response = await running.gate.post(path, json={"document": ""}, headers=bearer(key["key"]))
        assert response.status_code == 403
    assert (await running.gate.get("/admin/v1/export", headers=bearer(key["key"]))).status_code == 403


ODD = (
    "plain",
    "部門",
    "a b",
    "1001",
    "null",
    "true",
    "# not a comment",
    "a: b",
    '"quoted"',
    "'",
    "line\nbreak",
    "é\u2028x",
    "- x",
    "~",
    "1e5",
    "😀",
    "\x7f",
    "<<",
    "no",
    "0x1f",
    "*a",
    "&a",
    "!t",
    "%d",
    "@x",
    "`",
    "a,b",
    "{x}",
    "[y]",
    "\\n",
    "end:",
    "2027-01-01",
)


def _metadata(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(8 if depth < 4 else 5)
    if kind == 5:
        return [_metadata(draw, depth + 1) for _ in range(draw.randrange(3))]
    if kind > 5:
        return {
            draw.choice(ODD) * draw.choice((1, 1, 1, 200)): _metadata(draw, depth + 1) for _ in range(draw.randrange(4))
        }
    return [draw.choice(ODD), draw.randrange(-(10**20), 10**20), draw.uniform(-1e9, 1e9), None, draw.random() < 0.5][
        kind
    ]


def _free(draw: random.Random) -> dict[str, Any]:
    return {draw.choice(ODD): _metadata(draw) for _ in range(draw.randrange(4))}


async def _random_organisation(running: Running, draw: random.Random) -> None:
    """Build an organisation through the API, as different people would."""
    fields: dict[str, Any]
    ids = [name for name in ODD if name.isprintable()]
    for number in range(draw.randrange(6)):
        kind = draw.choice(("person", "service"))
        fields = {"alias": draw.choice(ODD), "email": draw.choice(("", "a@example.com")), "metadata": _free(draw)}
        await post(running, "/admin/v1/users", id=f"{draw.choice(ids)} {number}", kind=kind, **fields)
    for number in range(draw.randrange(4)):
        members = [
            {"user_id": user, "role": draw.choice(("lead", "member"))} for user in draw.sample(ids, draw.randrange(4))
        ]
        models = draw.sample(("claude", "other", "claude"), draw.randrange(3))
        fields = {"alias": f"{draw.choice(ODD)}{number}", "metadata": _free(draw), "blocked": draw.random() < 0.3}
        fields["cut_streams"] = draw.choice((None, True, False))
        await post(running, "/admin/v1/teams", id=f"t{number}", members=members, models=models, **fields)
        for member in members:
            if draw.random() < 0.5:
                await _random_rule(running, draw, {"kind": "member", "id": f"t{number}/{member['user_id']}"})
        await _random_rule(running, draw, {"kind": "team", "id": f"t{number}"})
        if draw.random() < 0.5:
            await post(
                running,
                "/team/update",
                team_id=f"t{number}",
                max_budget=draw.randrange(1, 99),
                budget_duration=draw.choice(("30d", "7h", "1mo", "2mo")),
                allow_over_allocation=True,
            )
    await post(running, "/admin/v1/tags", name="tag", description=draw.choice(ODD))
    await _random_rule(running, draw, {"kind": "tag", "id": "tag"})
    await _random_rule(running, draw, {"kind": "org", "id": "default"})
    await post(
        running,
        "/budget/new",
        budget_id="shared",
        max_budget=draw.choice((1, 0.1, 0)),
        budget_duration="9h",
        rpm_limit=0,
        model_max_budget={"claude": {"budget_limit": 2, "time_period": "1d"}},
        model_tpm_limit={"claude": 7},
    )
    for number in range(draw.randrange(3)):
        fields = {"key_alias": f"{draw.choice(ODD)}{number}"} if draw.random() < 0.7 else {}
        await post(
            running,
            "/key/generate",
            metadata=_free(draw),
            tags=["x", "tag"],
            user_id=draw.choice(ids),
            duration=draw.choice(("30d", None)),
            soft_budget=3,
            budget_id=draw.choice(("shared", None)),
            **fields,
        )
        newest = (await running.operator.get("/admin/v1/keys?limit=1")).json()["keys"][0]
        await _random_rule(running, draw, {"kind": "key", "id": newest["id"]})


async def _random_rule(running: Running, draw: random.Random, scope: dict[str, str]) -> None:
    window: dict[str, Any] = {"kind": draw.choice(("day", "week", "month", "period", "fixed"))}
    if window["kind"] == "period":
        window["period_s"] = draw.choice((1, 59, 3600, 86_400, 90_061))
    elif window["kind"] == "fixed":
        window |= {"starts_at": "2026-01-02T03:04:05.678901Z"} if draw.random() < 0.5 else {}
    elif draw.random() < 0.5:
        window["time_zone"] = draw.choice(("Asia/Tokyo", "America/Sao_Paulo"))
    fields: dict[str, Any] = {
        "amount_usd": draw.choice(("0", "0.000000001", "9000000", "12.5")),
        "thresholds": draw.sample((1, 50, 100, 1000), draw.randrange(3)),
        "is_hard": draw.random() < 0.5,
        "model": draw.choice(("", "claude")),
        "name": draw.choice(("", draw.choice(ODD))),
        "allow_over_allocation": True,
    }
    if draw.random() < 0.4:
        fields["increase"] = {"amount_usd": "1.5", "until": "7d"}
    await post(running, "/admin/v1/budgets", scope=scope, window=window, **fields)
    rates: dict[str, Any] = {
        name: draw.choice((0, 5)) for name in ("requests_per_minute", "nanousd_per_task", "calls_per_task")
    }
    rates["parallel"] = draw.choice((None, 3))
    await post(running, "/admin/v1/limits", scope=scope, name=draw.choice(("", draw.choice(ODD))), **rates)
    await _random_policy(running, draw, scope)


async def _random_policy(running: Running, draw: random.Random, scope: dict[str, str]) -> None:
    odd = [text for text in ODD if text and min(text) >= " "]
    every: dict[str, Any] = {
        "models": ["claude-*", draw.choice(odd)],
        "families": ["claude", "no?a"],
        "providers": ["bedrock"],
        "regions": ["ap-northeast-1", "*"],
        "geographies": ["in-region", "jp"],
        "accounts": [draw.choice(odd)],
        "agents": ["cline"],
        "prefers": ["region:ap-northeast-1", f"account:{draw.choice(odd)}"],
        "max_output_tokens": draw.choice((1, 8_000)),
    }
    fields = dict(draw.sample(sorted(every.items()), draw.randrange(1, len(every))))
    if draw.random() < 0.5:
        fields["hours"] = draw.sample(("mon-fri 09:00-18:00", "sat,sun 22:00-06:00", "mon 00:00-24:00"), 2)
        fields["time_zone"] = draw.choice(("Asia/Tokyo", "America/Sao_Paulo"))
        fields["holidays"] = draw.sample(("2026-12-29/2027-01-03", "2026-03-20"), draw.randrange(3))
    await post(running, "/admin/v1/policies", scope=scope, name=draw.choice(("", draw.choice(ODD))), **fields)


@seeds(4)
async def test_an_export_applies_with_no_change_and_rebuilds_the_organisation_elsewhere(running, tmp_path, seed):
    await _random_organisation(running, random.Random(seed))
    exported = await export(running)
    planned = await plan(running, exported, prune=True)
    assert (planned["changes"], planned["unmanaged"]) == ([], []), exported
    await apply(running, exported, adopt=True)
    assert await export(running) == exported
    async with running_control_plane(tmp_path / "elsewhere") as other:
        other.gate.headers.update(bearer(MASTER))
        await apply(other, exported)
        assert await export(other) == exported


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_the_example_of_the_documentation_can_be_applied(running, language):
    page = (Path(__file__).parents[2] / "docs" / language / "organisation-as-code.md").read_text("utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    done = await apply(running, example)
    assert ("create", "limit slow of key ci-build") in names(done)
    assert names(await apply(running, example)) == []
    assert names(await plan(running, await export(running))) == []
