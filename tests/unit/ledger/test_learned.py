"""What is learned of agents and models: quantiles of the last calls, as the standard library computes them."""

import random

from sekisho.ledger.learned import Learned


def test_a_few_calls_say_nothing() -> None:
    learned = Learned()
    for _ in range(7):
        learned.note("cline", "large", 5, 50)
    assert learned.cost_nanousd("cline", "large", 1_000) == 1_000
    assert learned.output_tokens("cline", "large") == 0
    assert learned.output_tokens("codex", "large") == 0


def test_the_quantiles_are_those_of_the_last_calls_and_no_estimate_is_above_the_bound() -> None:
    chance = random.Random(5)
    learned = Learned()
    values = [chance.randint(1, 10_000) for _ in range(8 + 16 * 40)]
    for value in values:
        learned.note("cline", "large", value, 2 * value)
    last = sorted(values[-256:])
    assert learned.cost_nanousd("cline", "large", 10**9) == last[256 * 90 // 100]
    assert learned.output_tokens("cline", "large") == 2 * last[256 * 99 // 100]
    assert sum(value > learned.cost_nanousd("cline", "large", 10**9) for value in last) <= 26
    assert learned.cost_nanousd("cline", "large", 7) == 7


def test_agents_and_models_are_kept_apart() -> None:
    learned = Learned()
    for _ in range(8):
        learned.note("cline", "large", 100, 10)
        learned.note("codex", "large", 900, 90)
    assert (learned.output_tokens("cline", "large"), learned.output_tokens("codex", "large")) == (10, 90)
    assert learned.output_tokens("cline", "small") == 0


def test_as_many_pairs_are_kept_as_there_is_room_for_and_the_oldest_goes_first() -> None:
    learned = Learned()
    for _ in range(8):
        learned.note("kept", "large", 1, 1)
        learned.note("lost", "large", 1, 1)
    for number in range(1_999):
        if number == 1_000:
            learned.note("kept", "large", 1, 1)
        learned.note(f"agent-{number}", "large", 1, 1)
    assert (learned.output_tokens("kept", "large"), learned.output_tokens("lost", "large")) == (1, 0)
