"""Cells that begin like a formula, as spreadsheets in any language read them."""

import pytest

from sekisho.web.csv_cells import harmless


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_cell_begins_like_a_formula(sign):
    assert harmless(f"{sign}cmd|calc") == f"'{sign}cmd|calc"


@pytest.mark.parametrize("text", ["", "alice", "-1.25", "-3", "0.5", "a=1", "部門A"])
def test_names_and_numbers_stay_as_they_are(text):
    assert harmless(text) == text
