"""What counts as handing out more than there is."""

import pytest

from sekisho.access.allocation import excess_nanousd, parents, worse_by_nanousd
from sekisho.values import Budget, Scope, Window

ORG, RED, BLUE = Scope("org", "o"), Scope("team", "red"), Scope("team", "blue")
ALICE = Scope("member", "red/alice")
MONTH, DAY = Window("month"), Window("day")


def budget(scope: Scope, amount: int, window: Window = MONTH, model: str = "") -> Budget:
    return Budget("", scope, amount, window, model)


@pytest.mark.parametrize(
    ("budgets", "parent", "excess"),
    [
        ([budget(ORG, 10), budget(RED, 6), budget(BLUE, 4)], ORG, 0),
        ([budget(ORG, 10), budget(RED, 6), budget(BLUE, 5)], ORG, 1),
        ([budget(RED, 99)], ORG, 0),  # nothing to compare with
        ([budget(ORG, 10), budget(RED, 99, DAY)], ORG, 0),
        ([budget(ORG, 10), budget(RED, 99), budget(RED, 3)], ORG, 0),  # the least binds
        ([budget(ORG, 10), budget(ORG, 2), budget(RED, 3)], ORG, 1),
        ([budget(ORG, 10), budget(RED, 8, model="a"), budget(RED, 5, model="b")], ORG, 3),
        ([budget(ORG, 10), budget(RED, 8, model="a"), budget(RED, 5)], ORG, 0),
        ([budget(ORG, 4, model="a"), budget(RED, 9, model="b"), budget(RED, 5, model="a")], ORG, 1),
        ([budget(RED, 5), budget(ALICE, 6), budget(Scope("member", "blue/bob"), 99)], RED, 1),
        ([budget(ORG, 5), budget(ALICE, 6)], ORG, 0),  # members share out their team's money
        ([budget(ORG, 5, Window("period", period_s=60)), budget(RED, 6, Window("period", period_s=61))], ORG, 0),
        ([budget(ORG, 5, Window("period", period_s=60)), budget(RED, 6, Window("period", period_s=60))], ORG, 1),
        ([budget(ORG, 5, Window("fixed", ends_at=9)), budget(RED, 6, Window("fixed", ends_at=8))], ORG, 0),
    ],
)
def test_the_excess_is_what_children_have_beyond_their_parent(budgets, parent, excess):
    assert excess_nanousd(budgets, parent, 0) == excess


KEYS = {"a1": ALICE, "a2": ALICE, "r": RED, "b": Scope("member", "red/bob")}


def of_key(name: str, amount: int, model: str = "") -> Budget:
    return budget(Scope("key", name), amount, model=model)


@pytest.mark.parametrize(
    ("budgets", "parent", "excess"),
    [
        ([budget(ALICE, 10), of_key("a1", 6), of_key("a2", 5)], ALICE, 1),
        ([budget(RED, 10), of_key("a1", 6), of_key("r", 5)], RED, 1),  # alice has no budget: the team's money
        ([budget(RED, 10), budget(ALICE, 6), of_key("a1", 6), of_key("r", 4)], RED, 0),  # out of alice's 6
        ([budget(RED, 10), budget(ALICE, 6), of_key("b", 5)], RED, 1),
        ([budget(RED, 10), of_key("unknown", 99)], RED, 0),  # of no team
        ([budget(ALICE, 5), of_key("a1", 9, "m")], ALICE, 4),
        ([budget(ORG, 5), of_key("a1", 9)], ORG, 0),
    ],
)
def test_keys_are_served_out_of_their_members_budget_else_out_of_the_teams(budgets, parent, excess):
    assert excess_nanousd(budgets, parent, 0, KEYS) == excess


def more(scope: Scope, amount: int, increase: int, until: int) -> Budget:
    return Budget("", scope, amount, MONTH, increase_nanousd=increase, increase_until=until)


@pytest.mark.parametrize(
    ("before", "after", "excess"),
    [
        ([budget(ORG, 10), budget(RED, 6)], [budget(ORG, 10), more(RED, 6, 5, 100)], 1),
        ([budget(ORG, 10), budget(RED, 6)], [budget(ORG, 10), more(RED, 6, 4, 100)], 0),
        ([budget(ORG, 10), budget(RED, 6)], [budget(ORG, 10), more(RED, 6, 5, 50)], 0),  # it is over already
        ([more(ORG, 10, 5, 200), budget(RED, 6)], [more(ORG, 10, 5, 200), more(RED, 6, 9, 100)], 0),
        ([more(ORG, 10, 5, 200), budget(RED, 6)], [more(ORG, 10, 5, 200), more(RED, 6, 9, 300)], 5),  # from 200 on
        ([more(ORG, 10, 5, 200), budget(RED, 15)], [more(ORG, 10, 5, 200), budget(RED, 15)], 0),  # it was so before
        ([budget(ORG, 10), more(RED, 6, 9, 100)], [budget(ORG, 10), more(RED, 6, 9, 200)], 5),  # for longer
        ([budget(ORG, 10), more(RED, 6, 9, 100)], [budget(ORG, 10), budget(RED, 11)], 1),  # afterwards
        ([more(ORG, 10, 5, 200), budget(RED, 12)], [budget(ORG, 10), budget(RED, 12)], 2),
    ],
)
def test_an_increase_counts_while_it_lasts_and_only_what_gets_worse_is_told(before, after, excess):
    assert worse_by_nanousd(before, after, ORG, 50) == excess


def test_a_budget_takes_part_in_the_allocation_of_all_that_it_gets_from():
    assert parents(RED, "o") == (ORG, RED)
    assert parents(ALICE, "o") == (RED, ALICE)
    assert parents(Scope("key", "a1"), "o", KEYS) == (ALICE, RED)
    assert parents(Scope("key", "r"), "o", KEYS) == (RED,)
    assert parents(Scope("key", "unknown"), "o", KEYS) == ()
    assert parents(Scope("tag", "x"), "o", KEYS) == ()
