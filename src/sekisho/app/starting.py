"""What the control process is about to do before it answers, kept in a file of the home for whoever waits for it.

While a database is brought up to date the process may be busy for minutes and can answer nobody, so it says beforehand
what takes so long. Above: the supervisor.
"""

from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

Step = Literal["database", "migration", "days", "snapshot"]
STEPS: tuple[Step, ...] = get_args(Step)


class Steps:
    """The steps of one start, by the file that holds the present one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, step: Step) -> None:
        """Say what comes next. A disk that is full is no reason not to start."""
        with suppress(OSError):
            self._path.write_text(step)

    def end(self) -> None:
        """It has started, or has not begun yet."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def find(self) -> Step | None:
        """The present step; None when nothing was said."""
        try:
            said = self._path.read_text()
        except (OSError, UnicodeDecodeError):
            return None
        return next((step for step in STEPS if step == said), None)


def steps_of(home: Path) -> Steps:
    """Those of the control process of this home."""
    return Steps(home / "run" / "starting")
