"""Thinking inside `encrypted_content`: our own reversible form, so that a client which keeps no state returns it whole.

Form: a versioned prefix, then base64url of a JSON array. Not a secret: the client was shown the same text.
"""

import base64
import binascii

import msgspec

from sekisho.dialects.exchange import RedactedThinking, Thinking

_PREFIX = "sekisho-v1."
_decode = msgspec.json.Decoder(tuple[str, str, str]).decode


def render_encrypted(part: Thinking | RedactedThinking) -> str:
    fields = (
        ("redacted", part.data, "") if isinstance(part, RedactedThinking) else ("thinking", part.text, part.signature)
    )
    return _PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(fields)).decode()


def is_ours(encrypted: str) -> bool:
    return encrypted.startswith(_PREFIX)


def parse_encrypted(encrypted: str) -> Thinking | RedactedThinking:
    """Raises ValueError for what `render_encrypted` did not write."""
    try:
        kind, content, signature = _decode(base64.urlsafe_b64decode(encrypted.removeprefix(_PREFIX).encode("ascii")))
    except (binascii.Error, msgspec.DecodeError, RecursionError) as error:
        raise ValueError("not thinking in our form") from error
    return RedactedThinking(content) if kind == "redacted" else Thinking(content, signature)
