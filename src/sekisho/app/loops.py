"""How a background loop says that it fails: once, however often it tries again, and once more when it works again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sekisho.errors import SekishoError

_REASON_CHARACTERS = 200


class Complaint:
    """What is wrong with one loop now."""

    def __init__(self, log: logging.Logger, task: str) -> None:
        """`task`: what the loop does, as the log says it: "booking the journal"."""
        self._log = log
        self._task = task
        self._said = ""

    def raise_for(self, error: Exception) -> str:
        """Say it, unless it was said already; what a person may read of it. An error that nobody expected is said with
        its traceback."""
        is_ours = isinstance(error, SekishoError)
        message = error.message if isinstance(error, SekishoError) else "internal error"
        said = message if is_ours else repr(error)
        if said != self._said:
            reason = f"{message} {_cause_of(error)}".strip()
            self._log.error("%s fails; trying again: %s", self._task, reason, exc_info=None if is_ours else error)
        self._said = said
        return message

    def settle(self) -> None:
        """It works; say so if it did not before."""
        if self._said:
            self._log.warning("%s works again", self._task)
        self._said = ""


async def repeat(step: Callable[[], Awaitable[None]], pause_s: float, complaint: Complaint) -> None:
    """Do something again and again, whatever goes wrong with it, until cancelled."""
    while True:
        try:
            await step()
            complaint.settle()
        except Exception as error:  # noqa: BLE001  a background loop: no failure of one may end the process
            complaint.raise_for(error)
        await asyncio.sleep(pause_s)


def _cause_of(error: BaseException) -> str:
    """The first cause of an error, in one line; empty when it has none."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if cause is error:
        return ""
    return f"({type(cause).__name__}: {str(cause).partition(chr(10))[0][:_REASON_CHARACTERS]})"
