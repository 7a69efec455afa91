"""Finding words in a large body.

An agent's turn is searched for several words that are hardly ever there. `memmem` of the C library reads 744 KB in
50 to 120 us, `bytes.find` in 160 to 360 us. Where the library has none, or the text is short, `bytes.find` does it.
"""

import ctypes

_WORTH_BYTES = 8192  # below this the call costs more than it saves


def _load() -> "ctypes._NamedFuncPointer | None":
    try:
        memmem = ctypes.PyDLL(None).memmem
    except (OSError, AttributeError, TypeError):
        return None
    memmem.restype = ctypes.c_void_p
    memmem.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    return memmem


_memmem = _load()


def find(text: bytes, words: bytes, start: int = 0) -> int:
    """The first position of `words` from `start` on, -1 if they are not there; as `bytes.find`."""
    length = len(text) - start
    if _memmem is None or length < _WORTH_BYTES or start < 0:
        return text.find(words, start)
    base = ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p).value or 0
    found: int | None = _memmem(base + start, length, words, len(words))
    return -1 if found is None else found - base


def holds(text: bytes, words: bytes) -> bool:
    """Whether `words` are in `text`."""
    return words in text if len(text) < _WORTH_BYTES else find(text, words) >= 0


def count(text: bytes, words: bytes) -> int:
    """How often `words` are in `text`; cheap when they are not."""
    if len(text) < _WORTH_BYTES:
        return text.count(words)
    first = find(text, words)
    return text.count(words, first) if first >= 0 else 0
