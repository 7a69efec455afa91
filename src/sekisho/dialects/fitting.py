"""Fits what a client asks for to what a model takes: thinking, effort, sampling, tool choice, answer length.

Above: the codecs that write a request for a model. Below: the neutral exchange and the quirks, which are catalog data.
Messages are not touched here (dialects.folding). What has to be left out is named, never silently lost.
"""

from collections.abc import Iterable

import msgspec

from sekisho.dialects.exchange import (
    Document,
    Image,
    Message,
    Reasoning,
    RedactedThinking,
    Request,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from sekisho.errors import BadRequest
from sekisho.values import Quirks

MIN_THINKING_TOKENS = 1024
"""The smallest thinking budget Claude takes; it must also be below max_tokens."""

EFFORT_BUDGETS = {"low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 32_768}
"""Thinking tokens for an effort, for models that only take a budget. An own choice, in the usual proportions."""
DEFAULT_BUDGET = EFFORT_BUDGETS["medium"]


def fit_max_tokens(asked: int | None, max_output_tokens: int) -> int:
    """The answer length to ask for: the model's maximum if the client gave none or more."""
    return max_output_tokens if asked is None else min(asked, max_output_tokens)


def fit_reasoning(asked: Reasoning, quirks: Quirks, max_tokens: int) -> Reasoning:
    """The form of thinking the model takes that is nearest to the one asked for; "unset" means: say nothing."""
    effort = asked.effort if quirks.effort else ""
    mode, budget = asked.mode, 0
    if mode == "disabled" and (quirks.thinking_always_on or "disabled" not in quirks.thinking):
        mode = "unset"
    elif mode == "enabled" and "enabled" not in quirks.thinking:
        mode = "adaptive" if "adaptive" in quirks.thinking else "unset"
    elif mode == "enabled":
        budget = min(max(asked.budget_tokens, MIN_THINKING_TOKENS), max_tokens - 1)
    elif mode == "adaptive" and "adaptive" not in quirks.thinking:
        mode = "enabled" if "enabled" in quirks.thinking else "unset"
        # half of the answer stays for the answer
        budget = min(EFFORT_BUDGETS.get(asked.effort, DEFAULT_BUDGET), max_tokens // 2)
    if mode == "enabled" and budget < MIN_THINKING_TOKENS:
        mode = "unset"
    return Reasoning(mode=mode, budget_tokens=budget if mode == "enabled" else 0, effort=effort)


def fit(request: Request, quirks: Quirks, max_output_tokens: int, *, claude: bool) -> tuple[Request, list[str]]:
    """The request with every setting in a form the model takes, and the names of those left out.

    `claude`: the rules of that family on what excludes what hold. Takes folded messages.
    Raises BadRequest for tools, images or documents on a model that takes none."""
    unused: list[str] = []
    check_content(request, quirks)
    max_tokens = fit_max_tokens(request.max_tokens, max_output_tokens)
    choice = _fit_choice(request, quirks, unused)
    reasoning = fit_reasoning(request.reasoning, quirks, max_tokens)
    if claude and _excludes_thinking(request.messages, choice, reasoning):
        reasoning = Reasoning(effort=reasoning.effort)
    if request.reasoning.effort and not reasoning.effort:
        unused.append("effort")
    if request.reasoning.mode in ("enabled", "adaptive") and reasoning.mode == "unset":
        unused.append("thinking")
    schema = request.json_schema if quirks.json_schema else None
    if request.json_schema and not schema:
        unused.append("json_schema")
    sampling = _fit_sampling(request, quirks, claude and _thinks(reasoning, quirks), claude, unused)
    return (
        msgspec.structs.replace(
            request,
            max_tokens=max_tokens,
            tool_choice=choice,
            reasoning=reasoning,
            json_schema=schema,
            tools=request.tools or tools_of_history(request.messages),
            temperature=sampling[0],
            top_p=sampling[1],
            top_k=sampling[2],
        ),
        unused,
    )


def tools_of_history(messages: Iterable[Message]) -> tuple[Tool, ...]:
    """A bare definition of each tool the history uses: providers refuse tool blocks in a request without tools."""
    names = dict.fromkeys(part.name for message in messages for part in message.parts if isinstance(part, ToolUse))
    return tuple(Tool(name=name, description="", input_schema={"type": "object"}) for name in names)


def has_tool_blocks(messages: Iterable[Message]) -> bool:
    return any(isinstance(part, ToolUse | ToolResult) for message in messages for part in message.parts)


def check_content(request: Request, quirks: Quirks) -> None:
    """Raises BadRequest for what the model cannot take in."""
    parts = [part for message in request.messages for part in message.parts]
    parts += [inner for part in parts if isinstance(part, ToolResult) for inner in part.content]
    if not quirks.tools and (request.tools or any(isinstance(part, ToolUse | ToolResult) for part in parts)):
        raise BadRequest(f"The model {request.model} cannot use tools.", param="tools")
    if not quirks.images and any(isinstance(part, Image) for part in parts):
        raise BadRequest(f"The model {request.model} cannot read images.", param="messages")
    if not quirks.documents and any(isinstance(part, Document) for part in parts):
        raise BadRequest(f"The model {request.model} cannot read documents.", param="messages")


def _fit_choice(request: Request, quirks: Quirks, unused: list[str]) -> ToolChoice | None:
    choice = request.tool_choice
    if choice is None or not request.tools:
        return None
    if choice.mode == "tool" and all(tool.name != choice.name for tool in request.tools):
        raise BadRequest(f"tool_choice names the tool {choice.name!r}, which is not in tools.", param="tool_choice")
    if choice.mode in ("any", "tool") and not quirks.forced_tool_choice:
        unused.append("tool_choice")
        return ToolChoice("auto")
    return choice


def _thinks(reasoning: Reasoning, quirks: Quirks) -> bool:
    return reasoning.mode in ("enabled", "adaptive") or quirks.thinking_always_on


def _excludes_thinking(messages: tuple[Message, ...], choice: ToolChoice | None, reasoning: Reasoning) -> bool:
    """Whether Claude would refuse to think here: a forced tool, or a tool loop that was begun without thinking."""
    if reasoning.mode not in ("enabled", "adaptive"):
        return False
    if choice is not None and choice.mode in ("any", "tool"):
        return True
    if reasoning.mode == "adaptive":
        return False
    for message in reversed(messages):
        if message.role == "assistant":
            uses_tools = any(isinstance(part, ToolUse) for part in message.parts)
            return uses_tools and not isinstance(message.parts[0], Thinking | RedactedThinking)
    return False


def _fit_sampling(
    request: Request, quirks: Quirks, thinks: bool, claude: bool, unused: list[str]
) -> tuple[float | None, float | None, int | None]:
    """Temperature, top_p, top_k as the model takes them. Claude refuses all while it thinks, the first two together."""
    asked = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    if not quirks.sampling or thinks:
        unused.extend(name for name, value in asked.items() if value is not None)
        return None, None, None
    temperature = None if request.temperature is None else min(max(request.temperature, 0.0), 1.0)
    top_p = None if request.top_p is None else min(max(request.top_p, 0.0), 1.0)
    if claude and temperature is not None and top_p is not None:
        unused.append("top_p")
        top_p = None
    return temperature, top_p, request.top_k
