"""Every provider that a call may go to has data terms."""

from typing import get_args

from sekisho.ledger.terms import load_terms
from sekisho.values import Provider


def test_every_provider_has_data_terms_once() -> None:
    assert sorted(one.provider for one in load_terms().providers) == sorted(get_args(Provider))


def test_what_is_claimed_has_a_source() -> None:
    assert all(one.source or one.trains == "unknown" for one in load_terms().providers)
