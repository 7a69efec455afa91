"""Local accounts: a user's own password, second factor and recovery codes, and signing in with them.

Who has none signs in through the identity provider or by a one-time link. An administrator resets an account and hands
out a link; nobody sees another's password. Above: the pages and the admin API. Below: an `AccountStore`.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from sekisho.access.addresses import network_of
from sekisho.access.keys import digest
from sekisho.access.lockout import Guess, Lockout, Standing, guesses_of
from sekisho.access.organisation import User
from sekisho.access.passwords import MOST_CHARACTERS, Hasher, check_password
from sekisho.access.sealing import Sealer
from sekisho.access.sessions import Visitor
from sekisho.access.totp import (
    matching_step,
    new_recovery_codes,
    new_secret,
    otpauth_uri,
    plain_recovery_code,
    secret_text,
)
from sekisho.clock import Clock
from sekisho.errors import BadRequest, NotFound, RateLimited

ISSUER = "Sekisho"
TICKET_US = 10 * 60 * 1_000_000
ENROLMENT = "totp enrolment"
SECOND = "second factor"
DEVICE = "known browser"
DEVICE_LIFE_US = 400 * 86_400 * 1_000_000
_LOGIN_CHARACTERS = 320

Outcome = Literal["in", "second", "wrong", "wait"]


class Account(msgspec.Struct, frozen=True):
    """What is kept of a local account. `password`: a digest, empty before one was set. `totp`: the sealed secret;
    empty without a second factor. `totp_step`: the step of time whose code was used last."""

    user_id: str
    password: str = ""
    password_at: int = 0
    totp: bytes = b""
    totp_at: int = 0
    totp_step: int = 0


class AccountChange(msgspec.Struct, frozen=True):
    """What to change; what is UNSET stays. `recovery`: digests in the place of those kept."""

    password: str | UnsetType = UNSET
    password_at: int | UnsetType = UNSET
    totp: bytes | UnsetType = UNSET
    totp_at: int | UnsetType = UNSET
    totp_step: int | UnsetType = UNSET
    recovery: tuple[bytes, ...] | UnsetType = UNSET


class AccountStore(Protocol):
    """Where accounts are kept. Raises StoreUnavailable."""

    async def find_login(self, org_id: str, login: str) -> User | None:
        """The person who signs in by this id, or by this e-mail address if only one has it."""
        ...

    async def find_account(self, org_id: str, user_id: str) -> Account: ...

    async def change_account(
        self, org_id: str, user_id: str, change: AccountChange, by: str, action: str, now_us: int
    ) -> None:
        """Change an account, making it if need be; `action` is how the audit log calls it. Raises NotFound."""
        ...

    async def use_step(self, org_id: str, user_id: str, step: int) -> bool:
        """Note the step of a code; False when a code of it, or of a later one, was used already."""
        ...

    async def use_recovery(self, org_id: str, user_id: str, digest: bytes, now_us: int) -> bool:
        """Spend a recovery code, once."""
        ...

    async def recovery_left(self, org_id: str, user_id: str) -> int:
        """How many recovery codes are left."""
        ...

    async def note(self, org_id: str, actor: str, action: str, id: str, about: Mapping[str, Any], now_us: int) -> None:
        """Write into the audit log."""
        ...


class Attempt(msgspec.Struct, frozen=True):
    """What became of an attempt to sign in. `ticket`: for the page that asks for the second factor. `wait_s`: when to
    try again."""

    outcome: Outcome
    user_id: str = ""
    ticket: str = ""
    wait_s: int = 0


class Enrolment(msgspec.Struct, frozen=True):
    """A second factor that is not confirmed yet. `ticket` carries its secret from page to page."""

    ticket: str
    uri: str
    secret: str

    def __repr__(self) -> str:
        return "Enrolment(***)"


class Accounts:
    """Signs people in with password and second factor, and lets them change both."""

    def __init__(
        self,
        store: AccountStore,
        lockout: Lockout,
        sealer: Sealer,
        pepper: bytes,
        org_id: str,
        clock: Clock,
        hasher: Hasher,
    ) -> None:
        self._store = store
        self._lockout = lockout
        self._sealer = sealer
        self._pepper = pepper
        self._org_id = org_id
        self._clock = clock
        self._hasher = hasher

    async def sign_in(self, login: str, password: str, visitor: Visitor, device: str = "") -> Attempt:
        """Judge a password. "second": the ticket leads to `second_factor`. One answer for whatever is wrong."""
        login = login.strip()[:_LOGIN_CHARACTERS]
        user = await self._store.find_login(self._org_id, login) if login else None
        name = user.id if user else login.lower()
        guesses = guesses_of(name, visitor.address, self.known_device(device, name))
        standing = await self._lockout.attempt(guesses)
        if standing.wait_s:  # nothing is judged, so nothing is written: refused guesses must not fill the log
            return Attempt("wait", wait_s=standing.wait_s)
        account = await self._store.find_account(self._org_id, user.id if user else "")  # both take the same time
        if not await self._hasher.matches(password, account.password or None) or user is None:
            await self._failed(name, visitor, "password", standing)
            return Attempt("wrong")
        if account.totp:
            until = self._clock.now_us() + TICKET_US
            ticket = self._sealer.ticket(SECOND, until, user.id, str(account.password_at))
            await self._lockout.was_good(guesses, standing)
            return Attempt("second", user.id, ticket)
        await self._lockout.succeeded(guesses, standing)
        if self._hasher.is_weak(account.password):
            await self._keep_password(user.id, password, f"user:{user.id}", "password.rehash")
        return Attempt("in", user.id)

    async def second_factor(self, ticket: str, code: str, visitor: Visitor, device: str = "") -> Attempt:
        """Judge a code of the second factor, or a recovery code, behind a good password."""
        now_us = self._clock.now_us()
        values = self._sealer.read_ticket(SECOND, ticket, now_us)
        account = await self._store.find_account(self._org_id, values[0]) if values else Account("")
        if values is None or str(account.password_at) != values[1]:
            return Attempt("wrong")
        judged = await self._judge_second(account, code, visitor, device)
        return judged if judged.outcome == "in" else msgspec.structs.replace(judged, ticket=ticket)

    async def beside_link(self, user_id: str, code: str, visitor: Visitor, device: str = "") -> Attempt:
        """Judge the second factor of whom a one-time link is for: a link stands in the place of the password only.
        "in": it is right, or there is none; "second": it is wrong, or still to be asked for."""
        account = await self._store.find_account(self._org_id, user_id)
        if not account.totp:
            return Attempt("in", user_id)
        if not code.strip():
            return Attempt("second", user_id)
        return await self._judge_second(account, code, visitor, device)

    async def note_failure(self, name: str, visitor: Visitor, what: str) -> None:
        """Write into the audit log that somebody was not let in by another way; not all of many from one address, so
        that they cannot fill it. Nobody has to wait for that: there another guards against guesses."""
        guesses = (Guess("address", f"elsewhere:{network_of(visitor.address)}"),)
        standing = await self._lockout.attempt(guesses)
        if not standing.wait_s:
            await self._failed(name, visitor, what, Standing())

    async def confirm_password(self, user_id: str, password: str, visitor: Visitor, device: str = "") -> bool:
        """Whether a signed-in person knows the password; guesses are slowed down like those of a sign-in. Raises
        RateLimited when a guess must wait."""
        guesses = guesses_of(user_id, visitor.address, self.known_device(device, user_id))
        standing = await self._lockout.attempt(guesses)
        if standing.wait_s:
            raise RateLimited(f"Too many attempts. Wait {standing.wait_s} s.", retry_after_s=standing.wait_s)
        account = await self._store.find_account(self._org_id, user_id)
        if not await self._hasher.matches(password, account.password or None):
            await self._failed(user_id, visitor, "password", standing)
            return False
        await self._lockout.succeeded(guesses, standing)
        return True

    async def get(self, user_id: str) -> Account:
        """The account of a user; an empty one for who has none."""
        return await self._store.find_account(self._org_id, user_id)

    async def recovery_left(self, user_id: str) -> int:
        """How many recovery codes are left."""
        return await self._store.recovery_left(self._org_id, user_id)

    async def set_password(self, user: User, password: str, by: str) -> None:
        """Give a user this password. Raises BadRequest for a bad one, NotFound."""
        check_password(password, user.id, user.alias, user.email.partition("@")[0])
        await self._keep_password(user.id, password, by, "password.set")

    def enrol(self, user: User) -> Enrolment:
        """A new second factor, to be confirmed with a code of it."""
        secret = new_secret()
        until = self._clock.now_us() + TICKET_US
        text = secret_text(secret)
        ticket = self._sealer.ticket(ENROLMENT, until, user.id, secret.hex())
        return Enrolment(ticket, otpauth_uri(secret, user.email or user.id, ISSUER), text)

    def same_enrolment(self, user: User, ticket: str) -> Enrolment | None:
        """The enrolment of a ticket once more, after a wrong code."""
        values = self._sealer.read_ticket(ENROLMENT, ticket, self._clock.now_us())
        if values is None or values[0] != user.id:
            return None
        secret = bytes.fromhex(values[1])
        return Enrolment(ticket, otpauth_uri(secret, user.email or user.id, ISSUER), secret_text(secret))

    async def confirm_enrolment(self, user_id: str, ticket: str, code: str, by: str) -> tuple[str, ...] | None:
        """Turn the second factor on: the recovery codes, shown this once. None for a wrong code or an old ticket."""
        now_us = self._clock.now_us()
        values = self._sealer.read_ticket(ENROLMENT, ticket, now_us)
        if values is None or values[0] != user_id:
            return None
        secret = bytes.fromhex(values[1])
        step = matching_step(secret, code, now_us)
        if step is None:
            return None
        codes = new_recovery_codes()
        change = AccountChange(
            totp=self._sealer.seal(secret, f"totp:{user_id}"),
            totp_at=now_us,
            totp_step=step,
            recovery=tuple(self._recovery_digest(user_id, one) for one in codes),
        )
        await self._store.change_account(self._org_id, user_id, change, by, "totp.enrol", now_us)
        return codes

    async def renew_recovery(self, user_id: str, by: str) -> tuple[str, ...]:
        """New recovery codes in the place of the old ones. Raises BadRequest without a second factor."""
        if not (await self.get(user_id)).totp:
            raise BadRequest("There is no second factor.")
        codes = new_recovery_codes()
        change = AccountChange(recovery=tuple(self._recovery_digest(user_id, one) for one in codes))
        await self._store.change_account(self._org_id, user_id, change, by, "recovery.renew", self._clock.now_us())
        return codes

    async def remove_second_factor(self, user_id: str, by: str) -> None:
        """Turn the second factor off."""
        change = AccountChange(totp=b"", totp_at=0, totp_step=0, recovery=())
        await self._store.change_account(self._org_id, user_id, change, by, "totp.remove", self._clock.now_us())

    async def reset(self, user_id: str, by: str) -> None:
        """Take password and second factor away; a one-time link then lets the person set new ones. Raises NotFound."""
        change = AccountChange(password="", password_at=0, totp=b"", totp_at=0, totp_step=0, recovery=())
        await self._store.change_account(self._org_id, user_id, change, by, "account.reset", self._clock.now_us())
        await self._lockout.forget((Guess("account", user_id),))

    def device_cookie(self, user_id: str) -> str:
        """What a browser keeps after a sign-in, so that others' guesses do not lock its person out."""
        return self._sealer.ticket(DEVICE, self._clock.now_us() + DEVICE_LIFE_US, user_id)

    def known_device(self, cookie: str, user_id: str) -> str:
        """A name for the browser if this account has signed in there before, else empty."""
        values = self._sealer.read_ticket(DEVICE, cookie, self._clock.now_us()) if cookie else None
        return digest(self._pepper, f"device:{cookie}").hex()[:16] if values and values[0] == user_id else ""

    async def _keep_password(self, user_id: str, password: str, by: str, action: str) -> None:
        now_us = self._clock.now_us()
        change = AccountChange(password=await self._hasher.hash(password[:MOST_CHARACTERS]), password_at=now_us)
        await self._store.change_account(self._org_id, user_id, change, by, action, now_us)

    async def _judge_second(self, account: Account, code: str, visitor: Visitor, device: str) -> Attempt:
        guesses = guesses_of(account.user_id, visitor.address, self.known_device(device, account.user_id))
        standing = await self._lockout.attempt(guesses)
        if standing.wait_s:
            return Attempt("wait", account.user_id, wait_s=standing.wait_s)
        if not await self._is_second(account, code):
            await self._failed(account.user_id, visitor, "second factor", standing)
            return Attempt("second", account.user_id)
        await self._lockout.succeeded(guesses, standing)
        return Attempt("in", account.user_id)

    async def _is_second(self, account: Account, code: str) -> bool:
        secret = self._sealer.open(account.totp, f"totp:{account.user_id}")
        now_us = self._clock.now_us()
        step = None if secret is None else matching_step(secret, code, now_us, account.totp_step)
        if step is not None:
            return await self._store.use_step(self._org_id, account.user_id, step)
        digest_ = self._recovery_digest(account.user_id, code)
        return await self._store.use_recovery(self._org_id, account.user_id, digest_, now_us)

    async def _failed(self, name: str, visitor: Visitor, what: str, standing: Standing) -> None:
        about = {"address": visitor.address, "what": what, "next_attempt_in_s": standing.next_wait_s}
        await self._store.note(self._org_id, "sign-in", "sign_in.fail", name, about, self._clock.now_us())

    def _recovery_digest(self, user_id: str, code: str) -> bytes:
        return digest(self._pepper, f"recovery:{user_id}:{plain_recovery_code(code)}")


def need_person(user: User | None) -> User:
    """The user. Raises NotFound for none, BadRequest for a service account, which has access tokens."""
    if user is None:
        raise NotFound("There is no such user.")
    if user.kind != "person":
        raise BadRequest("A service account does not sign in; it has access tokens.")
    return user
