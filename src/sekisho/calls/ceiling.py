"""The most a call can cost, and how that can be made to fit into the room that is left.

Above: the admit stage. Below: the bound, the anchors, what was learned. Why it is found so: docs/why/bound.md
"""

from typing import Literal

from msgspec.structs import replace

from sekisho.access.policies import GEOGRAPHIES
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.conversation.kept import WORTH_BYTES
from sekisho.conversation.layout import HISTORY
from sekisho.dialects.cache_marks import asks_for_1h
from sekisho.dialects.clamping import clamp, thinks_by_budget
from sekisho.dialects.fitting import MIN_THINKING_TOKENS
from sekisho.dialects.plain import IMAGE, UNPACKED
from sekisho.dialects.text import Text
from sekisho.errors import NotAllowed
from sekisho.ledger.anchor import Anchor, Anchored, Prompt, Turn, bound_by, find_turn, tokens_by
from sekisho.ledger.bound import OVERHEAD_TOKENS, output_tokens_within, prompt_tokens_bound
from sekisho.values import Deployment

LEAST_OUTPUT_TOKENS = 1_024
"""No answer is made shorter than this: an agent's step needs about so much."""

_MOST_BYTES_PER_TOKEN = 8  # no count of a prompt is smaller
_LITTLE_IS_NEW = 16  # of a body: a sixteenth


def measure(gate: Gate, call: Call) -> Prompt:
    """Bound the prompt: by a turn before it, else by its bytes.

    By byte search, which may find a word where it means nothing. What is as it was in the turn before is not searched
    again."""
    if call.chain.is_plain and call.chain.body is call.body:
        return Prompt(prompt_tokens_bound(len(call.body)))
    tokenizer = tokenizer_of(call.known_model.deployments) if len(call.body) >= WORTH_BYTES else ""
    turn = _turn(call) if tokenizer else None
    found = _anchored(gate, call, tokenizer, turn) if turn else None
    if found is not None and tokens_by(found) < len(call.body):
        anchor = found.anchor
        tokens = anchor.prompt_tokens + _bytes_bound(call, Text(found.new_text))
        ttl = "1h" if anchor.longest_ttl == "1h" else _longest_ttl(call, Text(found.new_text))
        return Prompt(tokens, ttl, tokenizer, turn, is_anchored=True)
    text = call.chain.text if call.chain.body is call.body else Text(call.body)
    return Prompt(_bytes_bound(call, text), _longest_ttl(call, text), tokenizer, turn)


def _anchored(gate: Gate, call: Call, tokenizer: str, turn: Turn) -> Anchored | None:
    """The best that the anchors of this key, door and model say of its prompt; None where they say nothing.

    The newest comes first; if little is new since then, no other is asked."""
    best: Anchored | None = None
    base_id = call.chain.base.call_id if call.chain.base else b""
    for kept in reversed(gate.conversations.bodies(call.owner)):
        anchor = kept.anchors.get(tokenizer)
        if not isinstance(anchor, Anchor):
            continue
        found = bound_by(anchor, turn, call.chain.alignment if kept.call_id == base_id else None)
        if found is not None and (best is None or tokens_by(found) < tokens_by(best)):
            best = found
            if found.goes_on or len(found.new_text) < len(call.chain.body) // _LITTLE_IS_NEW:
                break
    return best


def keep_anchor(gate: Gate, call: Call, prompt_tokens: int) -> None:
    """Let later turns of the call's conversation be bounded by what the provider has counted in it."""
    prompt = call.prompt
    kept = gate.conversations.settle(call.owner, call.id, call.chain)
    if kept is not None and prompt.turn is not None and prompt_tokens:
        kept.anchors[prompt.tokenizer] = Anchor(prompt.turn, prompt_tokens, prompt.longest_ttl)


def _longest_ttl(call: Call, text: Text) -> Literal["5m", "1h"]:
    return "1h" if call.known_model.quirks.cache_ttl_1h and asks_for_1h(text) else "5m"


def counted(prompt: Prompt, tokens: int) -> Prompt:
    """The prompt with what its provider has counted."""
    return replace(prompt, tokens=min(prompt.tokens, tokens + OVERHEAD_TOKENS), is_anchored=False, is_counted=True)


def ceiling_nanousd(call: Call, prompt: Prompt, attempts: int, max_output_tokens: int) -> int:
    """The most this call can cost: the sum of its dearest attempts. Raises NotAllowed without a price."""
    passage = call.known_passage
    if not passage.candidates:
        raise NotAllowed(
            f"The price of the model '{call.known_model.name}' is not known, so calls to it cannot be accounted for. "
            "Ask the administrator to set its price.",
            param="model",
        )
    return passage.bounds.nanousd(prompt.tokens, max_output_tokens, prompt.longest_ttl == "1h", attempts)


def least_output_tokens(gate: Gate, call: Call) -> int:
    """How long an answer this call must be allowed at least: what the model and the agent are known to need."""
    floor = LEAST_OUTPUT_TOKENS
    if thinks_by_budget(call.door, call.fields):
        floor += MIN_THINKING_TOKENS
    return max(floor, gate.learned.output_tokens(call.agent.name, call.known_model.name))


def may_be_counted(call: Call) -> bool:
    """Whether it can pay to let the provider count the prompt: not for a small one, or where counts do not agree."""
    return (
        not call.prompt.is_anchored
        and not call.prompt.is_counted
        and len(call.body) >= WORTH_BYTES
        and bool(tokenizer_of(call.known_model.deployments))
    )


def least_nanousd(gate: Gate, call: Call) -> int:
    """What the call costs at most once everything was done to make it fit."""
    prompt = counted(call.prompt, len(call.body) // _MOST_BYTES_PER_TOKEN) if may_be_counted(call) else call.prompt
    return ceiling_nanousd(call, prompt, 1, min(call.max_output_tokens, least_output_tokens(gate, call)))


def shortened(gate: Gate, call: Call, prompt: Prompt, room_nanousd: int) -> Call | None:
    """The call with the longest answer that fits into the room, in one attempt; None if that is too short to be of
    use."""
    most = output_tokens_within(
        room_nanousd, call.max_output_tokens - 1, lambda tokens: ceiling_nanousd(call, prompt, 1, tokens)
    )
    if most < least_output_tokens(gate, call):
        return None
    body, fields = clamp(call.door, call.fields, call.max_output_tokens, most)
    return replace(call, body=body, fields=fields, max_output_tokens=most)


def tokenizer_of(deployments: tuple[Deployment, ...]) -> str:
    """The model that all deployments have in common, whatever profile they are called by; empty if there is none.

    Only then do their counts of one prompt agree."""
    names = {_bare(deployment.upstream_model) for deployment in deployments if deployment.price is not None}
    return names.pop() if len(names) == 1 else ""


def _bare(upstream_model: str) -> str:
    profile, _, bare = upstream_model.partition(".")
    return bare if profile in GEOGRAPHIES else upstream_model


def _turn(call: Call) -> Turn | None:
    """The prompt as the client wrote it, but for an answer that was made shorter."""
    chain, history = call.chain, call.chain.history
    if history is None or not chain.body.startswith(b"[", history.start):
        return None
    rest = {name: value for name, value in chain.fields.items() if name != HISTORY[call.door]}
    return find_turn(chain.text.part(*history), rest, call.headers.get(b"anthropic-beta", b""))


def _bytes_bound(call: Call, text: Text) -> int:
    """The most tokens of a text that is a part of the prompt, with what the provider adds to the whole."""
    documents = sum(text.holds(word) for word in UNPACKED[call.door])
    return prompt_tokens_bound(len(text), text.count(IMAGE), documents, call.known_model.context_tokens)
