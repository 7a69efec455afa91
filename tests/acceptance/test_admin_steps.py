"""Steps of budgets in the admin API and on the command line."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sekisho.access.distribution import read_snapshot
from sekisho.app.control_plane import snapshot_path
from sekisho.ledger.catalog import load_catalog
from sekisho.values import BudgetStep
from tests.acceptance.control_plane import Running, running_control_plane

STEPS = [{"at": 90, "action": "step_down", "model": "claude-haiku-4-5"}, {"at": 95, "action": "slow_down"}]
BUDGET = {"scope": {"kind": "org", "id": "default"}, "amount_usd": "10", "window": {"kind": "month"}}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    models = load_catalog().bedrock_models("us-east-1", "http://127.0.0.1:1", "simulator")
    async with running_control_plane(tmp_path / "home", models=models) as running:
        yield running


async def test_steps_are_kept_and_shown_beside_the_alerts_and_reach_the_calls(running: Running) -> None:
    given = [{"at": 80, "action": "alert"}, *STEPS, 50]
    made = (await running.operator.post("/admin/v1/budgets", json=BUDGET | {"thresholds": given})).json()
    assert made["thresholds"] == [50, 80, *STEPS]
    snapshot = read_snapshot(snapshot_path(running.home))
    assert snapshot is not None
    (in_force,) = snapshot.budgets
    assert in_force.thresholds == (50, 80)
    assert in_force.steps == (BudgetStep(90, "step_down", "claude-haiku-4-5"), BudgetStep(95, "slow_down"))
    url = f"/admin/v1/budgets/{made['id']}"
    changed = await running.operator.patch(url, json={"thresholds": [*STEPS[1:], 10]})
    assert changed.json()["thresholds"] == [10, STEPS[1]]
    assert (await running.operator.get(url)).json()["thresholds"] == [10, STEPS[1]]
    history = (await running.operator.get(url + "/history")).json()["changes"]
    assert [change["thresholds"] for change in history] == [[10, STEPS[1]], [50, 80, *STEPS]]


async def test_an_alias_in_a_step_becomes_the_models_public_name(running: Running) -> None:
    model = next(model for model in load_catalog().bedrock_models("us-east-1", "http://x", "s") if model.aliases)
    step = {"at": 90, "action": "step_down", "model": model.aliases[0]}
    answer = await running.operator.post("/admin/v1/budgets", json=BUDGET | {"thresholds": [step]})
    assert answer.json()["thresholds"] == [step | {"model": model.name}]


@pytest.mark.parametrize(
    ("thresholds", "fields"),
    [
        ([{"at": 90, "action": "step_down"}], {}),
        ([{"at": 90, "action": "step_down", "model": "unknown"}], {}),
        ([{"at": 90, "action": "slow_down", "model": "claude-haiku-4-5"}], {}),
        ([{"at": 90, "action": "refuse"}], {"is_hard": False}),
        ([{"at": 90, "action": "step_down", "model": "claude-opus-4-5"}], {"model": "claude-haiku-4-5"}),
        ([{"at": 90, "action": "step_down", "model": "claude-haiku-4-5"}], {"model": "claude-haiku-4-5"}),
        ([STEPS[1], STEPS[1]], {}),
    ],
)
async def test_a_step_that_makes_no_sense_is_refused(
    running: Running, thresholds: list[Any], fields: dict[str, Any]
) -> None:
    body = BUDGET | fields | {"thresholds": thresholds}
    answer = await running.operator.post("/admin/v1/budgets", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "thresholds"), answer.text
    assert (await running.operator.get("/admin/v1/budgets")).json()["budgets"] == []


async def test_a_budget_with_a_refusing_step_cannot_become_soft(running: Running) -> None:
    body = BUDGET | {"thresholds": [{"at": 90, "action": "refuse"}]}
    made = (await running.operator.post("/admin/v1/budgets", json=body)).json()
    url = f"/admin/v1/budgets/{made['id']}"
    assert (await running.operator.patch(url, json={"is_hard": False})).status_code == 400
    assert (await running.operator.patch(url, json={"is_hard": False, "thresholds": [90]})).status_code == 200
