"""Which parameters a model takes: limits, sampling, thinking, effort, tools, cache points, output format.

Driven by the catalog's `Quirks`. Raises ModelRefusal in the model's own words; each wire wraps them as Bedrock does.
"""

import re

from sekisho.dialects.exchange import CachePoint, Tool
from sekisho.simulator.anthropic_fields import check_closed_objects
from sekisho.simulator.exceptions import ModelRefusal
from sekisho.simulator.subject import Subject

CACHE_POINTS_MAX = 4
INTERLEAVED_BETA = "interleaved-thinking-2025-05-14"

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PROPERTY_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def check_parameters(subject: Subject) -> None:
    """Everything but the messages. Raises ModelRefusal."""
    _check_limits(subject)
    _check_sampling(subject)
    _check_thinking(subject)
    _check_output(subject)
    _check_tools(subject)
    _check_tool_choice(subject)
    _check_cache_points(subject)


def _check_limits(subject: Subject) -> None:
    request, limit = subject.request, subject.model.max_output_tokens
    if request.max_tokens is None:
        return
    if request.max_tokens < 1:
        raise ModelRefusal("max_tokens: Input should be greater than or equal to 1")
    if request.max_tokens > limit:
        raise ModelRefusal(
            f"max_tokens: {request.max_tokens} > {limit}, which is the maximum allowed number of output tokens for "
            f"{subject.model_id}"
        )


def _check_sampling(subject: Subject) -> None:
    request = subject.request
    given = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    for name, value in given.items():
        if value is None:
            continue
        if not subject.quirks.sampling:
            raise ModelRefusal(f"`{name}` is deprecated for this model.")
        if value < 0:
            raise ModelRefusal(f"{name}: Input should be greater than or equal to 0")
        if value > 1 and name != "top_k":
            raise ModelRefusal(f"{name}: range: 0..1")
    if subject.is_claude and request.temperature is not None and request.top_p is not None:
        raise ModelRefusal("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if any(not sequence.strip() for sequence in request.stop):
        raise ModelRefusal("stop_sequences: each stop sequence must contain non-whitespace")


def _check_thinking(subject: Subject) -> None:
    request, quirks, mode = subject.request, subject.quirks, subject.request.reasoning.mode
    if mode == "unset":
        if quirks.thinking_always_on:
            _check_thinking_sampling(subject)
        return
    if mode not in quirks.thinking:
        raise ModelRefusal(_unsupported_thinking(mode, quirks.thinking))
    if mode == "disabled":
        return
    _check_thinking_sampling(subject)
    if request.tool_choice is not None and request.tool_choice.mode in ("any", "tool"):
        raise ModelRefusal("Thinking may not be enabled when tool_choice forces tool use.")
    is_interleaved = INTERLEAVED_BETA in subject.betas and bool(request.tools)
    max_tokens = request.max_tokens or subject.model.max_output_tokens
    if mode == "enabled" and request.reasoning.budget_tokens >= max_tokens and not is_interleaved:
        raise ModelRefusal("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _unsupported_thinking(mode: str, forms: tuple[str, ...]) -> str:
    if not forms:
        return "thinking: Extra inputs are not permitted"
    if mode == "enabled" and "adaptive" in forms:
        return (
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if mode == "disabled":
        return '"thinking.type.disabled" is not supported for this model: its thinking is always on.'
    return f'"thinking.type.{mode}" is not supported for this model.'


def _check_thinking_sampling(subject: Subject) -> None:
    request = subject.request
    if request.temperature is not None and request.temperature != 1:
        raise ModelRefusal("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.")
    if request.top_p is not None and request.top_p < 0.95:
        raise ModelRefusal(
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled or in adaptive mode."
        )
    if request.top_k is not None:
        raise ModelRefusal("`top_k` must be unset when thinking is enabled or in adaptive mode.")


def _check_output(subject: Subject) -> None:
    request, quirks = subject.request, subject.quirks
    if request.reasoning.effort and not quirks.effort:
        raise ModelRefusal("output_config.effort: This model does not support the effort parameter.")
    if request.json_schema is not None and not quirks.json_schema:
        raise ModelRefusal("output_config.format: This model does not support structured output.")


def _check_tools(subject: Subject) -> None:
    request = subject.request
    if request.tools and not subject.quirks.tools:
        raise ModelRefusal("This model doesn't support tool use.")
    names = set[str]()
    for index, tool in enumerate(request.tools):
        where = f"tools.{index}.custom"
        if not _TOOL_NAME.fullmatch(tool.name):
            raise ModelRefusal(f"{where}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
        if tool.name in names:
            raise ModelRefusal("tools: Tool names must be unique.")
        names.add(tool.name)
        _check_input_schema(tool, where)
        if tool.strict:
            if not subject.quirks.json_schema:
                raise ModelRefusal(f"{where}.strict: This model does not support strict tools.")
            check_closed_objects(tool.input_schema, f"{where}.input_schema")


def _check_input_schema(tool: Tool, where: str) -> None:
    schema = tool.input_schema
    if schema.get("type") != "object":
        raise ModelRefusal(f"{where}.input_schema.type: Input should be 'object'")
    if any(key in schema for key in ("oneOf", "anyOf", "allOf")):
        raise ModelRefusal(
            f"{where}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
        )
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise ModelRefusal(f"{where}.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12")
    for name in properties:
        if not _PROPERTY_NAME.fullmatch(name):
            raise ModelRefusal(
                f"{where}.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{{1,64}}$'"
            )


def _check_tool_choice(subject: Subject) -> None:
    choice = subject.request.tool_choice
    if choice is None:
        return
    if not subject.request.tools:
        raise ModelRefusal("tool_choice may only be specified while providing tools.")
    if choice.mode in ("any", "tool") and not subject.quirks.forced_tool_choice:
        raise ModelRefusal(f"tool_choice: type '{choice.mode}' is not supported for this model.")
    if choice.mode == "tool" and choice.name not in {tool.name for tool in subject.request.tools}:
        raise ModelRefusal(f"Tool '{choice.name}' not found in provided tools")


def _check_cache_points(subject: Subject) -> None:
    """At most four points, longer lives before shorter ones, in the order tools, system, messages."""
    request = subject.request
    points = [(f"tools.{index}", tool.cache_ttl) for index, tool in enumerate(request.tools) if tool.cache_ttl]
    points += [(f"system.{i}", part.ttl) for i, part in enumerate(request.system) if isinstance(part, CachePoint)]
    for index, message in enumerate(request.messages):
        for position, part in enumerate(message.parts):
            if isinstance(part, CachePoint):
                points.append((f"messages.{index}.content.{position}", part.ttl))
    if len(points) > CACHE_POINTS_MAX:
        raise ModelRefusal(
            f"A maximum of {CACHE_POINTS_MAX} blocks with cache_control may be provided. Found {len(points)}."
        )
    if points and subject.quirks.cache_min_tokens == 0:
        raise ModelRefusal(f"{points[0][0]}.cache_control: Extra inputs are not permitted")
    has_short = False
    for where, ttl in points:
        if ttl == "1h" and not subject.quirks.cache_ttl_1h:
            raise ModelRefusal(f"{where}.cache_control.ephemeral.ttl: Extra inputs are not permitted")
        if ttl == "1h" and has_short:
            raise ModelRefusal(
                f"{where}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                "cache_control block. Note that blocks are processed in the following order: `tools`, `system`, "
                "`messages`."
            )
        has_short = has_short or ttl == "5m"
