"""A fault of the provider that arrives in one read with good events before it: what is good goes out first."""

from collections.abc import Sized
from types import TracebackType

from sekisho.errors import SekishoError


class Failing:
    """The error that ended a stream, once something good came before it in the same read.

    `with failing.behind(out):` around what fills `out`: an error of the tree passes if `out` is empty; else it is kept
    in `error`, so that `out` can be returned, and is raised at the next entry."""

    __slots__ = ("_out", "error")

    def __init__(self) -> None:
        self.error: SekishoError | None = None
        self._out: Sized = ()

    def behind(self, out: Sized) -> "Failing":
        """Watch over the filling of `out`."""
        self._out = out
        return self

    def __enter__(self) -> None:
        if self.error is not None:
            raise self.error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, SekishoError) and self.error is None and self._out:
            self.error = error
            return True
        return False
