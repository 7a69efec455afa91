"""Which task a call belongs to: by the client's own ids where it sends them, else by how its history goes on.

Above: the stage that has read a body. Below: chains, clues, what is remembered. All claims serve grouping only. Two
processes that see calls of one conversation find the same id, once its first answer is in it; until then the first
call has an id of its own, which `Task.was` later says to be the same. What can go wrong: docs/why/tasks.md
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import msgspec

from sekisho.conversation.chain import Block, Chain
from sekisho.conversation.claims import Claims
from sekisho.conversation.clues import (
    Mode,
    failure_of,
    human_words,
    message_texts,
    text_hash,
)
from sekisho.conversation.reading import Reader, Reading, tool_ids
from sekisho.conversation.threads import MOST_OWNERS, MOST_THREADS_IN_ALL, KnownTask, Owner, Thread

Turn = Literal["human", "agent", "title", "compaction", "side", "sub_agent", "repeat", "probe"]

_SIDE_REACH_US = 600_000_000  # a call beside a conversation belongs to one that was seen so lately
_LONGEST_TOOL_US = 3_600_000_000  # a tool takes at most so long
_START_REACH_US = 60_000_000  # an agent starts another one so soon after the answer that asks for it
_RETRY_REACH_US = 90_000_000  # a client that sends a failed request again does it so soon
_SAID_CHARACTERS = 120
_LEAST_SAID = 24  # a shorter answer, such as "Ok.", is no one's own
_PIECES_FROM_END = 12
_ANSWERS_FROM_END = 8
_PIECE_BYTES = 200  # a shorter message, such as "go on", is found in many conversations
_FAILED_BYTES = 65_536
_LOOK_BACK = 24
# What the same request will end with again. Whatever passes (a busy provider, a budget) is for clients to try again.
_LASTING = frozenset({"upstream_rejected", "context_length_exceeded", "content_blocked"})
_ASIDE: tuple[Turn, ...] = ("title", "side", "compaction", "probe")


class Repetition(msgspec.Struct, frozen=True):
    """Something that a task does again and again: this call included, `times` in a row.

    "tool": the same call of a tool fails with the same result. "error": it ends with the same error, `name`."""

    kind: Literal["tool", "error"]
    times: int
    name: str = ""


class Task(msgspec.Struct, frozen=True):
    """The task of a call. `was`: another id that turned out to be the same task, or empty.

    `account`: an id that stays the same in this process, for what is counted here. `is_new`: its first call.
    `turn`: whose turn it is (a person wrote something new, or the agent goes on), or what else the call is for: a
    title, a summary of the history, another side call, a sub-agent's turn, the same request sent again, a probe whether
    a model is there."""

    id: bytes = b""
    was: bytes = b""
    mode: Mode = ""
    turn: Turn = "agent"
    repository: str = ""
    branch: str = ""
    repetition: Repetition | None = None
    account: bytes = b""
    is_new: bool = False


NO_TASK = Task()


class Sight(msgspec.Struct, frozen=True):
    """What there is to see of a call. `owner`: whose calls may share a task. `client`: the program, by its user agent.

    `now_us` is monotonic."""

    owner: str
    client: bytes
    agent: str
    claims: Claims
    chain: Chain
    call_id: bytes
    now_us: int
    max_output_tokens: int = 0


class Tasks:
    """Finds the task of each call of one process. For one event loop; nothing here waits."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, Owner] = OrderedDict()
        self._reader = Reader()
        self._open: dict[bytes, tuple[Owner, Thread]] = {}
        self._threads = 0

    @property
    def remembered(self) -> int:
        """Threads in memory."""
        return self._threads

    def assign(self, sight: Sight) -> Task:
        """The task of this call, which is under way from now on."""
        owner = self._owner(sight.owner)
        reading = self._reader.read(sight.chain, sight.call_id, is_aider=sight.agent == "aider")
        thread = self._named(owner, sight, reading) if sight.claims.session else self._found(owner, sight, reading)
        is_new = not thread.calls and thread.task.is_new
        turn = self._turn(thread, sight, reading)
        was = self._other_id(thread, sight, reading)
        repetition = self._repetition(thread, sight, reading, turn)
        self._note(owner, thread, sight, reading, turn)
        return Task(
            id=thread.task.id,
            was=was,
            mode="" if turn in _ASIDE else self._mode(thread, reading, sight.chain.body),
            turn=turn,
            repository=thread.repository,
            branch=thread.branch,
            repetition=repetition,
            account=thread.task.account,
            is_new=is_new,
        )

    def stopped(self, call_id: bytes) -> None:
        """A call was refused because its task goes in a loop: nothing of the loop is forgotten."""
        known = self._open.pop(call_id, None)
        if known is not None:
            known[1].open_calls -= 1

    def ended(
        self,
        call_id: bytes,
        now_us: int,
        *,
        error: str,
        asked_for_tools: bool,
        model: str = "",
        tool: bytes = b"",
        said: str = "",
    ) -> None:
        """A call that was assigned has ended, or was refused before it was sent (`error` names why).

        `tool`: the id of the first tool call in its answer; `said`: how the text of it begins."""
        known = self._open.pop(call_id, None)
        if known is None:
            return
        owner, thread = known
        thread.open_calls -= 1
        thread.ended_us = now_us
        if thread.parent is not None:
            thread.parent.ended_us = max(thread.parent.ended_us, now_us)  # it may start the next one
        thread.asked_for_tools = asked_for_tools
        if asked_for_tools and owner.holds(thread):
            owner.waiting[id(thread)] = thread
        if tool:
            owner.note_tool(thread, tool)
        thread.said = " ".join(said.split())[:_SAID_CHARACTERS]
        if not error:
            thread.was_answered = True
            thread.error, thread.errors = "", 0
        elif (error, model) == (thread.error, thread.failed_model):
            thread.errors += error in _LASTING
        else:
            thread.error, thread.failed_model, thread.errors = error, model, int(error in _LASTING)

    def _first_words(self, reading: Reading, body: bytes) -> int:
        """What the person wrote first, in the messages before the first answer."""
        end = reading.answers_at if reading.answers_at >= 0 else len(reading.messages)
        words = 0
        for block in reading.messages[: min(end, 6)]:
            words = self._reader.clue(body, block).words or words
        return words

    # Threads.

    def _owner(self, name: str) -> Owner:
        owner = self._owners.get(name)
        if owner is None:
            owner = self._owners[name] = Owner()
            if len(self._owners) > MOST_OWNERS:
                _, oldest = self._owners.popitem(last=False)
                self._threads -= len(oldest.threads)
        else:
            self._owners.move_to_end(name)
        return owner

    def _named(self, owner: Owner, sight: Sight, reading: Reading) -> Thread:
        """The thread that the client names."""
        claims = sight.claims
        is_aside = reading.clue.kind in ("title", "compaction", "side")
        name = f"{claims.session}\0{claims.agent}"
        thread = owner.sessions.get(name)
        if thread is not None and not (is_aside and not thread.is_side):
            return thread
        if is_aside:
            return self._aside(owner, sight, reading, owner.sessions.get(name))
        task = self._named_task(owner, claims, sight.owner)
        thread = self._new(owner, sight, reading, task)
        thread.is_sub_agent = claims.kind == "sub_agent" or bool(claims.parent)
        owner.name(thread, name)
        if claims.root_turn and not thread.is_sub_agent:
            owner.name(thread, f"\0turn\0{claims.root_turn}")
        return thread

    @staticmethod
    def _named_task(owner: Owner, claims: Claims, owner_name: str) -> KnownTask:
        """The task of a session: that of the one which started it, as far as it is known."""
        known = None
        if claims.parent:
            known = owner.sessions.get(f"{claims.parent}\0")
        if known is None and claims.root_turn and claims.kind == "sub_agent":
            known = owner.sessions.get(f"\0turn\0{claims.root_turn}")
        if known is None and claims.agent:
            known = owner.sessions.get(f"{claims.session}\0")
        if known is None:
            known = next((one for name, one in owner.sessions.items() if name.startswith(f"{claims.session}\0")), None)
        return known.task if known is not None else KnownTask(_session_id(owner_name, claims.parent or claims.session))

    def _aside(self, owner: Owner, sight: Sight, reading: Reading, main: Thread | None) -> Thread:
        """A thread of its own for a call beside a conversation, in that one's task."""
        task = main.task if main else self._named_task(owner, sight.claims, sight.owner)
        thread = self._new(owner, sight, reading, task)
        thread.is_side = True
        return thread

    def _found(self, owner: Owner, sight: Sight, reading: Reading) -> Thread:
        """The thread that this history goes on from, or a new one."""
        if reading.clue.kind in ("title", "compaction", "side"):
            return self._beside(owner, sight, reading)
        if reading.answers_at >= 0:
            found = (
                self._with_tool(owner, sight, reading)
                or self._gone_on(owner, sight, reading)
                or self._with_same_pieces(owner, sight, reading)
            )
        else:
            found = self._first_again(owner, sight, reading)
        return (
            found
            or self._summarised(owner, sight, reading)
            or self._begun_beside(owner, sight, reading)
            or self._started(owner, sight, reading)
        )

    @staticmethod
    def _with_tool(owner: Owner, sight: Sight, reading: Reading) -> Thread | None:
        """The thread of which an answer asked for a tool whose result is here; the last answers are looked at first."""
        body, looked_at = sight.chain.body, 0
        for block in reversed(reading.messages):
            if block.role != "assistant" or block.end - block.start > _FAILED_BYTES:
                continue
            for tool in tool_ids(body, block.start, block.end):
                thread = owner.with_tool(tool)
                if thread is not None:
                    return thread
            looked_at += 1
            if looked_at == _ANSWERS_FROM_END:
                break
        return None

    def _gone_on(self, owner: Owner, sight: Sight, reading: Reading) -> Thread | None:
        """The thread with the longest history that this one begins with."""
        prefix = reading.prefix
        for length in range(len(prefix), 0, -1):
            threads = owner.at_leaf(prefix[length - 1])
            if not threads:
                continue
            if length <= reading.answers_at:  # they share only what was asked first
                return self._first_answered(threads, sight, reading)
            tips = [thread for thread in threads if thread.size == length]
            return (tips or threads)[-1]
        return None

    @staticmethod
    def _first_again(owner: Owner, sight: Sight, reading: Reading) -> Thread | None:
        """The same first request: sent again, or (None) that of another task."""
        size, is_retry = len(reading.prefix), sight.claims.is_retry
        for one in reversed(owner.at_leaf(reading.prefix[-1]) if size else ()):
            if one.was_answered and not is_retry:  # many, where a program asks the same again and again
                continue
            if one.first_answer or one.size != size:
                continue
            if is_retry or (not one.open_calls and sight.now_us - one.ended_us <= _RETRY_REACH_US):
                return one
        return None

    @staticmethod
    def _first_answered(threads: list[Thread], sight: Sight, reading: Reading) -> Thread | None:
        """Of those that began with the same words, the one with the same first answer, else one that may have it."""
        first_answer = reading.prefix[reading.answers_at]
        for thread in threads:
            if thread.first_answer == first_answer:
                return thread
        first = reading.messages[reading.answers_at]
        text = sight.chain.body[first.start : first.end]
        has_tools = bool(tool_ids(text))
        said = " ".join(" ".join(message_texts(text)).split())
        likely = [
            thread
            for thread in threads
            if not thread.first_answer and (thread.was_answered or thread.error) and not thread.open_calls
            if thread.asked_for_tools == has_tools and not (has_tools and thread.tools)  # found by its tools otherwise
            if len(thread.said) < _LEAST_SAID or said.startswith(thread.said)
        ]
        return max(likely, key=lambda thread: len(thread.said)) if likely else None

    @staticmethod
    def _with_same_pieces(owner: Owner, sight: Sight, reading: Reading) -> Thread | None:
        """The thread of which whole messages are left in this history: it was cut, summarised or edited."""
        if reading.answers_at < 0:
            return None
        for line in reversed(reading.last_lines(max(len(reading.messages) - _PIECES_FROM_END, 0))):
            thread = owner.with_piece(line)
            if thread is not None and thread.client == sight.client:
                return thread
        return None

    def _summarised(self, owner: Owner, sight: Sight, reading: Reading) -> Thread | None:
        """The thread that was asked for a summary, if this history begins with one."""
        if not owner.compacting:
            return None
        asked = [one for one in owner.compacting.values() if one.client == sight.client and not one.open_calls]
        if not asked:
            return None
        body = sight.chain.body
        begins = [self._reader.clue(body, block).kind for block in reading.messages[:3] if block.role != "assistant"]
        if "summary" not in begins:
            asked = [one for one in asked if one.system == reading.system]
            if len(reading.messages) > 3 or not reading.has_tools or reading.last.kind == "human":
                return None
        text = _squeezed(reading.messages[:3], body)
        same = [one for one in asked if len(one.said) >= _LEAST_SAID and one.said[:_SAID_CHARACTERS] in text]
        if not same:  # the agent may have changed its words, but not so that others would be there instead
            answers = sum(block.role == "assistant" for block in reading.messages)
            same = asked if len(asked) == 1 and answers <= 2 else []
        if not same:
            return None
        thread = max(same, key=lambda one: (one.system == reading.system, one.ended_us))
        thread.is_weak = thread.said not in text or not thread.said
        thread.first_answer = 0
        return thread

    def _begun_beside(self, owner: Owner, sight: Sight, reading: Reading) -> Thread | None:
        """A new thread in the task of an agent that waits for its tools, for one that it has started."""
        if not owner.waiting or (reading.clue.kind == "main" and not reading.clue.is_sub_agent):
            return None
        waiting = [
            parent
            for parent in owner.waiting.values()
            if parent.client == sight.client and parent.system != reading.system
            if sight.now_us - parent.ended_us <= _START_REACH_US
        ]
        if not waiting:
            return None
        parent = max(waiting, key=lambda one: one.ended_us)
        thread = Thread(parent.task, sight.client, reading.system, sight.now_us)
        thread.is_sub_agent = thread.is_weak = True
        thread.parent = parent
        self._count(owner.add(thread))
        return thread

    def _beside(self, owner: Owner, sight: Sight, reading: Reading) -> Thread:
        """A thread for a title or the like, in the task of the conversation that it speaks of."""
        main = self._spoken_of(owner, sight, reading)
        if main is not None and main.is_side:
            return main
        task = main.task if main else KnownTask(_call_id(sight), is_new=True)
        thread = self._new(owner, sight, reading, task)
        thread.is_side = True
        if reading.clue.kind == "compaction" and main is not None:
            owner.compacting[id(main)] = main
        return thread

    @staticmethod
    def _spoken_of(owner: Owner, sight: Sight, reading: Reading) -> Thread | None:
        body = sight.chain.body
        for block in reading.messages[-3:]:
            for text in message_texts(body[block.start : block.end]):
                for part in (text, text.rpartition("\n\n")[0], text.partition("\n\n")[2]):
                    words = human_words(part)
                    known = owner.with_words(text_hash(words)) if words else None
                    if known is not None:
                        return known
        near = [
            thread
            for thread in owner.newest_first()
            if thread.client == sight.client and not thread.is_side and not thread.is_sub_agent
            if sight.now_us - max(thread.seen_us, thread.ended_us) <= _SIDE_REACH_US
        ]
        return max(near, key=lambda one: (not one.open_calls, one.ended_us), default=None)

    def _started(self, owner: Owner, sight: Sight, reading: Reading) -> Thread:
        """A new thread; in the task of its title, if that came first."""
        if _is_probe(sight, reading):
            task = KnownTask(_session_id(sight.owner, "\0probe"))
            return self._new(owner, sight, reading, task)
        if reading.answers_at >= 0:
            return self._new(owner, sight, reading, KnownTask(_chain_id(sight.owner, reading)))
        words = self._first_words(reading, sight.chain.body)
        titled = owner.with_words(words) if words else None
        if titled is not None and titled.is_side and not titled.first_answer and titled.client == sight.client:
            near = sight.now_us - titled.seen_us <= _SIDE_REACH_US
            if near and not any(one.task is titled.task and not one.is_side for one in owner.newest_first()):
                return self._new(owner, sight, reading, titled.task)
        return self._new(owner, sight, reading, KnownTask(_call_id(sight), is_new=True))

    def _new(self, owner: Owner, sight: Sight, reading: Reading, task: KnownTask) -> Thread:
        thread = Thread(task, sight.client, reading.system, sight.now_us)
        self._count(owner.add(thread))
        return thread

    def _count(self, more: int) -> None:
        """Forget owners that have not called for long while there are too many threads in all."""
        self._threads += more
        while self._threads > MOST_THREADS_IN_ALL and len(self._owners) > 1:
            _, oldest = self._owners.popitem(last=False)
            self._threads -= len(oldest.threads)

    # What is said of the call.

    def _turn(self, thread: Thread, sight: Sight, reading: Reading) -> Turn:
        kind, said = reading.clue.kind, sight.claims.kind
        if kind == "title" or kind == "side":
            return kind
        if kind == "compaction" or said == "compaction" or reading.last.kind == "compaction":
            return "compaction"
        if _is_probe(sight, reading):
            return "probe"
        if reading.asked == thread.asked and thread.calls:
            return "repeat"
        if thread.is_sub_agent or said == "sub_agent" or reading.clue.is_sub_agent:
            return "sub_agent"
        return "human" if reading.last.kind == "human" else "agent"

    @staticmethod
    def _other_id(thread: Thread, sight: Sight, reading: Reading) -> bytes:
        """The id under which other processes have this call, if that is another; each is said once."""
        task = thread.task
        if sight.claims.session:
            natural = _session_id(sight.owner, sight.claims.session) if sight.claims.parent else task.id
        elif reading.answers_at < 0 or thread.is_side:
            return b""
        elif thread.first_answer and thread.first_answer == reading.prefix[reading.answers_at]:
            return b""
        else:
            if thread.is_weak:
                return b""
            natural = _chain_id(sight.owner, reading)
            if not thread.first_answer and not task.is_found:
                task.id, natural = natural, task.id
                task.is_found = True
        if natural in (task.id, task.said):
            return b""
        task.said = natural
        return natural

    def _mode(self, thread: Thread, reading: Reading, body: bytes) -> Mode:
        """What the person's last message says, else the system text; an agent that says nothing acts."""
        clue = reading.clue
        if thread.calls == 1 and not thread.mode and reading.last.kind != "human":  # seen here first in its middle
            thread.mode = self._last_said_mode(reading, body)
        return thread.mode or clue.mode or ("act" if clue.kind == "main" or reading.has_tools else "")

    def _last_said_mode(self, reading: Reading, body: bytes) -> Mode:
        for block in reversed(reading.messages[-_LOOK_BACK:]):
            if block.role != "assistant":
                clue = self._reader.clue(body, block)
                if clue.mode or clue.kind == "human":
                    return clue.mode
        return ""

    @staticmethod
    def _repetition(thread: Thread, sight: Sight, reading: Reading, turn: Turn) -> Repetition | None:
        """What the thread does again with this call, most urgent first. What a person writes begins anew."""
        if turn in ("human", "title", "side", "compaction", "probe"):
            thread.failures = thread.failure = thread.errors = 0
            return None
        if turn == "repeat":
            if thread.failures > 1:
                return Repetition("tool", thread.failures)
            if thread.errors > 1:
                return Repetition("error", thread.errors, thread.error)
            return None  # sent again, and it works: a client's business
        calls, results = _last_tools(reading, sight.chain.body)
        failure = failure_of(calls, results) if calls and results else 0
        thread.failures = thread.failures + 1 if failure and failure == thread.failure else int(bool(failure))
        thread.failure = failure
        return Repetition("tool", thread.failures) if thread.failures > 1 else None

    def _note(self, owner: Owner, thread: Thread, sight: Sight, reading: Reading, turn: Turn) -> None:
        """Remember the call."""
        owner.touch(thread)
        thread.seen_us = sight.now_us
        thread.calls += 1
        thread.open_calls += 1
        self._open[sight.call_id] = owner, thread
        owner.waiting.pop(id(thread), None)
        thread.asked = reading.asked
        last, clue, claims = reading.last, reading.clue, sight.claims
        thread.repository = claims.repository or clue.repository or last.repository or thread.repository
        thread.branch = claims.branch or clue.branch or last.branch or thread.branch
        thread.mode = last.mode if turn == "human" else last.mode or thread.mode
        if turn == "compaction" and not thread.is_side:
            owner.compacting[id(thread)] = thread
        elif turn != "repeat":
            owner.compacting.pop(id(thread), None)
        if not claims.session:
            self._note_history(owner, thread, sight, reading)

    def _note_history(self, owner: Owner, thread: Thread, sight: Sight, reading: Reading) -> None:
        words = reading.last.words or (self._first_words(reading, sight.chain.body) if thread.calls == 1 else 0)
        if words:
            owner.note_words(thread, words)
        if thread.is_side or not reading.prefix:
            return
        thread.system = reading.system
        thread.size = len(reading.prefix)
        if reading.answers_at >= 0:
            thread.first_answer = reading.prefix[reading.answers_at]
            owner.note_leaf(thread, thread.first_answer)
        owner.note_leaf(thread, reading.prefix[-1])
        if reading.answers_at < 0:
            return
        since = max(len(reading.messages) - 3, reading.answers_at)
        for block, line in zip(reading.messages[since:], reading.last_lines(since), strict=True):
            if block.end - block.start >= _PIECE_BYTES:
                owner.note_piece(thread, line)


def _squeezed(messages: Sequence[Block], body: bytes) -> str:
    """The texts of messages, with single spaces."""
    texts = [text for block in messages for text in message_texts(body[block.start : block.end])]
    return " ".join(" ".join(texts).split())


def _is_probe(sight: Sight, reading: Reading) -> bool:
    return sight.max_output_tokens == 1 and len(reading.messages) == 1


def _last_tools(reading: Reading, body: bytes) -> tuple[bytes, bytes]:
    """The last message or messages of the model, and what came after: calls of tools and their results."""
    messages = reading.messages
    at = len(messages)
    while at and messages[at - 1].role != "assistant":
        at -= 1
    first = at
    while first and messages[first - 1].role == "assistant":
        first -= 1
    if first == at or at == len(messages):
        return b"", b""
    calls, results = messages[first:at], messages[at:]
    if calls[-1].end - calls[0].start > _FAILED_BYTES:
        return b"", b""
    return body[calls[0].start : calls[-1].end], body[results[0].start : results[-1].end]


def _session_id(owner: str, session: str) -> bytes:
    return blake2b(f"s\0{owner}\0{session}".encode(), digest_size=16).digest()


def _call_id(sight: Sight) -> bytes:
    return blake2b(b"c\0" + sight.owner.encode() + b"\0" + sight.call_id, digest_size=16).digest()


def _chain_id(owner: str, reading: Reading) -> bytes:
    """The id of a conversation by what all its calls begin with: what was asked first, and the first answer."""
    until = reading.prefix[reading.answers_at]
    return blake2b(b"h\0" + owner.encode() + b"\0" + until.to_bytes(8, "big"), digest_size=16).digest()
