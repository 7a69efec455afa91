"""The models and their prices, as reviewed data: what is offered in a Region, under which name, at which price.

Above: the configuration and `app`, which turn it into the snapshot's models. Below: `catalog_data/*.json`, shipped in
the package, never fetched. It does not know budgets, keys or what an account has subscribed to.

The data say prices in USD per 1,000,000 tokens, as decimal strings, so that a reviewer can compare them with the
provider's page; here they become whole pico-USD per token.
"""

import functools
from collections.abc import Iterator
from decimal import Decimal
from importlib import resources
from typing import Literal, NamedTuple

import msgspec

from sekisho.values import Deployment, Model, Price, PriceStep, Quirks, TokenPrices, Wire

SCHEMA = "sekisho-catalog/1"
IN_REGION = "in-region"
ANTHROPIC_API = "anthropic-api"
ANTHROPIC_ENDPOINT = "https://api.anthropic.com"

# Geographic profiles that may be called from a Region, nearest first; the first prefix that fits decides. Regions that
# are not here (Canada, South America, Middle East, Africa) have only global profiles: a us. profile would leave the
# geography.
_GEOGRAPHIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("us-gov-", ("us-gov",)),
    ("us-iso", ()),
    ("us-", ("us",)),
    ("eu-isoe-", ()),
    ("eu-", ("eu",)),
    ("ap-northeast-1", ("jp", "apac")),
    ("ap-northeast-3", ("jp", "apac")),
    ("ap-southeast-2", ("au", "apac")),
    ("ap-southeast-4", ("au", "apac")),
    ("ap-south-", ("in", "apac")),
    ("ap-", ("apac",)),
)
_SEPARATE_PARTITIONS = ("us-gov-", "us-iso", "eu-isoe-", "cn-")


class TierPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """USD per 1,000,000 tokens in another service tier (batch, flex, priority, ultrafast)."""

    input: Decimal
    output: Decimal


class ListPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """USD per 1,000,000 tokens, as the provider lists them. None: not listed, which never means free."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None


class LongContextPrices(ListPrices, frozen=True, kw_only=True):
    """The prices of the whole call once its prompt has more than `above_tokens` tokens."""

    above_tokens: int


class ScopePrices(ListPrices, frozen=True):
    """The prices of one scope: the in-Region id, a geographic or the global profile, or the maker's own API."""

    above: tuple[LongContextPrices, ...] = ()
    batch: TierPrices | None = None
    flex: TierPrices | None = None
    priority: TierPrices | None = None
    ultrafast: TierPrices | None = None
    source: str = ""


class ListedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the catalog.

    `in_region`: the Regions where the bare id may be called, ["*"] for every commercial Region.
    `profiles`: the prefixes under which there is an inference profile. `prices` by scope: "in-region", a profile's
    prefix, "anthropic-api". `end_of_life` as YYYY-MM-DD.
    """

    id: str
    name: str
    family: str
    in_region: tuple[str, ...]
    profiles: tuple[str, ...]
    context_tokens: int
    max_output_tokens: int
    quirks: Quirks
    prices: dict[str, ScopePrices]
    source: str
    retrieved: str
    aliases: tuple[str, ...] = ()
    end_of_life: str = ""
    notes: tuple[str, ...] = ()

    @property
    def wire(self) -> Wire:
        """The preferred wire on Bedrock. Claude can be called on both."""
        return "bedrock_invoke" if self.family == "claude" else "bedrock_converse"

    @property
    def bedrock_ids(self) -> tuple[str, ...]:
        """Everything that Bedrock takes as this model's id."""
        return (self.id, *(self.bedrock_id(profile) for profile in self.profiles))

    def bedrock_id(self, scope: str) -> str:
        """The id under which Bedrock serves this model in this price scope."""
        return self.id if scope == IN_REGION else f"{scope}.{self.id}"

    @property
    def all_aliases(self) -> tuple[str, ...]:
        """Every other name that clients and LiteLLM configurations use for this model."""
        paths = ("bedrock", "bedrock/converse", *(("bedrock/invoke",) if self.family == "claude" else ()))
        names = [*self.bedrock_ids, *(f"{path}/{id}" for id in self.bedrock_ids for path in paths), *self.aliases]
        if self.family == "claude":
            names.append(f"anthropic.{self.name}")
        return tuple(name for name in dict.fromkeys(names) if name != self.name)


class CatalogFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rows of one maker. `version` is the date of the review. `mantle_only`: ids that exist, but only there."""

    schema: Literal["sekisho-catalog/1"]
    version: str
    maker: str
    unit: Literal["USD per 1,000,000 tokens"]
    models: tuple[ListedModel, ...]
    mantle_only: tuple[str, ...] = ()


class Found(NamedTuple):
    """A row, and the price scope that the id stands for; empty if it was a name that fits every scope."""

    listed: ListedModel
    scope: str


class Catalog:
    """The rows, indexed by every id and alias."""

    def __init__(self, files: tuple[CatalogFile, ...]) -> None:
        self.version = max(file.version for file in files)
        self.models = tuple(listed for file in files for listed in file.models)
        self.mantle_only = frozenset(id for file in files for id in file.mantle_only)
        self._versions = {listed.id: file.version for file in files for listed in file.models}
        self._index: dict[str, Found] = {}
        for listed in self.models:
            self._index[listed.id] = Found(listed, IN_REGION)
            for profile in listed.profiles:
                self._index[listed.bedrock_id(profile)] = Found(listed, profile)
        for listed in self.models:
            for alias in (listed.name, *listed.all_aliases):
                self._index.setdefault(alias, Found(listed, ""))

    def find(self, name: str) -> Found | None:
        """The row behind a Bedrock id, a profile id, a public name or an alias."""
        return self._index.get(name)

    def is_retired(self, listed: ListedModel) -> bool:
        """Whether the model's end of life had come when its row was reviewed."""
        return bool(listed.end_of_life) and listed.end_of_life <= self._versions[listed.id]

    def price(self, listed: ListedModel, scope: str) -> Price | None:
        """What the row charges in this scope, None if it lists nothing there: never derived from another scope."""
        prices = listed.prices.get(scope)
        if prices is None:
            return None
        return Price(
            version=f"catalog-{self._versions[listed.id]}",
            scope=scope,
            base=token_prices(prices),
            steps=tuple(PriceStep(step.above_tokens, token_prices(step)) for step in prices.above),
        )

    def published_at(self, listed: ListedModel, scope: str) -> str:
        """The public address of the list that the prices of this scope were taken from; empty where the row tells
        none."""
        prices = listed.prices.get(scope)
        told = (prices.source or listed.source) if prices else ""
        return told if told.startswith("https://") else ""

    def bedrock_models(
        self, region: str, endpoint: str | None, credential: str, account: str = "", allow_global: bool = True
    ) -> tuple[Model, ...]:
        """The models that Bedrock offers in one Region: never the mantle endpoint's own, never retired ones.

        Deployments in order of preference: in-Region, geographic profiles from the nearest, global profile.
        `endpoint` None: the Region's own. `allow_global` False keeps calls in the geography."""
        models = []
        for listed in self.models:
            if self.is_retired(listed):
                continue
            deployments = tuple(
                self.bedrock_deployment(listed, scope, region, endpoint, credential, account)
                for scope in offered_scopes(listed, region, allow_global)
            )
            if deployments:
                models.append(public_model(listed, deployments))
        return tuple(models)

    def bedrock_deployment(
        self, listed: ListedModel, scope: str, region: str, endpoint: str | None, credential: str, account: str = ""
    ) -> Deployment:
        """The row at one Region's Bedrock endpoint, under its in-Region id or one of its profiles."""
        upstream_model = listed.bedrock_id(scope)
        return Deployment(
            id="/".join(part for part in ("bedrock", account, region, upstream_model) if part),
            provider="bedrock",
            wire=listed.wire,
            endpoint=endpoint or bedrock_endpoint(region),
            upstream_model=upstream_model,
            region=region,
            account=account,
            credential=credential,
            price=self.price(listed, scope),
        )

    def anthropic_models(self, endpoint: str, credential: str) -> tuple[Model, ...]:
        """The Claude models at Anthropic's own API, under the names of that API."""
        return tuple(
            public_model(
                listed,
                (
                    Deployment(
                        id=f"anthropic/{listed.name}",
                        provider="anthropic",
                        wire="anthropic_messages",
                        endpoint=endpoint,
                        upstream_model=anthropic_api_name(listed),
                        credential=credential,
                        price=self.price(listed, ANTHROPIC_API),
                    ),
                ),
            )
            for listed in self.models
            if ANTHROPIC_API in listed.prices and not self.is_retired(listed)
        )


@functools.cache
def load_catalog() -> Catalog:
    """The data files of the package, read once per process. Raises msgspec.ValidationError or ValueError for broken
    data."""
    folder = resources.files("sekisho.ledger").joinpath("catalog_data")
    decoder = msgspec.json.Decoder(CatalogFile)
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
    return Catalog(tuple(decoder.decode(folder.joinpath(name).read_bytes()) for name in names))


def public_model(listed: ListedModel, deployments: tuple[Deployment, ...]) -> Model:
    """The row as a public model with these deployments."""
    return Model(
        name=listed.name,
        family=listed.family,
        context_tokens=listed.context_tokens,
        max_output_tokens=listed.max_output_tokens,
        quirks=listed.quirks,
        deployments=deployments,
        aliases=listed.all_aliases,
    )


def anthropic_api_name(listed: ListedModel) -> str:
    """The id at Anthropic's API: the dated name where there is one."""
    return listed.id.removeprefix("anthropic.").split("-v1", 1)[0].split("-v2", 1)[0]


def bedrock_endpoint(region: str) -> str:
    """The address of a Region's bedrock-runtime."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://bedrock-runtime.{region}.{suffix}"


def token_prices(listed: ListPrices) -> TokenPrices:
    """Whole pico-USD per token. A cache price that is not listed is never free: reads and writes then cost what input
    costs, one-hour writes at least what five-minute writes cost."""
    write_5m = listed.input if listed.cache_write_5m is None else listed.cache_write_5m
    write_1h = max(listed.input, write_5m) if listed.cache_write_1h is None else listed.cache_write_1h
    return TokenPrices(
        input=_pico(listed.input),
        output=_pico(listed.output),
        cache_read=_pico(listed.input if listed.cache_read is None else listed.cache_read),
        cache_write_5m=_pico(write_5m),
        cache_write_1h=_pico(write_1h),
    )


def _pico(usd_per_million: Decimal) -> int:
    """Pico-USD per token. Raises ValueError for a price that is negative or finer than that."""
    pico = usd_per_million * 1_000_000
    if pico < 0 or pico != int(pico):
        raise ValueError(f"{usd_per_million} USD per 1,000,000 tokens is not a whole number of pico-USD per token")
    return int(pico)


def offered_scopes(listed: ListedModel, region: str, allow_global: bool = True) -> Iterator[str]:
    """The price scopes under which a Region offers the model, in order of preference."""
    is_commercial = not region.startswith(_SEPARATE_PARTITIONS)
    if region in listed.in_region or ("*" in listed.in_region and is_commercial):
        yield IN_REGION
    geographies = next((scopes for prefix, scopes in _GEOGRAPHIES if region.startswith(prefix)), ())
    yield from (scope for scope in geographies if scope in listed.profiles)
    if allow_global and is_commercial and "global" in listed.profiles:
        yield "global"
