"""Puts the parts together that let people in."""

from sekisho.access.accounts import Accounts
from sekisho.access.lockout import Lockout
from sekisho.access.passwords import Hasher
from sekisho.access.sealing import Sealer
from sekisho.access.sessions import Sessions, SessionStore
from sekisho.access.sign_in import SignIn
from sekisho.access.sign_in_rules import SignInRuleRegister
from sekisho.app.sign_in_settings import SignInSettings
from sekisho.clock import Clock
from sekisho.store.sql.accounts import SqlAccounts, SqlLockout
from sekisho.store.sql.engine import Database
from sekisho.store.sql.sign_in_rules import SqlSignInRules


def open_sign_in(
    database: Database, sessions: SessionStore, pepper: bytes, org_id: str, clock: Clock, settings: SignInSettings
) -> SignIn:
    """The parts of signing in over this database."""
    lockout = Lockout(SqlLockout(database), org_id, clock)
    sealer, hasher = Sealer(pepper), Hasher(settings.strength)
    return SignIn(
        sessions=Sessions(
            sessions,
            pepper,
            org_id,
            clock,
            life_us=int(settings.session_life_s * 1_000_000),
            idle_us=int(settings.session_idle_s * 1_000_000),
        ),
        accounts=Accounts(SqlAccounts(database), lockout, sealer, pepper, org_id, clock, hasher),
        rules=SignInRuleRegister(SqlSignInRules(database), org_id, clock),
        public_url=settings.public_url,
    )
