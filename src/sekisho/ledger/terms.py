"""What each provider says it does with what it is sent: reviewed facts, shipped in the package, never fetched.

They are the provider's own words in the words of this file; a contract, or a setting of the account, may say otherwise.
"""

from importlib import resources
from typing import Literal

import msgspec

from sekisho.values import Provider

Answer = Literal["no", "yes", "unknown"]


class DataTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One provider. `trains`: whether content trains models by default. `shared_with_maker`: whether the model's maker
    gets it. `in_region`, `profile`: where it is processed, in the Region itself and through an inference profile.
    `depends_on_account`: whether a setting or contract of the account changes this."""

    provider: Provider
    name: str
    trains: Answer
    shared_with_maker: Answer
    retention: Literal["none", "30_days", "unknown"]
    in_region: Literal["same_region", "provider_regions", "unknown"]
    profile: Literal["profile_regions", "provider_regions", "unknown"]
    depends_on_account: bool
    source: str


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file. `reviewed`: the day on which somebody compared it with the sources."""

    schema: Literal["sekisho-data-terms/1"]
    reviewed: str
    providers: tuple[DataTerms, ...]


def load_terms() -> Terms:
    """Read the file. Raises msgspec.ValidationError for a broken one."""
    return msgspec.json.decode(resources.files("sekisho.ledger").joinpath("data_terms.json").read_bytes(), type=Terms)
