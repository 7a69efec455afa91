"""Makes the model's answer: what was asked of the simulator first, then the tasks it knows, then a greeting."""

from collections.abc import Sequence
from random import Random
from typing import get_args

import msgspec

from sekisho.dialects.exchange import Request, Text, ToolUse
from sekisho.simulator.answer import (
    Answer,
    AnswerBlock,
    cut_to,
    redacted_thinking,
    signed_thinking,
    stop_at,
)
from sekisho.simulator.behaviours import Behaviour, find
from sekisho.simulator.exceptions import validation
from sekisho.simulator.replies import new_id
from sekisho.simulator.script import chat, scenarios
from sekisho.simulator.script.conversation import Conversation, find_directory, read_conversation
from sekisho.simulator.script.scenarios import Turn
from sekisho.simulator.script.toolbox import Call, Toolbox, sample_call
from sekisho.values import Model, StopReason

_THINKING_TEXT = "The person wants this done. I look at what I know, take the next small step, and check it."
_FILLER = "sim "  # one token


def answer(
    request: Request, model: Model, behaviours: Sequence[Behaviour], *, room: int, id_prefix: str, random: Random
) -> Answer:
    """The answer, cut at stop sequences, at `max_tokens` and at `room`, the tokens left in the context window."""
    conversation = read_conversation(request, scenarios.TRIGGERS)
    turn = _turn(request, conversation, behaviours)
    blocks = _thinking(request, model, behaviours)
    if turn.text:
        blocks.append(Text(turn.text))
    for call in turn.calls:
        blocks.append(ToolUse(new_id(id_prefix, 22, random), call.name, msgspec.json.encode(call.input).decode()))
    whole = stop_at(Answer(tuple(blocks), "tool_use" if turn.calls else "end_turn"), request.stop)
    max_tokens = request.max_tokens or model.max_output_tokens
    if room < max_tokens:
        fitted = cut_to(whole, room, "model_context_window_exceeded")
    else:
        fitted = cut_to(whole, max_tokens, "max_tokens")
    return _with_reason(fitted, behaviours)


def _turn(request: Request, conversation: Conversation, behaviours: Sequence[Behaviour]) -> Turn:
    turn = _asked_turn(request, behaviours) or _scripted_turn(request, conversation)
    choice = request.tool_choice
    if choice is None or choice.mode in ("auto", "none"):
        return turn
    tools = {tool.name: tool for tool in request.tools}
    if choice.mode == "tool" and all(call.name != choice.name for call in turn.calls):
        return Turn(calls=(sample_call(tools[choice.name]),))
    return turn if turn.calls else Turn(calls=(sample_call(request.tools[0]),))


def _asked_turn(request: Request, behaviours: Sequence[Behaviour]) -> Turn | None:
    """The turn that a behaviour asks for in so many words."""
    if asked := find(behaviours, "say"):
        return Turn(asked.args.get("text", ""))
    if asked := find(behaviours, "tokens"):
        return Turn(_FILLER * int(asked.number("out", 100)))
    if asked := find(behaviours, "tool"):
        return Turn(calls=(_named_call(request, asked),))
    if asked := find(behaviours, "parallel_tools"):
        count = int(asked.number("n", 2))
        if not request.tools:
            raise validation("The simulator can make parallel tool calls only with tools in the request.")
        tools = [request.tools[index % len(request.tools)] for index in range(count)]
        return Turn("I will do these together.", tuple(sample_call(tool) for tool in tools))
    return None


def _named_call(request: Request, asked: Behaviour) -> Call:
    tool = next((tool for tool in request.tools if tool.name == asked.args.get("name")), None)
    if tool is None:
        raise validation("The simulator can call only a tool of the request: name it with name=.")
    try:
        arguments = msgspec.json.decode(asked.args["input"]) if "input" in asked.args else sample_call(tool).input
    except msgspec.DecodeError as error:
        raise validation("The simulator cannot read input= as JSON.") from error
    return Call(tool.name, arguments)


def _scripted_turn(request: Request, conversation: Conversation) -> Turn:
    if request.json_schema is not None:
        return Turn(chat.json_of(request.json_schema.schema, conversation))
    may_call = bool(request.tools) and (request.tool_choice is None or request.tool_choice.mode != "none")
    if not may_call and chat.wants_title(conversation):
        return Turn(chat.title(conversation))
    if not may_call:
        return scenarios.aider_turn(conversation) or Turn(chat.greeting(conversation))
    if not scenarios.is_asked(conversation):
        return Turn(chat.greeting(conversation))
    turn = scenarios.next_turn(conversation, Toolbox(request.tools, find_directory(request)))
    if any(_is_repeated(call, conversation) for call in turn.calls):
        return Turn("I have already tried this and stop here.")
    return turn


def _is_repeated(call: Call, conversation: Conversation) -> bool:
    """Whether the same call was made twice before: never loop, whatever the agent answers."""
    return sum((step.name, step.input) == (call.name, call.input) for step in conversation.all_steps) >= 2


def _thinking(request: Request, model: Model, behaviours: Sequence[Behaviour]) -> list[AnswerBlock]:
    mode = request.reasoning.mode
    is_on = mode in ("enabled", "adaptive") or model.quirks.thinking_always_on
    asked = find(behaviours, "thinking")
    if asked is not None and "redacted" in asked.args.values():
        return [redacted_thinking(_THINKING_TEXT)]
    return [signed_thinking(_THINKING_TEXT)] if is_on or asked is not None else []


def _with_reason(fitted: Answer, behaviours: Sequence[Behaviour]) -> Answer:
    asked = find(behaviours, "stop_reason")
    if asked is None:
        return fitted
    reason = next((known for known in get_args(StopReason) if known == asked.args.get("stop_reason")), None)
    if reason is None:
        raise validation(f"The simulator knows the stop reasons {', '.join(get_args(StopReason))}.")
    return msgspec.structs.replace(fitted, stop_reason=reason)
