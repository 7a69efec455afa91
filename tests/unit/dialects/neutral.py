"""Hypothesis strategies for neutral requests, in the shapes that real clients send them: any."""

import base64
import json

from hypothesis import strategies as st

from sekisho.dialects.exchange import (
    CachePoint,
    Document,
    Image,
    JsonSchema,
    Message,
    Part,
    Reasoning,
    RedactedThinking,
    Request,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from sekisho.values import Model, Quirks
from tests.unit.dialects.wire import JSON

TEXTS = st.text(max_size=12) | st.sampled_from(["", " \n", "words"])
BASE64 = st.binary(min_size=1, max_size=9).map(lambda data: base64.b64encode(data).decode())
IDS = st.sampled_from(["a", "b", "call:1", "id with spaces", "x" * 80, "関所"])
NAMES = st.sampled_from(["Read", "mcp.server/tool", "n" * 70, "道具"])
POINTS = st.builds(CachePoint, st.sampled_from(["5m", "1h"]))
MEDIA = st.builds(Image, st.sampled_from(["png", "jpeg", "gif", "webp"]), BASE64) | st.builds(
    Document,
    st.sampled_from(["pdf", "txt", "md"]),
    st.text(max_size=12),
    st.text(min_size=1, max_size=9).map(lambda text: base64.b64encode(text.encode()).decode()),
)
RESULTS = st.builds(
    ToolResult, IDS, st.lists(st.builds(Text, TEXTS) | MEDIA, max_size=2).map(tuple), is_error=st.booleans()
)
USES = st.builds(
    ToolUse,
    IDS,
    NAMES,
    st.dictionaries(st.text(max_size=4), JSON, max_size=2).map(json.dumps) | st.sampled_from(["", "{", "[1]", '{"a":']),
)
THOUGHTS = st.builds(Thinking, TEXTS, st.sampled_from(["", "c2ln"])) | st.builds(RedactedThinking, BASE64)
USER_PARTS: st.SearchStrategy[Part] = st.builds(Text, TEXTS) | MEDIA | RESULTS | POINTS
ASSISTANT_PARTS: st.SearchStrategy[Part] = st.builds(Text, TEXTS) | THOUGHTS | USES | POINTS
SYSTEM_PARTS: st.SearchStrategy[Part] = st.builds(Text, TEXTS) | POINTS


def _message(role: str, parts: st.SearchStrategy[Part]) -> st.SearchStrategy[Message]:
    return st.builds(Message, st.just(role), st.lists(parts, max_size=4).map(tuple))


MESSAGES = st.lists(
    _message("user", USER_PARTS) | _message("assistant", ASSISTANT_PARTS) | _message("system", SYSTEM_PARTS),
    min_size=1,
    max_size=6,
).map(tuple)

TOOLS = st.lists(
    st.builds(
        Tool,
        NAMES,
        TEXTS,
        st.dictionaries(st.sampled_from(["properties", "$schema"]), JSON, max_size=1),
        st.none() | st.booleans(),
        st.sampled_from([None, "5m", "1h"]),
    ),
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)

REASONING = st.builds(
    Reasoning,
    st.sampled_from(["unset", "disabled", "enabled", "adaptive"]),
    st.integers(0, 50_000),
    st.sampled_from(["", "low", "high", "max"]),
)

QUIRKS = st.builds(
    Quirks,
    thinking=st.sampled_from([(), ("enabled", "disabled"), ("adaptive",), ("enabled", "adaptive", "disabled")]),
    thinking_always_on=st.booleans(),
    effort=st.booleans(),
    sampling=st.booleans(),
    prefill=st.booleans(),
    forced_tool_choice=st.booleans(),
    system=st.booleans(),
    images=st.just(True),
    documents=st.just(True),
    json_schema=st.booleans(),
    cache_min_tokens=st.sampled_from([0, 1024]),
    cache_ttl_1h=st.booleans(),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    tools = draw(TOOLS)
    choices = [None, ToolChoice("auto"), ToolChoice("any"), ToolChoice("none")]
    choices += [ToolChoice("tool", tool.name) for tool in tools]
    return draw(
        st.builds(
            Request,
            model=st.just("m"),
            messages=MESSAGES,
            system=st.lists(SYSTEM_PARTS, max_size=3).map(tuple),
            tools=st.just(tools),
            tool_choice=st.sampled_from(choices),
            parallel_tool_calls=st.none() | st.booleans(),
            max_tokens=st.none() | st.integers(1, 100_000),
            temperature=st.none() | st.floats(0, 2),
            top_p=st.none() | st.floats(0, 1),
            top_k=st.none() | st.integers(1, 500),
            stop=st.lists(TEXTS, max_size=3).map(tuple),
            reasoning=REASONING,
            json_schema=st.none() | st.just(JsonSchema("answer", {"type": "object"})),
            stream=st.booleans(),
        )
    )


MODELS = st.builds(
    Model,
    name=st.just("m"),
    family=st.sampled_from(["claude", "nova", "gpt-oss", "llama"]),
    context_tokens=st.just(200_000),
    max_output_tokens=st.sampled_from([4_096, 64_000]),
    quirks=QUIRKS,
    deployments=st.just(()),
)
