"""One answer of the simulated model, before any wire: its blocks, why it stopped, and what it weighs.

Reasoning is signed with a key that only the simulator has, so that altered reasoning is refused when it comes back.
"""

import base64
import hashlib
import hmac

import msgspec

from sekisho.dialects.exchange import RedactedThinking, Text, Thinking, ToolUse
from sekisho.simulator.tokens import part_tokens
from sekisho.values import StopReason

AnswerBlock = Thinking | RedactedThinking | Text | ToolUse

_SIGNING_KEY = b"sekisho simulator reasoning"


class Answer(msgspec.Struct, frozen=True):
    """What the model says. A ToolUse that was cut off holds incomplete JSON."""

    blocks: tuple[AnswerBlock, ...]
    stop_reason: StopReason
    stop_sequence: str | None = None

    @property
    def output_tokens(self) -> int:
        return sum(part_tokens(block) for block in self.blocks)

    @property
    def reasoning_tokens(self) -> int:
        return sum(part_tokens(block) for block in self.blocks if isinstance(block, Thinking | RedactedThinking))


def signed_thinking(text: str) -> Thinking:
    """A reasoning block whose signature proves its text."""
    return Thinking(text, _signature(text))


def is_genuine(block: Thinking) -> bool:
    """Whether the simulator signed exactly this text."""
    return hmac.compare_digest(block.signature, _signature(block.text))


def redacted_thinking(text: str) -> RedactedThinking:
    """Reasoning that the client cannot read: the text's bytes turned over, behind their signature."""
    sealed = bytes(byte ^ 0xFF for byte in text.encode())
    return RedactedThinking(base64.b64encode(_mac(sealed) + sealed).decode())


def is_genuine_redaction(block: RedactedThinking) -> bool:
    """Whether the simulator made exactly this data, which must be valid base64."""
    raw = base64.b64decode(block.data)
    return hmac.compare_digest(raw[:32], _mac(raw[32:]))


def stop_at(answer: Answer, sequences: tuple[str, ...]) -> Answer:
    """The answer ended before the first stop sequence that its text contains, if any."""
    for index, block in enumerate(answer.blocks):
        if not isinstance(block, Text):
            continue
        found = [(block.text.find(sequence), sequence) for sequence in sequences if sequence in block.text]
        if found:
            position, sequence = min(found)
            kept = (Text(block.text[:position]),) if position else ()
            return Answer(answer.blocks[:index] + kept, "stop_sequence", sequence)
    return answer


def cut_to(answer: Answer, max_tokens: int, reason: StopReason) -> Answer:
    """The answer ended for `reason` after `max_tokens` output tokens, if it is longer."""
    room, kept = max_tokens, list[AnswerBlock]()
    for block in answer.blocks:
        tokens = part_tokens(block)
        if tokens > room:
            kept.extend(_shortened(block, room))
            return Answer(tuple(kept), reason)
        kept.append(block)
        room -= tokens
    return answer


def _shortened(block: AnswerBlock, room: int) -> list[AnswerBlock]:
    """The part of the block that fits into `room` tokens; nothing when no part of it does."""
    if room <= 0 or isinstance(block, RedactedThinking):
        return []
    if isinstance(block, ToolUse):
        room -= part_tokens(msgspec.structs.replace(block, input=""))
        return [msgspec.structs.replace(block, input=_first_bytes(block.input, room * 4))] if room >= 0 else []
    text = _first_bytes(block.text, room * 4)
    if not text:
        return []
    return [Text(text) if isinstance(block, Text) else signed_thinking(text)]


def _first_bytes(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")


def _signature(text: str) -> str:
    return base64.b64encode(_mac(text.encode())).decode()


def _mac(data: bytes) -> bytes:
    return hmac.new(_SIGNING_KEY, data, hashlib.sha256).digest()
