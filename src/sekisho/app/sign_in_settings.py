"""What the operator says of signing in: values only, so that a start imports nothing for them."""

from dataclasses import dataclass

from sekisho.access.identity_provider import OidcSettings
from sekisho.access.passwords import STRONG, Strength


@dataclass(frozen=True)
class SignInSettings:
    """What the operator says of signing in. `strength`: what one guess of a password costs. `oidc`: None: there is
    no identity provider."""

    public_url: str = ""
    session_idle_s: float = 3600.0
    session_life_s: float = 43_200.0
    strength: Strength = STRONG
    oidc: OidcSettings | None = None


DEFAULT = SignInSettings()
