import asyncio
import logging

import pytest

from sekisho.app.loops import Complaint, repeat
from sekisho.errors import StoreUnavailable

log = logging.getLogger(__name__)


def broken(cause: Exception) -> StoreUnavailable:
    error = StoreUnavailable("The database cannot be read.")
    error.__cause__ = cause
    return error


async def said_of(turns: list[Exception | None], caplog, monkeypatch) -> list[str]:
    """What the log holds after a loop whose turns ended like this."""
    left = iter(turns)

    async def step() -> None:
        if error := next(left):
            raise error

    async def no_wait(_seconds: float) -> None:
        waits.append(1)
        if len(waits) == len(turns):
            raise asyncio.CancelledError

    waits: list[int] = []
    monkeypatch.setattr("sekisho.app.loops.asyncio.sleep", no_wait)
    with pytest.raises(asyncio.CancelledError):
        await repeat(step, 1, Complaint(log, "looking"))
    return [record.getMessage() for record in caplog.records]


async def test_a_loop_that_fails_says_so_once_with_the_first_cause_and_says_when_it_works_again(caplog, monkeypatch):
    cut = broken(OSError("cut off\nwith details"))
    said = await said_of([cut, cut, None, None, cut], caplog, monkeypatch)
    failing = "looking fails; trying again: The database cannot be read. (OSError: cut off)"
    assert said == [failing, "looking works again", failing]


async def test_an_error_that_nobody_expected_ends_no_loop_and_is_said_with_its_traceback(caplog, monkeypatch):
    said = await said_of([KeyError("x"), KeyError("x"), ValueError("y"), None], caplog, monkeypatch)
    internal = "looking fails; trying again: internal error"
    assert said == [internal, internal, "looking works again"]
    assert "KeyError: 'x'" in caplog.text and "ValueError: y" in caplog.text
