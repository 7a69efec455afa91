"""What goes upstream for a call, and what turns the answer back: the table of doors and wires.

The same wire in and out passes as bytes; everything else meets in the neutral exchange.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from sekisho.calls.call import Call
from sekisho.calls.signed import passed_payload, signed_payload, unchanged_payload
from sekisho.calls.translating import written_on
from sekisho.conversation.kept import WORTH_BYTES
from sekisho.dialects import anthropic_messages, openai_chat, openai_responses, passing
from sekisho.dialects.bedrock import converse, invoke, invoke_reply
from sekisho.dialects.ending import EndedByClamp
from sekisho.dialects.exchange import ReplyParser, ReplyRenderer, Request
from sekisho.dialects.folding import renamed_tools
from sekisho.dialects.text import Text
from sekisho.dialects.translation import Translated, Translation
from sekisho.errors import BadRequest
from sekisho.upstream.payload import Payload
from sekisho.values import Deployment, Door, Wire


@dataclass(frozen=True, slots=True)
class Shaped:
    """A request ready to be sent. `betas` go to upstreams that take them as a header."""

    body: bytes | Payload
    translation: Translation
    betas: tuple[str, ...] = ()


def wire_of(door: Door, deployment: Deployment, family: str) -> Wire:
    """The wire for this door: Claude stays in its own dialect, everything else on Bedrock speaks Converse."""
    if deployment.provider != "bedrock":
        return deployment.wire
    if family == "claude" and door in ("anthropic_messages", "bedrock_invoke"):
        return "bedrock_invoke"
    return "bedrock_converse"


def shape(call: Call, wire: Wire) -> Shaped:
    """Write the call for this wire. Raises BadRequest where the wire or the model has no place for what is asked."""
    passes = _PASSING.get((call.door, wire))
    try:
        if not passes:
            return _translate(call, wire)
        shaped = passes(call)
        if call.ending:  # the end of the answer may have to be ours, so it cannot pass as bytes
            unread = Request(call.model_name, (), wants_usage=call.door != "openai_chat" or _wants_usage(call))
            return Shaped(shaped.body, _translation(unread, call, wire), shaped.betas)
        return shaped
    except RecursionError as error:
        raise BadRequest("The request body is nested too deeply.") from error


def _translate(call: Call, wire: Wire) -> Shaped:
    if (
        wire == "bedrock_converse"
        and call.door in ("openai_chat", "openai_responses")
        and len(call.body) >= WORTH_BYTES
    ):
        going_on = written_on(call)
        if going_on is not None:
            request, payload = going_on
            return Shaped(payload, _translation(request, call, wire))
    request = msgspec.structs.replace(_PARSERS[call.door](call), stream=call.stream)
    return Shaped(
        body=_REQUESTS[wire](request, call),
        translation=_translation(request, call, wire),
    )


def _translation(request: Request, call: Call, wire: Wire) -> Translation:
    parser, renderer = _REPLY_PARSERS[wire](request), _RENDERERS[call.door](request, call)
    return EndedByClamp(parser, renderer, call.ending) if call.ending else Translated(parser, renderer)


_PARSERS: dict[Door, Callable[[Call], Request]] = {
    "openai_chat": lambda call: openai_chat.parse_request(call.body),
    "openai_responses": lambda call: openai_responses.parse_request(call.body),
    "anthropic_messages": lambda call: anthropic_messages.parse_request(call.body),
    "bedrock_converse": lambda call: converse.parse_request(call.body, call.model_name),
    "bedrock_invoke": lambda call: invoke_reply.parse_request(call.body, call.model_name),
}
_REQUESTS: dict[Wire, Callable[[Request, Call], bytes]] = {
    "bedrock_converse": lambda request, call: converse.render_request(request, call.known_model)[0],
    "anthropic_messages": lambda request, call: anthropic_messages.render_request(
        request,
        call.chosen_deployment.upstream_model,
        call.known_model.quirks,
        max_output_tokens=call.known_model.max_output_tokens,
    ),
    "openai_chat": lambda request, call: openai_chat.render_request(request, call.chosen_deployment.upstream_model),
}
_REPLY_PARSERS: dict[Wire, Callable[[Request], ReplyParser]] = {
    "bedrock_converse": lambda request: converse.ReplyParser(renamed_tools(request.tools)),
    "anthropic_messages": lambda request: anthropic_messages.ReplyParser(renamed_tools(request.tools)),
    "openai_chat": lambda request: openai_chat.ReplyParser(),
    "bedrock_invoke": lambda request: invoke_reply.ReplyParser(),
}
_RENDERERS: dict[Door, Callable[[Request, Call], ReplyRenderer]] = {
    "openai_chat": lambda request, call: openai_chat.ReplyRenderer(
        call_id=call.id_text,
        model=call.model_name,
        created=call.started_at // 1_000_000,
        wants_usage=request.wants_usage,
    ),
    "openai_responses": lambda request, call: openai_responses.ReplyRenderer(
        call_id=call.id_text,
        model=call.model_name,
        created=call.started_at // 1_000_000,
        origins=openai_responses.tool_origins(request),
    ),
    "anthropic_messages": lambda request, call: anthropic_messages.ReplyRenderer(call.id_text, call.model_name),
    "bedrock_converse": lambda request, call: converse.ReplyRenderer(),
    "bedrock_invoke": lambda request, call: invoke_reply.ReplyRenderer(call.id_text, call.model_name),
}


def _betas(call: Call) -> tuple[str, ...]:
    value = call.headers.get(b"anthropic-beta", b"").decode("latin-1")
    return tuple(beta.strip() for beta in value.split(",") if beta.strip())


def _invoke_body(call: Call) -> Payload:
    model = call.known_model
    body = invoke.to_invoke(
        call.fields,
        model.quirks,
        max_output_tokens=model.max_output_tokens,
        betas=_betas(call),
        texts=_texts(call) if len(call.body) >= WORTH_BYTES and call.fields is call.chain.fields else None,
    )
    return signed_payload(call.chain, body.head, body.messages, body.tail)


def _texts(call: Call) -> dict[str, Text]:
    """The members of a body that are searched, with what is known of them from earlier turns."""
    chain, texts = call.chain, {}
    for name in ("tools", "system"):
        text = chain.member(name)
        if text is not None and not text.starts_with(b"null"):
            texts[name] = text
    if chain.history is not None:
        texts["messages"] = chain.text.part(*chain.history)
    return texts


def _messages_by_invoke(call: Call) -> Shaped:
    return Shaped(_invoke_body(call), passing.InvokeToMessages(call.id_text, call.model_name))


def _invoke_by_invoke(call: Call) -> Shaped:
    return Shaped(_invoke_body(call), passing.InvokeToInvoke())


def _converse_by_converse(call: Call) -> Shaped:
    body = converse.fit_request(call.body, call.fields, call.known_model)
    if body is call.chain.body and len(body) >= WORTH_BYTES:
        return Shaped(unchanged_payload(call.chain), passing.ConverseToConverse())
    return Shaped(body, passing.ConverseToConverse())


def _passed(call: Call, pass_members: Callable[..., dict[str, msgspec.Raw]]) -> Payload:
    """The client's own body, as these members of it go upstream."""
    members = pass_members(
        call.fields,
        call.chosen_deployment.upstream_model,
        max_output_tokens=call.known_model.max_output_tokens,
    )
    if call.fields is call.chain.fields and len(call.body) >= WORTH_BYTES:
        return passed_payload(call.chain, members)
    return Payload((msgspec.json.encode(members),))


def _messages_by_messages(call: Call) -> Shaped:
    body = _passed(call, anthropic_messages.pass_members)
    return Shaped(body, passing.MessagesToMessages(call.id_text, call.model_name), _betas(call))


def _chat_by_chat(call: Call) -> Shaped:
    return Shaped(
        _passed(call, openai_chat.pass_fields),
        openai_chat.ChatPassing(call_id=call.id_text, model=call.model_name, wants_usage=_wants_usage(call)),
    )


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


def _wants_usage(call: Call) -> bool:
    """Whether the client asked for usage; without a stream it always does."""
    if not call.stream:
        return True
    try:
        options = msgspec.json.decode(call.fields.get("stream_options", b"null"), type=_StreamOptions | None)
    except msgspec.DecodeError as error:
        raise BadRequest("'stream_options' must be an object.", param="stream_options") from error
    return bool(options and options.include_usage)


_PASSING: dict[tuple[Door, Wire], Callable[[Call], Shaped]] = {
    ("anthropic_messages", "bedrock_invoke"): _messages_by_invoke,
    ("bedrock_invoke", "bedrock_invoke"): _invoke_by_invoke,
    ("bedrock_converse", "bedrock_converse"): _converse_by_converse,
    ("anthropic_messages", "anthropic_messages"): _messages_by_messages,
    ("openai_chat", "openai_chat"): _chat_by_chat,
}
