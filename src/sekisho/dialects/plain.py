"""Whether a small body is plain: it has none of the words that announce a picture, a document or a cache mark.

All words are searched for at once. They begin with a quotation mark, and those are found faster than anything else, so
that this takes a third of the time of one search for each. In a large body every word is searched for by itself, and
where it stands is kept (`Text`).
"""

import re

from sekisho.dialects.cache_marks import MARK_WORDS
from sekisho.values import Door

IMAGE = b'"image'
UNPACKED: dict[Door, tuple[bytes, ...]] = {
    "anthropic_messages": (b'"document"',),
    "bedrock_invoke": (b'"document"',),
    "bedrock_converse": (b'"document"', b'"video"'),
    "openai_chat": (b"data:application/", b'"file"'),
    "openai_responses": (b'"input_file"',),
}
"""Words that announce what may have more tokens than bytes. Each door is searched for its own only: a search of a large
body costs as much as sending it on."""

_SMALL_BYTES = 8_192


def _pattern(words: tuple[bytes, ...]) -> re.Pattern[bytes]:
    quoted = [re.escape(word[1:]) for word in (IMAGE, *MARK_WORDS, *words) if word.startswith(b'"')]
    return re.compile(b'"(?:' + b"|".join(quoted) + b")")


_WORDS = {
    door: (_pattern(words).search, tuple(word for word in words if not word.startswith(b'"')))
    for door, words in UNPACKED.items()
}


def is_plain(door: Door, body: bytes) -> bool:
    """Whether the body is known to be plain; never for a large one."""
    if len(body) >= _SMALL_BYTES:
        return False
    search, others = _WORDS[door]
    return search(body) is None and not any(body.find(word) >= 0 for word in others)
