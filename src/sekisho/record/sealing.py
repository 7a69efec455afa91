"""How content is closed: one data key per team, wrapped by the installation's own key; packs compressed and encrypted.

From a team's data key come two: one that addresses blocks (HMAC-SHA-256, so that the address of a text can be worked
out by nobody else, and equal texts of two teams have nothing in common), one that encrypts (AES-256-GCM). Without the
data key nothing of the team can be read: deleting it deletes the content.
"""

import hmac
import os
from typing import Protocol

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sekisho.errors import StoreUnavailable

KEY_BYTES = 32
ADDRESS_BYTES = 16
_NONCE_BYTES = 12
_LEVEL = 6
_MOST_BYTES = 256 << 20
_HOME_KEY_CONTEXT = b"sekisho content key"


class Wrapping(Protocol):
    """Wraps data keys. `context` must be the same for both ways. Raises StoreUnavailable."""

    def wrap(self, key: bytes, context: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes: ...


class HomeKey:
    """Wraps with a key of the installation, 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(_derived(key, _HOME_KEY_CONTEXT))

    def wrap(self, key: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        try:
            return self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise StoreUnavailable("The key of the content store does not fit the content that is there.") from error


class TeamKey:
    """The data key of one team, ready to use. Safe for several threads."""

    def __init__(self, key: bytes) -> None:
        self._address_key = _derived(key, b"address")
        self._cipher = AESGCM(_derived(key, b"encrypt"))

    def address(self, data: bytes | memoryview) -> bytes:
        """The name of a block: the same for the same bytes within the team."""
        return hmac.digest(self._address_key, data, "sha256")[:ADDRESS_BYTES]

    def seal(self, data: bytes, name: bytes) -> bytes:
        """Compressed, then encrypted for the place `name`."""
        nonce = os.urandom(_NONCE_BYTES)
        small = zstandard.ZstdCompressor(level=_LEVEL).compress(data)
        return nonce + self._cipher.encrypt(nonce, small, name)

    def open(self, sealed: bytes, name: bytes, decompressor: zstandard.ZstdDecompressor | None = None) -> bytes:
        """What `seal` closed. Raises StoreUnavailable for anything that was changed or moved.

        `decompressor`: the caller's own, who opens many; making one takes twice as long as a small text."""
        try:
            small = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name)
            return (decompressor or zstandard.ZstdDecompressor()).decompress(small, max_output_size=_MOST_BYTES)
        except (InvalidTag, ValueError, zstandard.ZstdError) as error:
            raise StoreUnavailable("Stored content is damaged.") from error


def new_key() -> bytes:
    """A fresh data key."""
    return os.urandom(KEY_BYTES)


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, purpose, "sha256")
