"""What the steps of a budget may be: judged when it is written, so that no call meets one that makes no sense.

Pure. Above: whoever writes budgets. Below: the values.
"""

from collections.abc import Sequence

from sekisho.errors import BadRequest
from sekisho.values import Budget, BudgetStep, Model, Price

PARAM = "thresholds"


def checked_steps(budget: Budget, steps: Sequence[BudgetStep], models: Sequence[Model]) -> tuple[BudgetStep, ...]:
    """The steps by per cent, with models by their public names. Raises BadRequest.

    Refused are: two of one sort at one per cent, refusing by a soft budget, a step-down to a model that is not on
    offer, has no price, takes no tools, or costs no less than the budget's own."""
    found = sorted((_named(step, models) for step in steps), key=lambda step: (step.at_percent, step.action))
    if len({(step.at_percent, step.action) for step in found}) < len(found):
        raise BadRequest("The same action stands twice at one per cent.", param=PARAM)
    for step in found:
        if step.action == "refuse" and not budget.is_hard:
            raise BadRequest("A soft budget never refuses calls. Make it a hard one.", param=PARAM)
        if step.action == "step_down":
            _check_target(budget, step, models)
        elif step.model:
            raise BadRequest("Only a step_down has a model.", param=PARAM)
    return tuple(found)


def _named(step: BudgetStep, models: Sequence[Model]) -> BudgetStep:
    """The step with its model's public name."""
    known = _find(step.model, models)
    return BudgetStep(step.at_percent, step.action, known.name) if known else step


def _check_target(budget: Budget, step: BudgetStep, models: Sequence[Model]) -> None:
    if not step.model:
        raise BadRequest("A step_down names the model that it goes to.", param=PARAM)
    target = _find(step.model, models)
    if target is None:
        raise BadRequest(f"There is no model '{step.model[:60]}' on offer.", param=PARAM)
    price = _dearest(target)
    if price is None:
        raise BadRequest(f"The price of the model '{target.name}' is not known.", param=PARAM)
    if not target.quirks.tools:
        raise BadRequest(f"The model '{target.name}' takes no tools, so agents cannot use it.", param=PARAM)
    own = _find(budget.model, models) if budget.model else None
    own_price = _dearest(own) if own else None
    if own and own.name == target.name:
        raise BadRequest("A budget of one model cannot step down to the same model.", param=PARAM)
    if own_price and price.base.input + price.base.output >= own_price.base.input + own_price.base.output:
        raise BadRequest(f"The model '{target.name}' is no cheaper than '{budget.model}'.", param=PARAM)


def _find(name: str, models: Sequence[Model]) -> Model | None:
    return next((model for model in models if name and (name == model.name or name in model.aliases)), None)


def _dearest(model: Model) -> Price | None:
    prices = [deployment.price for deployment in model.deployments if deployment.price is not None]
    return max(prices, key=lambda price: price.base.input + price.base.output, default=None)
