"""Seals small secrets that must be read again: second factors, tickets between two pages, identity provider's tokens.

AES-256-GCM under a key made from the pepper by HKDF; the purpose is bound in, so that nothing sealed for one purpose
opens for another. Digests are for what is only compared.
"""

import base64
import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What a browser carries from one page to the next without being able to read or change it."""

    expires_at: int
    values: tuple[str, ...]


class Sealer:
    """Seals and opens. What was sealed under another pepper does not open."""

    def __init__(self, pepper: bytes) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"sekisho sign-in").derive(pepper)
        self._cipher = AESGCM(key)

    def seal(self, content: bytes, purpose: str) -> bytes:
        """The content, unreadable and unchangeable."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes | None:
        """The content; None when it was not sealed here for this purpose."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError):
            return None

    def ticket(self, purpose: str, expires_at: int, *values: str) -> str:
        """A text for a hidden field or a cookie."""
        sealed = self.seal(msgspec.msgpack.encode(Ticket(expires_at, values)), purpose)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def read_ticket(self, purpose: str, text: str, now_us: int) -> tuple[str, ...] | None:
        """The values of a ticket that is still good. Only in the spelling that was given out: decoding passes over
        characters that are none, and who counts by the text of a ticket must not meet the same one under many."""
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        if base64.urlsafe_b64encode(sealed).decode().rstrip("=") != text:
            return None
        content = self.open(sealed, purpose)
        if content is None:
            return None
        ticket = msgspec.msgpack.decode(content, type=Ticket)
        return ticket.values if now_us < ticket.expires_at else None
