"""Puts the parts together that let people in."""

from typing import TYPE_CHECKING

from sekisho.access.accounts import Accounts
from sekisho.access.device_login import DeviceLogins
from sekisho.access.directory import Directory
from sekisho.access.lockout import Lockout
from sekisho.access.passwords import Hasher
from sekisho.access.publishing import Publisher
from sekisho.access.scim_register import ScimRegister
from sekisho.access.sealing import Sealer
from sekisho.access.sessions import Sessions, SessionStore
from sekisho.access.sign_in import SignIn
from sekisho.access.sign_in_rules import SignInRuleRegister
from sekisho.access.tokens import TokenRegister
from sekisho.app.sign_in_settings import SignInSettings
from sekisho.clock import Clock
from sekisho.store.sql.accounts import SqlAccounts, SqlLockout
from sekisho.store.sql.device_login import SqlDeviceLogins
from sekisho.store.sql.directory import SqlDirectory
from sekisho.store.sql.engine import Database
from sekisho.store.sql.scim import SqlScim
from sekisho.store.sql.sign_in_rules import SqlSignInRules

if TYPE_CHECKING:
    from sekisho.access.oidc import Oidc


def open_sign_in(
    database: Database,
    sessions: SessionStore,
    pepper: bytes,
    org_id: str,
    clock: Clock,
    settings: SignInSettings,
    publisher: Publisher,
    tokens: TokenRegister,
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
        directory=Directory(SqlDirectory(database), org_id, clock, publisher),
        scim=ScimRegister(SqlScim(database), org_id, clock, publisher),
        devices=DeviceLogins(SqlDeviceLogins(database), tokens, lockout, pepper, org_id, clock),
        sealer=sealer,
        oidc=_oidc(settings, sealer, clock),
        public_url=settings.public_url,
    )


def _oidc(settings: SignInSettings, sealer: Sealer, clock: Clock) -> "Oidc | None":
    if settings.oidc is None:
        return None
    from sekisho.access.oidc import Oidc  # noqa: PLC0415  Authlib is slow to import, and not everybody needs it
    from sekisho.app.oidc_fetch import Fetcher  # noqa: PLC0415

    return Oidc(settings.oidc, settings.public_url, sealer, Fetcher(settings.way), clock)
