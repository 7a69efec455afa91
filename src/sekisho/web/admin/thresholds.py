"""Thresholds of a budget in the admin API: a per cent alone is an alert, an object says what else happens there."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec.structs import replace
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sekisho.access.steps import checked_steps
from sekisho.values import Budget, BudgetStep, Model

_MOST_PERCENT = 1000
PerCent = Annotated[int, Field(ge=1, le=_MOST_PERCENT)]


class ThresholdFields(BaseModel):
    """What happens once so many per cent of the amount are spent. `model`: where a step_down goes."""

    model_config = ConfigDict(extra="forbid")

    at: PerCent
    action: Literal["alert", "slow_down", "step_down", "refuse"] = "alert"
    model: Annotated[str, Field(max_length=200)] = ""


def _alert(given: Any) -> Any:
    """A number alone as the alert that it stands for."""
    if not isinstance(given, int) or isinstance(given, bool):
        return given
    if not 1 <= given <= _MOST_PERCENT:
        raise ValueError(f"a per cent from 1 to {_MOST_PERCENT} is needed")
    return {"at": given}


Threshold = Annotated[ThresholdFields, BeforeValidator(_alert, json_schema_input_type=PerCent | ThresholdFields)]
Thresholds = Annotated[tuple[Threshold, ...], Field(max_length=20)]


def with_thresholds(budget: Budget, given: Thresholds, models: Sequence[Model]) -> Budget:
    """The budget with these thresholds in place of its own. Raises BadRequest."""
    alerts: set[int] = set()
    steps: list[BudgetStep] = []
    for one in given:
        if one.action == "alert":
            alerts.add(one.at)
        else:
            steps.append(BudgetStep(one.at, one.action, one.model))
    return replace(budget, thresholds=tuple(sorted(alerts)), steps=checked_steps(budget, steps, models))


def render_thresholds(budget: Budget) -> list[Any]:
    """As they were given: alerts as numbers, then the steps."""
    return [*budget.thresholds, *map(_render_step, budget.steps)]


def _render_step(step: BudgetStep) -> dict[str, Any]:
    shown = {"at": step.at_percent, "action": step.action}
    return shown | {"model": step.model} if step.model else shown
