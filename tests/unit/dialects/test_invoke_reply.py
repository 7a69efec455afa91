"""Claude's form of InvokeModel for other families, read back by botocore and by our own reader of Claude's frames."""

import json

import pytest
from botocore.eventstream import EventStreamBuffer

from sekisho.dialects.bedrock.invoke_reply import ReplyRenderer, parse_request
from sekisho.dialects.exchange import Event, Metered, Started, Stopped, Text, TextDelta, ToolDelta, ToolStarted
from sekisho.dialects.passing import InvokeToMessages
from sekisho.errors import BadRequest, UpstreamUnavailable
from sekisho.values import Usage

EVENTS: list[Event] = [
    Started(),
    TextDelta(0, "Grüße"),
    ToolStarted(1, "t1", "read"),
    ToolDelta(1, '{"a":1}'),
    Stopped("tool_use"),
    Metered(Usage(7, 0, 0, 0, 3)),
]


def test_a_stream_is_what_claude_writes():
    renderer = ReplyRenderer("01", "nova-pro")
    wire = renderer.events(EVENTS) + renderer.finish(None)
    reader = InvokeToMessages("01")
    text = (reader.feed(wire) + reader.finish(None)).decode()
    assert reader.is_complete and reader.stop_reason == "tool_use" and reader.usage == Usage(7, 0, 0, 0, 3)
    kinds = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event")]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop" and "Grüße" in text


def test_a_whole_answer_is_a_message():
    whole = json.loads(ReplyRenderer("01", "nova-pro").whole(EVENTS, 5))
    assert (whole["model"], whole["stop_reason"], whole["usage"]["output_tokens"]) == ("nova-pro", "tool_use", 3)
    assert [block["type"] for block in whole["content"]] == ["text", "tool_use"]


def test_a_failure_is_an_exception_that_aws_sdks_raise():
    buffer = EventStreamBuffer()
    buffer.add_data(ReplyRenderer("01", "m").failure(UpstreamUnavailable("It broke off.")))
    (message,) = list(buffer)
    assert message.headers[":message-type"] == "exception"
    assert json.loads(message.payload) == {"message": "It broke off."}
    assert ReplyRenderer("01", "m").keepalive() == b""


def test_claudes_form_is_read_and_no_other():
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    request = parse_request(json.dumps(body).encode(), "nova-pro")
    assert (request.model, request.max_tokens, request.messages[0].parts) == ("nova-pro", 5, (Text("hi"),))
    for other in (b'{"inputText":"hi"}', b'{"anthropic_version":1}', b"[]"):
        with pytest.raises(BadRequest, match="Claude's form only"):
            parse_request(other, "nova-pro")
