"""An error as the client of each door reads it."""

from collections.abc import Iterable

from sekisho.dialects import anthropic_messages, openai_chat, openai_responses
from sekisho.dialects.bedrock import converse
from sekisho.errors import SekishoError
from sekisho.values import Door
from sekisho.web.doors.asgi import JSON, HeaderList, Send, send_whole


async def send_error(
    send: Send, door: Door, error: SekishoError, call_id: str, more_headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with the error in the dialect of the door. The status is the class's own."""
    headers = [*id_headers(call_id), *_retry_headers(error), *more_headers]
    if door in ("bedrock_converse", "bedrock_invoke"):
        headers.extend(converse.error_headers(error))
    await send_whole(send, error.status, error_body(door, error, call_id), JSON, headers)


def error_body(door: Door, error: SekishoError, call_id: str) -> bytes:
    match door:
        case "openai_chat":
            return openai_chat.render_error(error, call_id)
        case "openai_responses":
            return openai_responses.render_error(error, call_id)
        case "anthropic_messages":
            return anthropic_messages.render_error(error, call_id)
        case "bedrock_converse" | "bedrock_invoke":
            return converse.render_error(error)


def id_headers(call_id: str) -> HeaderList:
    """The call's id under every name that clients print or log."""
    value = call_id.encode()
    return [
        (b"x-sekisho-call-id", value),
        (b"x-litellm-call-id", value),
        (b"x-request-id", value),
        (b"request-id", value),
        (b"x-amzn-requestid", value),
    ]


def _retry_headers(error: SekishoError) -> HeaderList:
    headers: HeaderList = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if not error.retryable:
        headers.append((b"x-should-retry", b"false"))
    return headers
