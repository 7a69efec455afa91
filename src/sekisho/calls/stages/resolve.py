"""Read the body, and find the model that its name means."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from sekisho.calls.agents import identify_by_body
from sekisho.calls.body import parse_fields
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Next, Reply
from sekisho.errors import BadRequest, ModelNotFound

_MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_decode_number: Callable[[msgspec.Raw], int | None] = msgspec.json.Decoder(int | None).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_flag = msgspec.json.Decoder(bool | None).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


async def resolve(gate: Gate, call: Call, next: Next) -> Reply:
    body = await call.read_body()
    fields = parse_fields(body)
    name = call.path_model or _text(fields, "model")
    named = replace(
        call,
        body=body,
        fields=fields,
        model_name=name,
        stream=call.path_stream or _flag(fields, "stream"),
        agent=identify_by_body(call.agent, body, fields),
    )
    call.trail.seen = named
    model = gate.registry.find_model(name)
    if model is None:
        raise ModelNotFound(f"There is no model '{name[:100]}' here. GET /v1/models lists those you may use.")
    return await next(
        replace(named, model=model, max_output_tokens=_max_output_tokens(fields, model.max_output_tokens))
    )


def _max_output_tokens(fields: dict[str, msgspec.Raw], most: int) -> int:
    """How many tokens the client lets the model write; the model's most if it does not say."""
    for field in _MAX_TOKENS_FIELDS:
        if field in fields:
            value = _number(fields, field)
            return min(value, most) if value is not None else most
    if "inferenceConfig" in fields:
        try:
            inference = _decode_fields(fields["inferenceConfig"])
        except msgspec.DecodeError as error:
            raise BadRequest("'inferenceConfig' must be an object.", param="inferenceConfig") from error
        value = _number(inference, "maxTokens")
        return min(value, most) if value is not None else most
    return most


def _number(fields: dict[str, msgspec.Raw], field: str) -> int | None:
    if field not in fields:
        return None
    try:
        value = _decode_number(fields[field])
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
