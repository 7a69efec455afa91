"""Joins calls to their tasks: what of a call the assigner sees, and what it hears of the answer.

Above: the stages. Below: `conversation.tasks`. A claim of the client groups calls within one person's calls of one
team (of a key that is nobody's: within that key); it is never looked up beyond them.
"""

import re

import msgspec

from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.conversation.claims import read_claims
from sekisho.conversation.reading import tool_ids
from sekisho.conversation.tasks import NO_TASK, Sight, Task
from sekisho.errors import StoreUnavailable
from sekisho.ledger.counters import TaskDemand, TaskNotLoaded
from sekisho.ledger.journal import TaskNote
from sekisho.values import StopReason, VirtualKey

# Possessive: letter by letter it took eight times as long.
_TEXT = re.compile(rb'"(?:text|content|delta)"\s*:\s*("(?:[^"\\]++|\\.)*+")')
_ENOUGH_CHARACTERS = 160
_MOST_PIECES = 400  # of an answer, in which its first tool call is looked for
_MOST_BYTES = 65_536  # of an answer that comes whole
_decode_text = msgspec.json.Decoder(str).decode


class Heard:
    """How an answer begins, and the first tool call in it: by which its conversation is known in the next request.

    Only from the client's own bytes, so that no dialect has to tell; what it cannot read it leaves out."""

    __slots__ = ("_pieces", "_size", "_texts", "tool")

    def __init__(self) -> None:
        self.tool = b""
        self._texts: list[str] = []
        self._size = 0
        self._pieces = 0

    @property
    def text(self) -> str:
        """The beginning of the answer's text."""
        return "".join(self._texts)

    def hear(self, piece: bytes) -> None:
        """The next bytes for the client."""
        if self._pieces >= _MOST_PIECES or (self.tool and self._size >= _ENOUGH_CHARACTERS):
            return
        self._pieces += 1
        piece = piece[:_MOST_BYTES]
        if not self.tool:
            self.tool = next(iter(tool_ids(piece)), b"")
        if self._size < _ENOUGH_CHARACTERS:
            for found in _TEXT.finditer(piece):
                try:
                    text = _decode_text(found[1])
                except msgspec.DecodeError:
                    continue
                self._texts.append(text[:_ENOUGH_CHARACTERS])
                self._size += len(text)
                if self._size >= _ENOUGH_CHARACTERS:
                    break


def task_of(gate: Gate, call: Call) -> Task:
    """The task of a call whose body has just been read; from now on it is under way in it."""
    if call.operation != "generate":
        return NO_TASK
    fields = call.fields
    claims = read_claims(call.agent.session, call.headers, fields)
    task = gate.tasks.assign(
        Sight(
            owner_of(call.known_key),
            call.headers.get(b"user-agent", b""),
            call.agent.name,
            claims,
            call.chain,
            call.id,
            call.trail.started_us,
            1 if "max_tokens" in fields and bytes(fields["max_tokens"]) == b"1" else 0,
        )
    )
    if not claims.session:
        call.trail.heard = Heard()
    return task


def owner_of(key: VirtualKey) -> str:
    """Whose calls may share a task: those of one person in one team, or of one key that is nobody's.

    A person's id is never empty, so that no name of a conversation makes one owner look like another."""
    return f"{key.org_id}\0{key.team_id}\0{key.user_id}" if key.user_id else f"{key.org_id}\0\0\0{key.id}"


def task_demand(gate: Gate, call: Call) -> TaskDemand | None:
    """What is asked of the counters for the call's task, where limits cap it."""
    caps, task = call.known_passage.caps_tasks, call.task
    if caps is None or not task.id:
        return None
    if gate.counters.are_shared:
        return TaskDemand(task.id, caps[0], caps[1], task.is_new)
    return TaskDemand(task.account, caps[0], caps[1], task.is_new)


async def load_task(gate: Gate, wanted: TaskNotLoaded) -> None:
    """Let the counters know what a task has cost so far. Raises StoreUnavailable: its cap cannot be checked."""
    if gate.task_spend is None:
        raise StoreUnavailable("What this task has cost so far cannot be read right now. Try again.")
    spent, calls = await gate.task_spend.read(wanted.task_id)
    await gate.counters.load_task(wanted.task_id, spent, calls)


def ended(gate: Gate, call: Call, error: str, stop_reason: StopReason | None = None) -> None:
    """The call is over, or was refused."""
    if error == "loop_stopped":
        gate.tasks.stopped(call.id)
        return
    heard = call.trail.heard
    gate.tasks.ended(
        call.id,
        gate.clock.monotonic_us(),
        error=error,
        model=call.model_name,
        asked_for_tools=stop_reason == "tool_use",
        tool=heard.tool if heard else b"",
        said=heard.text if heard else "",
    )


def note_of(task: Task) -> TaskNote | None:
    """The task, for the journal."""
    if not task.id:
        return None
    return TaskNote(task.id, task.was, task.mode, task.turn, task.repository, task.branch)
