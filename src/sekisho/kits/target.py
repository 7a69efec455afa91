"""What a kit is told and what it answers: which files of an agent's configuration change, and how.

A kit is pure: it reads no file and opens no connection. `apply.py` writes, backs up and undoes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PROVIDER_ID = "sekisho"
AGENT_HEADER = "x-sekisho-agent"


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence in the two languages a person may read."""

    en: str
    ja: str


class CannotEdit(ValueError):
    """An existing file is written in a way that cannot be changed without losing something."""

    def __init__(self, reason: Text) -> None:
        super().__init__(reason.en)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Offer:
    """A model the gateway offers to this key. Prices: US dollars per million tokens. 0 tokens or None: not said."""

    name: str
    context_tokens: int = 0
    max_output_tokens: int = 0
    input_usd: float | None = None
    output_usd: float | None = None
    cache_read_usd: float | None = None
    cache_write_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where the agent shall point: `url` is the gateway's root, without a trailing slash and without /v1."""

    url: str
    key: str = field(repr=False)
    model: str
    home: Path
    offers: tuple[Offer, ...] = ()

    @property
    def offer(self) -> Offer:
        """The chosen model; its sizes are unknown when the gateway did not list it."""
        return next((offer for offer in self.offers if offer.name == self.model), Offer(self.model))

    @property
    def models(self) -> tuple[Offer, ...]:
        """The chosen model first, then the others, for agents with a model menu."""
        return (self.offer, *(offer for offer in self.offers if offer.name != self.model))

    def best(self, word: str) -> str:
        """The newest offered model with `word` in its name, else the chosen model."""
        return best_named(self.offers, word) or self.model


@dataclass(frozen=True, slots=True)
class FileEdit:
    """One file to change. `change` takes the old text ("" for no file) and gives the new; raises CannotEdit."""

    path: Path
    change: Callable[[str], str]
    holds_key: bool = False


@dataclass(frozen=True, slots=True)
class Kit:
    """How one agent is set up. `notes` are sentences to show afterwards."""

    name: str
    title: str
    plan: Callable[[Target], tuple[FileEdit, ...]]
    notes: Callable[[Target], tuple[Text, ...]]


def best_named(offers: tuple[Offer, ...], word: str) -> str | None:
    """The offered name with `word` in it whose version numbers are the highest, or None."""
    named = [offer.name for offer in offers if word in offer.name.lower()]
    return max(named, key=_version, default=None)


def default_model(offers: tuple[Offer, ...]) -> str | None:
    """The model to use when the person names none: the newest Claude Sonnet, else a Claude, else the first."""
    return best_named(offers, "sonnet") or best_named(offers, "claude") or (offers[0].name if offers else None)


def _version(name: str) -> tuple[tuple[int, ...], int]:
    """The numbers in a name, then shorter names first: claude-sonnet-4-6 beats claude-sonnet-4-5-20250929."""
    digits = "".join(char if char.isdigit() else " " for char in name)
    return tuple(int(number) for number in digits.split()), -len(name)
