"""One-time codes of a second factor (TOTP, RFC 6238 over HOTP, RFC 4226): six digits, 30 seconds, SHA-1.

These are the parameters that every authenticator app takes. Pure functions; the secret is kept sealed elsewhere.
"""

import base64
import hashlib
import hmac
import secrets
from urllib.parse import quote, urlencode

STEP_S = 30
DIGITS = 6
SECRET_BYTES = 20
RECOVERY_CODES = 10
_AROUND = 1  # steps before and after the present one that are good too: clocks differ
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else


def new_secret() -> bytes:
    """A secret of 160 bits, as RFC 4226 recommends."""
    return secrets.token_bytes(SECRET_BYTES)


def code_at(secret: bytes, step: int, digits: int = DIGITS) -> str:
    """The code of one step of time (RFC 4226, section 5.3)."""
    mac = hmac.new(secret, step.to_bytes(8, "big"), hashlib.sha1).digest()
    offset = mac[-1] & 15
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}d}"


def matching_step(secret: bytes, code: str, now_us: int, last_step: int = 0) -> int | None:
    """The step whose code this is, if it is near now and behind the one used last; a code is good once."""
    digits = "".join(code.split())
    if len(digits) != DIGITS or not digits.isascii() or not digits.isdigit():
        return None
    now = now_us // 1_000_000 // STEP_S
    found = None
    for step in range(max(now - _AROUND, last_step + 1), now + _AROUND + 1):
        if hmac.compare_digest(code_at(secret, step), digits):
            found = step
    return found


def secret_text(secret: bytes) -> str:
    """The secret as people type it: Base32 without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def otpauth_uri(secret: bytes, account: str, issuer: str) -> str:
    """What the picture shown at enrolment holds."""
    label = quote(f"{issuer}:{account}", safe="@:")
    fields = {"secret": secret_text(secret), "issuer": issuer, "algorithm": "SHA1", "digits": DIGITS, "period": STEP_S}
    return f"otpauth://totp/{label}?{urlencode(fields, quote_via=quote)}"


def new_recovery_codes() -> tuple[str, ...]:
    """Codes that each replace the second factor once: ten times 50 bits, in two groups of five characters."""
    raw = ("".join(secrets.choice(_ALPHABET) for _ in range(10)) for _ in range(RECOVERY_CODES))
    return tuple(f"{one[:5]}-{one[5:]}" for one in raw)


def plain_recovery_code(text: str) -> str:
    """A recovery code as it was typed, without what does not matter."""
    return "".join(one for one in text.lower() if one in _ALPHABET)
