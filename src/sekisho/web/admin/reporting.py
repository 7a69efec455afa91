"""How figures are shown to people, in the admin API: /admin/v1/settings/reporting."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.money import parse_usd, usd_text
from sekisho.access.roles import Principal
from sekisho.record.reporting import Rate, Reporting
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services

Text = Annotated[str, Field(max_length=20)]


class RateFields(BaseModel):
    """Yen for one US dollar, as a decimal string, from a day on."""

    model_config = ConfigDict(extra="forbid")

    day: Text
    jpy_per_usd: Text


class ReportingFields(BaseModel):
    """What to show from now on, in the place of what was shown. `band`: what one engineer is expected to cost in a
    month. `names_people`: whether reports may put people in an order of cost."""

    model_config = ConfigDict(extra="forbid")

    rates: Annotated[tuple[RateFields, ...], Field(max_length=500)] = ()
    band_low_usd: Any = "500"
    band_high_usd: Any = "1000"
    names_people: bool = False


def reporting_router(services: Services, authority: Authority) -> APIRouter:
    """For whoever sees everybody's spend, and whoever sets everybody's budgets."""
    router = APIRouter(prefix="/admin/v1/settings", tags=["settings"])
    reader = Annotated[Principal, Depends(authority.require("spend:read"))]
    writer = Annotated[Principal, Depends(authority.require("budgets:write"))]

    @router.get("/reporting")
    async def get_reporting(_who: reader) -> dict[str, Any]:
        """How figures are shown."""
        return _render(await services.reporting.get())

    @router.put("/reporting")
    async def set_reporting(body: ReportingFields, who: writer) -> dict[str, Any]:
        """Show figures so from now on."""
        wanted = Reporting(
            rates=tuple(Rate(one.day, one.jpy_per_usd) for one in body.rates),
            band_low_nanousd=parse_usd(body.band_low_usd, "band_low_usd"),
            band_high_nanousd=parse_usd(body.band_high_usd, "band_high_usd"),
            names_people=body.names_people,
        )
        await services.reporting.set(wanted, who.actor)
        return _render(await services.reporting.get())

    return router


def _render(reporting: Reporting) -> dict[str, Any]:
    return {
        "rates": [{"day": rate.day, "jpy_per_usd": rate.jpy_per_usd} for rate in reporting.rates],
        "band_low_usd": usd_text(reporting.band_low_nanousd),
        "band_high_usd": usd_text(reporting.band_high_nanousd),
        "names_people": reporting.names_people,
    }
