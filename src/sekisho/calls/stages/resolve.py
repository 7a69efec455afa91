"""Read the body: which model it names, which task it belongs to."""

from collections.abc import Awaitable

import msgspec

from sekisho.calls.agents import identify_by_body
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Next, Reply
from sekisho.calls.tasking import task_of
from sekisho.errors import BadRequest, ModelNotFound
from sekisho.values import Door

_MAX_TOKENS_FIELDS: dict[Door, tuple[str, ...]] = {
    "openai_chat": ("max_completion_tokens", "max_tokens"),
    "openai_responses": ("max_output_tokens",),
    "anthropic_messages": ("max_tokens",),
    "bedrock_invoke": ("max_tokens",),
    "bedrock_converse": ("maxTokens",),  # inside inferenceConfig
}
_decode_number = msgspec.json.Decoder(int | None).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_flag = msgspec.json.Decoder(bool | None).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def resolve(gate: Gate, call: Call, next: Next) -> Awaitable[Reply]:
    if not call.body:
        return _read_and_resolve(gate, call, next)
    read(gate, call)
    _find_model(gate, call)
    return next(call)


async def _read_and_resolve(gate: Gate, call: Call, next: Next) -> Reply:
    asked_us = gate.clock.monotonic_us()
    call.body = await call.read_body()
    call.trail.waited_us += gate.clock.monotonic_us() - asked_us
    read(gate, call)
    _find_model(gate, call)
    return await next(call)


def read(gate: Gate, call: Call) -> None:
    """Say what stands in the body, whose agent wrote it, and which task it is for. Raises BadRequest."""
    chain = gate.conversations.read(call.owner, call.body)
    fields = chain.fields
    name = call.path_model or _text(fields, "model")
    call.chain, call.fields = chain, fields
    call.stream = call.path_stream or _flag(fields, "stream")
    call.agent = identify_by_body(call.agent, call.body, fields)
    call.model_name = name
    call.task = task_of(gate, call)


def _find_model(gate: Gate, call: Call) -> None:
    name, fields = call.model_name, call.fields
    model = call.model = gate.registry.find_model(name)
    if model is None:
        raise ModelNotFound(f"There is no model '{name[:100]}' here. GET /v1/models lists those you may use.")
    if call.door == "openai_chat" and (_number(fields, "n") or 1) > 1:
        raise BadRequest("n: this gateway gives one answer per call.", param="n")  # each would cost like a call
    call.max_output_tokens = _max_output_tokens(call, model.max_output_tokens)


def _max_output_tokens(call: Call, most: int) -> int:
    """How many tokens the client lets the model write, by the fields that its door reads; the model's most if none."""
    fields = call.fields
    if call.door == "bedrock_converse":
        try:
            fields = _decode_fields(fields["inferenceConfig"]) if "inferenceConfig" in fields else {}
        except msgspec.DecodeError as error:
            raise BadRequest("'inferenceConfig' must be an object.", param="inferenceConfig") from error
    asked = 0
    for field in _MAX_TOKENS_FIELDS[call.door]:
        if field in fields:
            asked = max(asked, _number(fields, field) or 0)
    return min(asked or most, most)


def _number(fields: dict[str, msgspec.Raw], field: str) -> int | None:
    if field not in fields:
        return None
    try:
        value: int | None = _decode_number(fields[field])
    except msgspec.DecodeError as error:
        raise BadRequest(f"'{field}' must be a whole number.", param=field) from error
    if value is not None and value < 1:
        raise BadRequest(f"'{field}' must be at least 1.", param=field)
    return value


def _text(fields: dict[str, msgspec.Raw], field: str) -> str:
    if field not in fields:
        raise BadRequest(f"'{field}' is missing.", param=field)
    try:
        return _decode_text(fields[field])
    except msgspec.DecodeError as error:
        raise BadRequest(f"'{field}' must be a string.", param=field) from error


def _flag(fields: dict[str, msgspec.Raw], field: str) -> bool:
    if field not in fields:
        return False
    try:
        return bool(_decode_flag(fields[field]))
    except msgspec.DecodeError as error:
        raise BadRequest(f"'{field}' must be true or false.", param=field) from error
