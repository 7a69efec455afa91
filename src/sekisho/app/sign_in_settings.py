"""What the operator says of signing in: values only, so that a start imports nothing for them."""

from dataclasses import dataclass, field

from sekisho.access.identity_provider import OidcSettings
from sekisho.access.passwords import STRONG, Strength


@dataclass(frozen=True)
class Way:
    """How the identity provider is reached. `proxy_url`, `no_proxy`: as `upstream.proxy.Proxy` takes them; `ca_file`:
    certificates (PEM) that vouch for it beside those of the system."""

    proxy_url: str = field(default="", repr=False)
    no_proxy: str = ""
    ca_file: str = ""


DIRECT = Way()


@dataclass(frozen=True)
class SignInSettings:
    """What the operator says of signing in. `strength`: what one guess of a password costs. `oidc`: None: there is
    no identity provider."""

    public_url: str = ""
    session_idle_s: float = 3600.0
    session_life_s: float = 43_200.0
    strength: Strength = STRONG
    oidc: OidcSettings | None = None
    way: Way = DIRECT


DEFAULT = SignInSettings()
