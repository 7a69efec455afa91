"""Scopes, money and windows as the admin API writes them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.money import usd_text
from sekisho.errors import BadRequest
from sekisho.ledger.windows import check_window
from sekisho.values import END_OF_TIME, Scope, ScopeKind, Window
from sekisho.web.admin.times import iso, parse_since

_MOST_PERIOD_S = 3650 * 86_400


class ScopeFields(BaseModel):
    """Whose budget or limit it is. The id of a member is "team/user", that of a tag its name."""

    model_config = ConfigDict(extra="forbid")

    kind: ScopeKind
    id: Annotated[str, Field(min_length=1, max_length=401)]

    def scope(self) -> Scope:
        return Scope(self.kind, self.id)


class WindowFields(BaseModel):
    """How a budget's time is cut: "day", "week" (from Monday) and "month" by the calendar of `time_zone`; "period" by
    `period_s` seconds, again and again from `starts_at`; "fixed" once, from `starts_at` (always) to `ends_at` (never).
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["day", "week", "month", "period", "fixed"]
    time_zone: Annotated[str, Field(max_length=100)] | None = None
    period_s: Annotated[int, Field(ge=1, le=_MOST_PERIOD_S)] | None = None
    starts_at: str | None = None
    ends_at: str | None = None

    def window(self, time_zone: str, now_us: int) -> Window:
        """The window. Raises BadRequest, also for a field that has no meaning for its kind."""
        given = {name for name in self.model_fields_set - {"kind"} if getattr(self, name) is not None}
        odd = sorted(given - _MEANT[self.kind])
        if odd:
            raise BadRequest(f"A {self.kind} has no {odd[0]}.", param=f"window.{odd[0]}")
        if self.kind == "period" and self.period_s is None:
            raise BadRequest("A period has a length: period_s.", param="window.period_s")
        first = now_us if self.kind == "period" else 0
        window = Window(
            kind=self.kind,
            time_zone=self.time_zone or (time_zone if "time_zone" in _MEANT[self.kind] else "UTC"),
            period_s=self.period_s or 0,
            starts_at=_time(self.starts_at, "window.starts_at", first),
            ends_at=_time(self.ends_at, "window.ends_at", END_OF_TIME),
        )
        check_window(window)
        return window


_MEANT: dict[str, set[str]] = {
    "day": {"time_zone"},
    "week": {"time_zone"},
    "month": {"time_zone"},
    "period": {"period_s", "starts_at"},
    "fixed": {"starts_at", "ends_at"},
}


def render_scope(scope: Scope) -> dict[str, str]:
    return {"kind": scope.kind, "id": scope.id}


def render_window(window: Window) -> dict[str, Any]:
    """The window with the fields that mean something for its kind."""
    values = {
        "time_zone": window.time_zone,
        "period_s": window.period_s,
        "starts_at": iso(window.starts_at) if window.starts_at else None,
        "ends_at": iso(window.ends_at) if window.ends_at < END_OF_TIME else None,
    }
    return {"kind": window.kind} | {name: value for name, value in values.items() if name in _MEANT[window.kind]}


def render_money(name: str, nanousd: int) -> dict[str, Any]:
    """An amount twice: the exact integer, and dollars as a decimal string."""
    return {f"{name}_nanousd": nanousd, f"{name}_usd": usd_text(nanousd)}


def _time(text: str | None, param: str, default: int) -> int:
    at_us = parse_since(text, param)
    if at_us is None:
        return default
    if not 0 <= at_us <= END_OF_TIME:
        raise BadRequest("A time lies between the years 1970 and 9999.", param=param)
    return at_us
