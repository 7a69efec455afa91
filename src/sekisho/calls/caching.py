"""What a provider's prompt cache did for a call: dollars saved, and, where it served less than it could have, why.

Held against the last turn of the same conversation: its prompt's fingerprints and what of it was cached. Dollars are
those of the ledger: the same prices, the same rounding. Why it is judged so: docs/why/cache.md
"""

from collections.abc import Callable

from msgspec.structs import replace

from sekisho.calls.call import AttemptNote, Call
from sekisho.calls.gate import Gate
from sekisho.conversation.prefix import (
    Prefix,
    Seen,
    first_change,
    is_volatile,
    prefix_of,
    share_kept,
    tools_change,
    unmarked,
)
from sekisho.ledger.cost import list_cost_nanousd
from sekisho.ledger.journal import CacheBreak, Caching
from sekisho.values import BreakCause, Price, Usage

LIFE_US = {"5m": 300_000_000, "1h": 3_600_000_000}
LOOK_BACK_BLOCKS = 20  # so many blocks before a mark a provider looks for an entry of its cache
_WORTH_BYTES = 2_048  # a smaller prompt is below every model's least to cache
_NOISE = 50  # a shortfall below a fiftieth is the provider's rounding
_MOST_NAMES = 3
_AUTOMATIC = ("openai_chat",)  # wires whose providers cache by themselves, without marks
_MAIN_TURNS = ("human", "agent")
_LONGEST_DETAIL = 120


def caching_of(gate: Gate, call: Call) -> Caching | None:
    """What to journal about a call that has ended, None if its prompt had nothing to do with a cache. From now on it is
    what the next turn is held against."""
    note = call.trail.attempts[-1] if call.trail.attempts else None
    if note is None or not note.is_metered or note.deployment.price is None:
        return None
    usage, price = note.usage, note.deployment.price
    cached = usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    if len(call.chain.body) < _WORTH_BYTES and not cached:
        return None
    broke = _compared(gate, call, note)
    saved = list_cost_nanousd(_uncached(usage), price) - list_cost_nanousd(usage, price) if cached else 0
    return Caching(saved, broke) if cached or broke else None


def _compared(gate: Gate, call: Call, note: AttemptNote) -> CacheBreak | None:
    if not call.task.id:
        return None
    prefix = prefix_of(call.chain)
    is_main = call.task.turn in _MAIN_TURNS
    before = gate.prefixes.before(call.task.id, prefix, is_main=is_main)
    after = Seen(
        call_id=call.id,
        prefix=prefix,
        model=call.asked_model or call.known_model.name,
        place=_place(note),
        started_us=note.started_us,
        ended_us=note.ended_us,
        life_us=LIFE_US[call.prompt.longest_ttl],
        prompt_tokens=note.usage.prompt_tokens,
        cached_tokens=note.usage.prompt_tokens - note.usage.input_tokens,
        is_main=is_main,
    )
    team_id = call.known_key.team_id
    broke = None
    if before is not None and before.ended_us <= after.started_us:  # else nothing was cached yet when this one began
        broke = _break(gate, call, note, before, after)
    gate.prefixes.keep(call.task.id, after)
    gate.prefix_texts.keep(team_id, call.chain)
    return broke


def _place(note: AttemptNote) -> str:
    one = note.deployment
    return "\0".join((one.provider, one.endpoint, one.account, one.credential, one.upstream_model))


def _break(gate: Gate, call: Call, note: AttemptNote, before: Seen, after: Seen) -> CacheBreak | None:
    is_automatic = note.deployment.wire in _AUTOMATIC
    least = call.known_model.quirks.cache_min_tokens
    usage = note.usage
    wanted = _wanted_tokens(before, is_automatic=is_automatic, least_tokens=least)
    lost = min(wanted, usage.prompt_tokens) - usage.cache_read_tokens
    if lost * _NOISE <= wanted:
        return None
    cause, block, detail = _why(gate, call, before, after, least)
    if cause in ("history_edited", "history_compacted"):  # what is no longer there is not lost
        kept = int(usage.prompt_tokens * share_kept(before.prefix, call.chain))
        lost = max(0, min(wanted, kept) - usage.cache_read_tokens)
    assert note.deployment.price is not None
    nanousd = _lost_nanousd(usage, lost, note.deployment.price, writes=cause in ("unmarked", "below_minimum"))
    return CacheBreak(cause, block, detail[:_LONGEST_DETAIL], lost, nanousd, before.call_id)


def _wanted_tokens(before: Seen, *, is_automatic: bool, least_tokens: int) -> int:
    """What the cache could have served: what the turn before had in it; where it had nothing, its whole prompt."""
    if before.cached_tokens and not is_automatic:
        return before.cached_tokens
    return before.prompt_tokens if is_automatic or least_tokens else 0


def _why(gate: Gate, call: Call, before: Seen, after: Seen, least_tokens: int) -> tuple[BreakCause, str, str]:
    """The cause, the first block that is another one, and what can be said of it without its content."""
    if before.place != after.place and before.model != after.model:
        return "model_changed", "", f"{before.model} -> {after.model}"[:_LONGEST_DETAIL]
    if before.place != after.place and call.asked_model:
        return "stepped_down", "", f"{call.asked_model} -> {call.known_model.name}"
    change = first_change(before.prefix, after.prefix)
    if change is not None:
        return _EXPLAINED[change.part](gate, call, before.prefix, after.prefix, change.message)
    if before.place != after.place:
        return "rerouted", "", ""
    if after.started_us - before.ended_us > before.life_us:
        minutes = (after.started_us - before.ended_us) // 60_000_000
        return "expired", "", f"{minutes} min > {before.life_us // 60_000_000} min"
    return _by_marks(call, before, after, least_tokens)


def _by_marks(call: Call, before: Seen, after: Seen, least_tokens: int) -> tuple[BreakCause, str, str]:
    if not before.cached_tokens and before.prompt_tokens < least_tokens:
        return "below_minimum", "", f"{before.prompt_tokens} < {least_tokens}"
    if after.prefix.marked < 0 and least_tokens:
        return ("mark_missing" if before.cached_tokens else "unmarked"), "", ""
    first, last = max(before.prefix.marked, 0), after.prefix.marked
    if last >= 0 and least_tokens and _content_blocks(call, first, last) > LOOK_BACK_BLOCKS:
        return "mark_too_far", f"message {last}", f"{_content_blocks(call, first, last)} > {LOOK_BACK_BLOCKS}"
    return "unknown", "", ""


def _content_blocks(call: Call, first: int, last: int) -> int:
    """How many content blocks the messages from `first` to before `last` have; a text alone is one."""
    messages = [block for block in call.chain.blocks if block.kind == "message"][first:last]
    return sum(max(1, _text(call, one.start, one.end).count(b'"type"')) for one in messages)


def _tools(gate: Gate, call: Call, before: Prefix, after: Prefix, _: int) -> tuple[BreakCause, str, str]:
    old, new = (gate.prefix_texts.find(call.known_key.team_id, one.tools) for one in (before, after))
    new = new or next(
        (_text(call, block.start, block.end) for block in call.chain.blocks if block.kind == "tools"), b""
    )
    change = tools_change(old, new) if old and new else None
    if change is None:
        return "tools_changed", "tools", ""
    if change.is_order:
        return "tools_order", "tools", ""
    return "tools_changed", "tools", ", ".join(change.names[:_MOST_NAMES])


def _system(gate: Gate, call: Call, before: Prefix, after: Prefix, _: int) -> tuple[BreakCause, str, str]:
    pairs = list(zip(before.system, after.system, strict=False))
    number = next((at for at, (old, new) in enumerate(pairs) if old != new), len(pairs))
    block = "system" if len(after.system) < 2 else f"system {number}"
    if len(before.system) != len(after.system):
        return "system_changed", block, f"{len(before.system)} -> {len(after.system)}"
    old = gate.prefix_texts.find(call.known_key.team_id, before.system[number])
    new = next(_text(call, one.start, one.end) for one in call.chain.blocks if one.fingerprint == after.system[number])
    return ("system_volatile" if old and is_volatile(old, new) else "system_changed"), block, ""


def _settings(gate: Gate, call: Call, before: Prefix, after: Prefix, _: int) -> tuple[BreakCause, str, str]:
    return "settings_changed", "", ""


def _history(gate: Gate, call: Call, before: Prefix, after: Prefix, message: int) -> tuple[BreakCause, str, str]:
    has_grown = len(after.messages) > len(before.messages)  # as it does with every turn
    return ("history_edited" if has_grown else "history_compacted"), f"message {message}", ""


def _text(call: Call, start: int, end: int) -> bytes:
    return unmarked(call.chain.body[start:end])


_Explain = Callable[[Gate, Call, Prefix, Prefix, int], tuple[BreakCause, str, str]]
_EXPLAINED: dict[str, _Explain] = {"tools": _tools, "system": _system, "settings": _settings, "message": _history}


def _uncached(usage: Usage) -> Usage:
    return Usage(input_tokens=usage.prompt_tokens, output_tokens=usage.output_tokens)


def _lost_nanousd(usage: Usage, lost: int, price: Price, *, writes: bool) -> int:
    """What the call cost more than if so many tokens had been read from the cache. `writes`: and the rest of its prompt
    been written to it, as caching asks for."""
    short = min(usage.cache_write_5m_tokens, lost)
    long = min(usage.cache_write_1h_tokens, lost - short)
    fresh = usage.input_tokens - (lost - short - long)
    ideal = replace(
        usage,
        input_tokens=0 if writes else fresh,
        cache_read_tokens=usage.cache_read_tokens + lost,
        cache_write_5m_tokens=usage.cache_write_5m_tokens - short + (fresh if writes else 0),
        cache_write_1h_tokens=usage.cache_write_1h_tokens - long,
    )
    return max(0, list_cost_nanousd(usage, price) - list_cost_nanousd(ideal, price))
