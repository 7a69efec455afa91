"""Where a client asks for its prompt to be cached from. Marks cost no tokens, and agents move them with every turn."""

import re

MARK_WORDS = (b'"cache_control"', b'"cachePoint"')

MARK = re.compile(
    rb',\s*"cache_control"\s*:\s*\{[^{}]*\}'
    rb'|"cache_control"\s*:\s*\{[^{}]*\}\s*,\s*'
    rb'|,\s*\{\s*"cachePoint"\s*:\s*\{[^{}]*\}\s*\}'
)
"""A mark with the comma that goes with it."""


def without_marks(text: bytes) -> bytes:
    """The same JSON without its cache marks; the very same object where there is none."""
    if not any(word in text for word in MARK_WORDS):
        return text
    return MARK.sub(b"", text)
