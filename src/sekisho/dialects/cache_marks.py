"""Where a client asks for its prompt to be cached from. Marks cost no tokens, and agents move them with every turn."""

import re

from sekisho.dialects.text import Text

MARK_WORDS = (b'"cache_control"', b'"cachePoint"')

MARK = re.compile(
    rb',\s*"cache_control"\s*:\s*\{[^{}]*\}'
    rb'|"cache_control"\s*:\s*\{[^{}]*\}\s*,\s*'
    rb'|,\s*\{\s*"cachePoint"\s*:\s*\{[^{}]*\}\s*\}'
)
"""A mark with the comma that goes with it."""

_OBJECT = re.compile(rb'"(?:cache_control|cachePoint)"\s*:\s*\{[^{}]*\}')


def asks_for_1h(text: Text) -> bool:
    """Whether a mark asks for the longest caching. Where a mark is not as they are written, any word of it counts."""
    for word in MARK_WORDS:
        for at in text.positions(word) or ((text.start,) if text.positions(word) is None else ()):
            mark = _OBJECT.match(text.body, at)
            if b'"1h"' in mark[0] if mark else text.holds(b'"1h"'):
                return True
    return False
