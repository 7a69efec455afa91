"""Passwords of local accounts: scrypt from the standard library, with the parameters kept beside the digest.

N = 2^14, r = 8, p = 5: one of the settings OWASP's Password Storage Cheat Sheet gives as equal in strength, and the
one that takes 16 MiB, so that a few sign-ins at once do not swell the process. Hashing takes about 0.2 s of one core:
it runs in a thread, two at a time, so that guesses cannot stall the pages.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets

import msgspec

from sekisho.errors import BadRequest

LEAST_CHARACTERS = 12
MOST_CHARACTERS = 200
_PREFIX = "scrypt"
_SALT_BYTES = 16
_DIGEST_BYTES = 32


class Strength(msgspec.Struct, frozen=True):
    """The cost of one guess: scrypt's N as a power of two, r and p."""

    log_n: int = 14
    r: int = 8
    p: int = 5


STRONG = Strength()


class Hasher:
    """Makes and checks password digests of this form: `scrypt$14$8$5$SALT$DIGEST`."""

    def __init__(self, strength: Strength = STRONG, at_once: int = 2) -> None:
        self._strength = strength
        self._slots = asyncio.Semaphore(at_once)
        self._nobody = _encode(strength, secrets.token_bytes(_SALT_BYTES), bytes(_DIGEST_BYTES))

    async def hash(self, password: str) -> str:
        """A digest to keep."""
        salt = secrets.token_bytes(_SALT_BYTES)
        async with self._slots:
            digest = await asyncio.to_thread(_derive, self._strength, salt, password)
        return _encode(self._strength, salt, digest)

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether this is the password. Without anything kept the same time passes, and it is not."""
        strength, salt, digest = _decode(kept or self._nobody)
        async with self._slots:
            derived = await asyncio.to_thread(_derive, strength, salt, password[:MOST_CHARACTERS])
        return hmac.compare_digest(derived, digest) and kept is not None

    def is_weak(self, kept: str) -> bool:
        """Whether a digest was made with other parameters than those in use, and should be made anew."""
        return _decode(kept)[0] != self._strength


def check_password(password: str, *names: str) -> None:
    """Raises BadRequest for a password that is too short, too long, or hardly more than the person's own names."""
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise BadRequest(f"A password has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters.", param="password_length")
    plain = password.casefold()
    known = any(len(name) > 2 and name.casefold() in plain and len(plain) < len(name) + 8 for name in names)
    if known or len(set(plain)) < 5:
        raise BadRequest("This password is too easy to guess.", param="password_simple")


def _derive(strength: Strength, salt: bytes, password: str) -> bytes:
    most_bytes = 2 * 128 * strength.r * (2**strength.log_n + strength.p)
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=2**strength.log_n,
        r=strength.r,
        p=strength.p,
        maxmem=most_bytes,
        dklen=_DIGEST_BYTES,
    )


def _encode(strength: Strength, salt: bytes, digest: bytes) -> str:
    texts = (base64.b64encode(one).decode() for one in (salt, digest))
    return "$".join((_PREFIX, str(strength.log_n), str(strength.r), str(strength.p), *texts))


def _decode(kept: str) -> tuple[Strength, bytes, bytes]:
    _, log_n, r, p, salt, digest = kept.split("$")
    return Strength(int(log_n), int(r), int(p)), base64.b64decode(salt), base64.b64decode(digest)
