"""What the rules judge: a request in neutral form, with the model that judges it."""

import msgspec

from sekisho.dialects.exchange import Request
from sekisho.values import Model, Quirks


class Subject(msgspec.Struct, frozen=True):
    """`model_id` is the id that was called; `betas` are Anthropic's flags from the body."""

    request: Request
    model: Model
    model_id: str
    betas: frozenset[str] = frozenset()

    @property
    def quirks(self) -> Quirks:
        return self.model.quirks

    @property
    def is_claude(self) -> bool:
        return "anthropic." in self.model_id
