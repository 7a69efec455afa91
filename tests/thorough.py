"""How often chance is tried: a little in `make test`, twenty times as much in `make soak`."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

_TIMES = 20 if os.environ.get("SEKISHO_TEST_THOROUGH") else 1
settings.register_profile("sekisho", max_examples=40 * _TIMES, deadline=None)


def examples(few: int) -> int:
    """How many examples a property gets that needs another number than most."""
    return few * _TIMES


def seed_numbers(few: int) -> range:
    """So many seeds, for a fixture that draws."""
    return range(few * _TIMES)


def seeds(few: int) -> Callable[[Any], Any]:
    """Run a test that draws by itself with so many seeds."""

    def marked(test: Any) -> Any:
        return pytest.mark.seeds(pytest.mark.parametrize("seed", seed_numbers(few))(test))

    return marked
