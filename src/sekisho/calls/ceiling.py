"""The most a call can cost, and how that can be made to fit into the room that is left.

Above: the admit stage. Below: the bound, the anchors, what was learned. Why it is found so: docs/why/bound.md
"""

from typing import Literal

from msgspec.structs import replace

from sekisho.access.policies import GEOGRAPHIES
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.dialects import search
from sekisho.dialects.clamping import clamp, thinks_by_budget
from sekisho.dialects.fitting import MIN_THINKING_TOKENS
from sekisho.errors import NotAllowed
from sekisho.ledger.anchor import WORTH_BYTES, Prompt, Turn, find_turn
from sekisho.ledger.bound import OVERHEAD_TOKENS, output_tokens_within, prompt_tokens_bound
from sekisho.values import Deployment, Door

LEAST_OUTPUT_TOKENS = 1_024
"""No answer is made shorter than this: an agent's step needs about so much."""

_MOST_BYTES_PER_TOKEN = 8  # no count of a prompt is smaller
# Words that announce what may have more tokens than bytes. Each door is searched for its own only: a search of a large
# body costs as much as sending it on.
_UNPACKED: dict[Door, tuple[bytes, ...]] = {
    "anthropic_messages": (b'"document"',),
    "bedrock_invoke": (b'"document"',),
    "bedrock_converse": (b'"document"', b'"video"'),
    "openai_chat": (b"data:application/", b'"file"'),
    "openai_responses": (b'"input_file"',),
}


def measure(gate: Gate, call: Call) -> Prompt:
    """Bound the prompt: by the turn before it, else by its bytes.

    By byte search, which may find a word where it means nothing. What is as it was in the turn before is not searched
    again."""
    turn = _turn(call)
    anchored = gate.anchors.bound(turn) if turn else None
    if anchored is not None and anchored.anchor.prompt_tokens + len(anchored.new_text) < len(call.body):
        anchor = anchored.anchor
        tokens = anchor.prompt_tokens + _bytes_bound(call, anchored.new_text)
        ttl = "1h" if anchor.longest_ttl == "1h" else _longest_ttl(call, anchored.new_text)
        return Prompt(tokens, ttl, turn, anchored)
    return Prompt(_bytes_bound(call, call.body), _longest_ttl(call, call.body), turn)


def _longest_ttl(call: Call, text: bytes) -> Literal["5m", "1h"]:
    return "1h" if call.known_model.quirks.cache_ttl_1h and search.holds(text, b'"1h"') else "5m"


def counted(prompt: Prompt, tokens: int) -> Prompt:
    """The prompt with what its provider has counted."""
    return replace(prompt, tokens=min(prompt.tokens, tokens + OVERHEAD_TOKENS), anchored=None, is_counted=True)


def ceiling_nanousd(call: Call, prompt: Prompt, attempts: int, max_output_tokens: int) -> int:
    """The most this call can cost: the sum of its dearest attempts. Raises NotAllowed without a price."""
    tokens, is_long_ttl = prompt.tokens, prompt.longest_ttl == "1h"
    bounds = [one.nanousd(tokens, max_output_tokens, is_long_ttl) for one in call.known_passage.bounds]
    if not bounds:
        raise NotAllowed(
            f"The price of the model '{call.known_model.name}' is not known, so calls to it cannot be accounted for. "
            "Ask the administrator to set its price.",
            param="model",
        )
    if len(bounds) > attempts:
        bounds.sort(reverse=True)
        del bounds[attempts:]
    return sum(bounds)


def least_output_tokens(gate: Gate, call: Call) -> int:
    """How long an answer this call must be allowed at least: what the model and the agent are known to need."""
    floor = LEAST_OUTPUT_TOKENS
    if thinks_by_budget(call.door, call.fields):
        floor += MIN_THINKING_TOKENS
    return max(floor, gate.learned.output_tokens(call.agent.name, call.known_model.name))


def may_be_counted(call: Call) -> bool:
    """Whether it can pay to let the provider count the prompt: not for a small one, or where counts do not agree."""
    return (
        call.prompt.anchored is None
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
    if len(call.body) < WORTH_BYTES:
        return None
    tokenizer = tokenizer_of(call.known_model.deployments)
    if not tokenizer:
        return None
    chain = (call.known_key.id, tokenizer, call.door)
    return find_turn(chain, call.fields, call.headers.get(b"anthropic-beta", b""))


def _bytes_bound(call: Call, text: bytes) -> int:
    """The most tokens of a text that is a part of the prompt, with what the provider adds to the whole."""
    documents = 0
    for word in _UNPACKED[call.door]:
        documents += search.holds(text, word)
    images = search.count(text, b'"image')
    return prompt_tokens_bound(len(text), images, documents, call.known_model.context_tokens)
