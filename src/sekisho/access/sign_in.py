"""Everything that signing in needs, as one bundle."""

from dataclasses import dataclass

from sekisho.access.accounts import Accounts
from sekisho.access.sessions import Sessions
from sekisho.access.sign_in_rules import SignInRuleRegister


@dataclass(frozen=True)
class SignIn:
    """The parts that let people in. `public_url`: the address under which browsers reach Sekisho; empty: not known."""

    sessions: Sessions
    accounts: Accounts
    rules: SignInRuleRegister
    public_url: str = ""
