"""Requests with unknown keys: counted, by address, and never more than so many rows a minute."""

from sekisho.calls.strangers import MOST_ADDRESSES, OTHERS, WINDOW_US, Strangers
from sekisho.ledger.journal import Unrecognised


def test_an_address_is_one_record_a_minute():
    strangers = Strangers()
    for at in (10, 20, 30):
        strangers.note("192.0.2.1", at)
    assert strangers.take("org", 10 + WINDOW_US - 1) == []
    assert strangers.take("org", 10 + WINDOW_US) == [Unrecognised("org", "192.0.2.1", 10, 30, 3)]
    assert strangers.take("org", 10 + 9 * WINDOW_US, at_once=True) == []


def test_many_addresses_are_counted_together():
    strangers = Strangers()
    for number in range(10_000):
        strangers.note(f"2001:db8::{number}", number)
    taken = strangers.take("org", 10_000, at_once=True)
    assert len(taken) == MOST_ADDRESSES + 1
    assert taken[-1].address == OTHERS
    assert sum(one.calls for one in taken) == 10_000
