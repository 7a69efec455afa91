"""Everything that signing in needs, as one bundle."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sekisho.access.accounts import Accounts
from sekisho.access.device_login import DeviceLogins
from sekisho.access.directory import Directory
from sekisho.access.scim_register import ScimRegister
from sekisho.access.sealing import Sealer
from sekisho.access.sessions import Sessions
from sekisho.access.sign_in_rules import SignInRuleRegister

if TYPE_CHECKING:
    from sekisho.access.oidc import Oidc


@dataclass(frozen=True)
class SignIn:
    """The parts that let people in. `public_url`: the address under which browsers reach Sekisho; empty: not known.
    `oidc`: None where there is no identity provider."""

    sessions: Sessions
    accounts: Accounts
    rules: SignInRuleRegister
    directory: Directory
    scim: ScimRegister
    devices: DeviceLogins
    sealer: Sealer
    oidc: "Oidc | None" = None
    public_url: str = ""
