"""How an answer ended, as one name: the stop reason, and behind it, in JSON, the tools that it called.

So a call's row holds its tools in no byte more: few sets of tools come again and again, as reasons do.
"""

import msgspec

Tools = tuple[tuple[str, int], ...]
_decode = msgspec.json.Decoder(dict[str, int]).decode


def ending(stop_reason: str | None, tools: Tools) -> str:
    """The name."""
    return (stop_reason or "") + (msgspec.json.encode(dict(tools)).decode() if tools else "")


def read_ending(name: str) -> tuple[str, Tools]:
    """Stop reason and tools."""
    stop_reason, brace, rest = name.partition("{")
    return stop_reason, tuple(_decode(brace + rest).items()) if brace else ()
