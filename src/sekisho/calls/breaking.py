"""Loops of agents: slowed down, then stopped with advice that the agent shows. Never for what a person just wrote.

Above: the admit stage. Below: what the assigner says is being repeated. What counts as a loop: docs/why/tasks.md
"""

from sekisho.calls.acting import hold_for
from sekisho.calls.budgeting import audience_of
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.conversation.tasks import Repetition
from sekisho.errors import NotAllowed
from sekisho.values import Language

PATIENCE = 4  # clients send a request again for good reasons: so many times as often as a tool call may fail
_EN = {
    "tool": "the agent has made the same tool call {times} times in a row, and it failed with the same result",
    "error": "the same request has ended with the same error ({name}) {times} times in a row",
}
_JA = {
    "tool": "エージェントが同じツール呼び出しを {times} 回続けて行い、同じ結果で失敗しています",
    "error": "同じリクエストが {times} 回続けて同じエラー（{name}）で終わっています",
}


class LoopStopped(NotAllowed):
    """The agent repeats itself without getting anywhere."""

    code = "loop_stopped"


async def slow_or_stop(gate: Gate, call: Call) -> int:
    """Hold a call back that repeats what did not work; how long, in milliseconds. Raises LoopStopped, ClientLeft."""
    repetition, limits = call.task.repetition, gate.limits
    if repetition is None or not limits.loop_stop_after:
        return 0
    times = repetition.times if repetition.kind == "tool" else repetition.times // PATIENCE
    if times >= limits.loop_stop_after:
        raise LoopStopped(_words(repetition, audience_of(gate, call).language))
    if not limits.loop_slow_after or times < limits.loop_slow_after:
        return 0
    seconds = limits.slow_down_first_s * 2.0 ** (times - limits.loop_slow_after)
    return await hold_for(gate, call, min(seconds, limits.slow_down_most_s))


def _words(repetition: Repetition, language: Language) -> str:
    words = (_JA if language == "ja" else _EN)[repetition.kind].format(times=repetition.times, name=repetition.name)
    if language == "ja":
        return (
            f"ループとみなして、このタスクを止めました。{words}。別のやり方をエージェントに指示してください。"
            "あなたが新しいメッセージを書けば、タスクを続けられます。"
        )
    return (
        f"Sekisho stopped this task because it goes in a loop: {words}. "
        "Tell the agent to try another way: with a new message from you the task goes on."
    )
