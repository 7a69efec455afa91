"""Count the tokens of a prompt: by the upstream where it counts, else by our own estimate. Costs nothing."""

import logging

import msgspec
from msgspec.structs import replace

from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Counted, Next, Reply
from sekisho.calls.shaping import shape, wire_of
from sekisho.calls.stages.send import find_credential
from sekisho.dialects.body import parse_fields
from sekisho.errors import BadRequest, RateLimited, UpstreamUnavailable

log = logging.getLogger(__name__)
_BYTES_PER_TOKEN = 4


async def count(gate: Gate, call: Call, next: Next) -> Reply:
    """The last stage of a count: `next` is never called."""
    tokens, size = await count_prompt(gate, unwrap(call))
    return Counted(tokens if tokens is not None else size // _BYTES_PER_TOKEN + 1)


async def count_prompt(gate: Gate, call: Call) -> tuple[int | None, int]:
    """The upstream's count of this prompt, None where it gives none, and the bytes of it there."""
    deployment = call.known_model.deployments[0]
    counted = replace(call, deployment=deployment, stream=False)
    wire = wire_of(counted.door, deployment, counted.known_model.family)
    shaped = shape(counted, wire)
    credential = await find_credential(gate, deployment)
    try:
        return await gate.upstreams.count_tokens(deployment, wire, credential, shaped.body), len(shaped.body)
    except (RateLimited, UpstreamUnavailable) as error:
        log.info("the prompt of call %s was not counted: %s", call.id_text, error.code)
        return None, len(shaped.body)


class _Invoke(msgspec.Struct):
    body: bytes  # base64 in JSON


class _Input(msgspec.Struct, rename="camel"):
    converse: msgspec.Raw = msgspec.Raw()
    invoke_model: _Invoke | None = None


class _CountRequest(msgspec.Struct):
    input: _Input


def unwrap(call: Call) -> Call:
    """The call whose prompt is to be counted: Bedrock's CountTokens carries a whole body of another operation."""
    if call.door != "bedrock_converse":
        return call
    try:
        given = msgspec.json.decode(call.body, type=_CountRequest).input
    except msgspec.DecodeError as error:
        raise BadRequest("'input' must hold 'converse' or 'invokeModel'.", param="input") from error
    if given.invoke_model is not None:
        body = given.invoke_model.body
        return replace(call, door="bedrock_invoke", body=body, fields=parse_fields(body))
    if not given.converse:
        raise BadRequest("'input' must hold 'converse' or 'invokeModel'.", param="input")
    body = bytes(given.converse)
    return replace(call, body=body, fields=parse_fields(body))
