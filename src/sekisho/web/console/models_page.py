"""Models, their deployments and how those do, and what each provider does with the data it is sent."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from starlette.responses import Response

from sekisho.access.policies import IN_REGION, geography_of
from sekisho.ledger.terms import DataTerms, load_terms
from sekisho.record.calls import AttemptRow, CallFilter
from sekisho.values import Deployment, Model
from sekisho.web.console.bars import percentile
from sekisho.web.console.edge import Visit
from sekisho.web.console.exports import csv_address, csv_file, wants_csv
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts

HOUR_US = 3_600_000_000
LOOKED_AT = 1_000  # calls of the last hour that health is read from


def model_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    return (Page("models", _Models(parts).show, place="models"),)


@dataclass(frozen=True)
class DeploymentRow:
    """One deployment. Prices: dollars per million tokens. `state`: unused, fine, shaky or failing in the last hour.
    `terms`: what its provider does with the data, None where that is not known; `processed`: where, in their words."""

    deployment: Deployment
    geography: str
    input_usd: str
    output_usd: str
    attempts: int
    failed: int
    p50_us: int
    state: str
    terms: DataTerms | None
    processed: str


@dataclass
class Place:
    """An account and Region of a provider that calls may go to."""

    provider: str
    account: str
    region: str
    deployments: int = 0
    attempts: int = 0
    failed: int = 0

    @property
    def state(self) -> str:
        return _state(self.attempts, self.failed)


@dataclass
class _Models:
    parts: Parts

    async def show(self, visit: Visit) -> Response:
        """Every model on offer, with its deployments in order of preference."""
        visit.need("settings:read")
        tried = await self._tried()
        wanted = visit.request.query_params.get("q", "")[:100].strip().lower()
        models = [one for one in self.parts.services.models() if wanted in one.name.lower()]
        terms = load_terms()
        by_provider = {one.provider: one for one in terms.providers}
        found = [
            (model, [_row(one, tried.get(one.id, ()), by_provider.get(one.provider)) for one in model.deployments])
            for model in models
        ]
        found.sort(key=lambda pair: (not any(row.attempts for row in pair[1]), pair[0].name))
        if wants_csv(visit):
            return csv_file("models", _CSV_HEAD, _export(found))
        used = {one.provider for model in self.parts.services.models() for one in model.deployments}
        return self.parts.drawing.page(
            visit,
            "models.html",
            models=found,
            deployments=sum(len(rows) for _, rows in found),
            attempts=sum(len(one) for one in tried.values()),
            failing=sum(row.state == "failing" for _, rows in found for row in rows),
            places=_places([row for _, rows in found for row in rows]),
            terms=[one for one in terms.providers if one.provider in used],
            names={one.provider: one.name for one in terms.providers},
            reviewed=terms.reviewed,
            wanted=wanted,
            csv=csv_address(visit),
        )

    async def _tried(self) -> dict[str, list[AttemptRow]]:
        """What was tried in the last hour, by deployment."""
        services = self.parts.services
        where = CallFilter(since=services.clock.now_us() - HOUR_US, is_ended=True)
        rows = await services.calls.recent(services.org_id, limit=LOOKED_AT, where=where)
        tried: dict[str, list[AttemptRow]] = defaultdict(list)
        for attempts in (await services.calls.attempts([row.id for row in rows])).values():
            for one in attempts:
                tried[one.deployment].append(one)
        return tried


def _row(deployment: Deployment, tried: Sequence[AttemptRow], terms: DataTerms | None) -> DeploymentRow:
    failed = sum(bool(one.error) for one in tried)
    geography = geography_of(deployment)
    price = deployment.price
    return DeploymentRow(
        deployment=deployment,
        geography=geography,
        input_usd=_per_million(price.base.input) if price else "",
        output_usd=_per_million(price.base.output) if price else "",
        attempts=len(tried),
        failed=failed,
        p50_us=percentile([one.duration_us for one in tried if not one.error], 50),
        state=_state(len(tried), failed),
        terms=terms,
        processed="unknown" if terms is None else terms.in_region if geography == IN_REGION else terms.profile,
    )


def _state(attempts: int, failed: int) -> str:
    share = failed / attempts if attempts else 0
    return "unused" if not attempts else "fine" if share < 0.02 else "shaky" if share < 0.5 else "failing"


def _places(rows: Sequence[DeploymentRow]) -> list[Place]:
    found: dict[tuple[str, str, str], Place] = {}
    for row in rows:
        one = row.deployment
        key = (one.provider, one.account, one.region)
        place = found.setdefault(key, Place(*key))
        place.deployments += 1
        place.attempts += row.attempts
        place.failed += row.failed
    return [found[key] for key in sorted(found)]


def _per_million(picousd: int) -> str:
    """Dollars per million tokens of pico-dollars per token, without needless zeros but at least two digits."""
    amount = (Decimal(picousd) / 1_000_000).normalize()
    return f"${amount:f}" if amount.as_tuple().exponent < -2 else f"${amount:.2f}"  # type: ignore[operator]


_CSV_HEAD = (
    *("model", "deployment", "provider", "region", "geography", "account", "input_usd_per_million"),
    *("output_usd_per_million", "price_version", "attempts_last_hour", "failed_last_hour", "state"),
    *("trains_models", "retention", "processed_in"),
)


def _export(found: Sequence[tuple[Model, Sequence[DeploymentRow]]]) -> list[tuple[object, ...]]:
    return [
        (
            *(model.name, row.deployment.id, row.deployment.provider, row.deployment.region, row.geography),
            *(row.deployment.account, row.input_usd.lstrip("$"), row.output_usd.lstrip("$")),
            row.deployment.price.version if row.deployment.price else "",
            *(row.attempts, row.failed, row.state),
            *((row.terms.trains, row.terms.retention, row.processed) if row.terms else ("unknown",) * 3),
        )
        for model, rows in found
        for row in rows
    ]
