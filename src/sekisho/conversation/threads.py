"""What is remembered of conversations, so that their next calls are known again. Bounded; the oldest go first.

Above: the assigner. A thread is one growing history; a task may have several (sub-agents, titles). An owner is whose
calls may share a task: one person in one team, or one key. Nothing is ever looked up across owners.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Literal

MOST_OWNERS = 4_000
MOST_THREADS = 64  # of one owner
MOST_THREADS_IN_ALL = 20_000
_KEPT_LEAVES = 24  # of one thread: where its earlier calls ended, for those that go back
_KEPT_ALIKE = 4  # threads that were asked the very same
_KEPT_PIECES = 16
_KEPT_WORDS = 4
_KEPT_TOOLS = 16


class KnownTask:
    """A task. `id` may change once, from one made for its first call to one that every process finds (`is_found`)."""

    __slots__ = ("account", "id", "is_found", "is_new", "said")

    def __init__(self, task_id: bytes, *, is_new: bool = False) -> None:
        self.id = task_id
        self.is_new = is_new  # it is named by its first call
        self.account = task_id  # stays
        self.is_found = False
        self.said: bytes = b""  # the other id that was last said to be the same task


class Thread:
    """One history that grows. Times are monotonic microseconds."""

    __slots__ = (
        "asked",
        "asked_for_tools",
        "branch",
        "calls",
        "client",
        "ended_us",
        "error",
        "errors",
        "failed_model",
        "failure",
        "failures",
        "first_answer",
        "is_side",
        "is_sub_agent",
        "is_weak",
        "leaves",
        "mode",
        "open_calls",
        "parent",
        "pieces",
        "repository",
        "said",
        "seen_us",
        "sessions",
        "size",
        "system",
        "task",
        "tools",
        "was_answered",
        "words",
    )

    def __init__(self, task: KnownTask, client: bytes, system: int, seen_us: int) -> None:
        self.task = task
        self.client = client  # the program that calls, by its user agent
        self.system = system
        self.seen_us = seen_us
        self.ended_us = 0
        self.size = 0  # how many messages its last call had
        self.first_answer = 0  # the hash up to the model's first message, 0 while there is none
        self.asked = (-1, 0)  # how many messages that are not the model's, and the last of them
        self.sessions: list[str] = []  # the names it is found by
        self.words: list[int] = []
        self.leaves: list[int] = []
        self.pieces: list[int] = []
        self.calls = 0
        self.open_calls = 0
        self.was_answered = False
        self.asked_for_tools = False  # in its last answer
        self.is_side = False  # only titles and the like so far
        self.is_sub_agent = False
        self.is_weak = False  # put into its task by what was likely: nothing is said of it to others
        self.parent: Thread | None = None  # the one that started it
        self.tools: list[bytes] = []  # of its last answers the id of the first tool call
        self.said = ""  # how its last answer begins
        self.mode: Literal["plan", "act", ""] = ""  # as its messages say
        self.repository = ""
        self.branch = ""
        self.failure = 0
        self.failures = 0
        self.failed_model = ""  # with which that error came
        self.error = ""
        self.errors = 0


class Owner:
    """The threads of one owner, and what they are found by."""

    __slots__ = ("_leaves", "_pieces", "_tools", "_words", "compacting", "sessions", "threads", "waiting")

    def __init__(self) -> None:
        self.threads: OrderedDict[int, Thread] = OrderedDict()
        self.waiting: dict[int, Thread] = {}  # whose last answer asked for tools, the newest last
        self.compacting: dict[int, Thread] = {}  # that were asked for a summary and have not gone on from it
        self.sessions: dict[str, Thread] = {}
        self._leaves: dict[int, list[Thread]] = {}
        self._pieces: dict[int, Thread] = {}
        self._words: dict[int, Thread] = {}
        self._tools: dict[bytes, Thread] = {}

    def add(self, thread: Thread) -> int:
        """Remember a thread, in place of the one that was used longest ago if there are too many; how many more there
        are now."""
        self.threads[id(thread)] = thread
        if len(self.threads) <= MOST_THREADS:
            return 1
        _, oldest = self.threads.popitem(last=False)
        self._forget(oldest)
        return 0

    def holds(self, thread: Thread) -> bool:
        """Whether it is still remembered: a call may outlive that."""
        return id(thread) in self.threads

    def name(self, thread: Thread, session: str) -> None:
        """Let the thread be found by this name."""
        self.sessions[session] = thread
        thread.sessions.append(session)

    def touch(self, thread: Thread) -> None:
        """Make it the one that was used last."""
        if id(thread) in self.threads:
            self.threads.move_to_end(id(thread))

    def newest_first(self) -> Iterable[Thread]:
        """All threads, the one used last first."""
        return reversed(self.threads.values())

    def at_leaf(self, leaf: int) -> list[Thread]:
        """Those of which a call ended with just these messages, oldest first."""
        return self._leaves.get(leaf, [])

    def with_piece(self, piece: int) -> Thread | None:
        """The one that holds this very message."""
        return self._pieces.get(piece)

    def with_words(self, words: int) -> Thread | None:
        """The last one in which a person wrote this."""
        return self._words.get(words)

    def with_tool(self, tool: bytes) -> Thread | None:
        """The one of which an answer asked for this tool call."""
        return self._tools.get(tool)

    def note_tool(self, thread: Thread, tool: bytes) -> None:
        """The thread's last answer asked for this tool call."""
        if id(thread) not in self.threads:
            return
        thread.tools.append(tool)
        self._tools[tool] = thread
        if len(thread.tools) > _KEPT_TOOLS:
            self._tools.pop(thread.tools.pop(0), None)

    def note_leaf(self, thread: Thread, leaf: int) -> None:
        """A call of the thread ended with these messages."""
        if leaf in thread.leaves:
            return
        thread.leaves.append(leaf)
        threads = self._leaves.setdefault(leaf, [])
        threads.append(thread)
        if len(threads) > _KEPT_ALIKE:
            threads.pop(0).leaves.remove(leaf)
        if len(thread.leaves) > _KEPT_LEAVES:
            self._drop_leaf(thread, thread.leaves.pop(2))  # the first two are where all began

    def note_piece(self, thread: Thread, piece: int) -> None:
        """The thread holds this message."""
        if self._pieces.get(piece) is thread:
            return
        self._pieces[piece] = thread
        thread.pieces.append(piece)
        if len(thread.pieces) > _KEPT_PIECES:
            self._drop(self._pieces, thread.pieces.pop(0), thread)

    def note_words(self, thread: Thread, words: int) -> None:
        """A person wrote this in the thread."""
        if words not in thread.words:
            thread.words.append(words)
            if len(thread.words) > _KEPT_WORDS:
                self._drop(self._words, thread.words.pop(1), thread)  # the first names the conversation
        self._words[words] = thread

    def _forget(self, thread: Thread) -> None:
        for leaf in thread.leaves:
            self._drop_leaf(thread, leaf)
        for piece in thread.pieces:
            self._drop(self._pieces, piece, thread)
        for words in thread.words:
            self._drop(self._words, words, thread)
        for tool in thread.tools:
            self._tools.pop(tool, None)
        self.waiting.pop(id(thread), None)
        self.compacting.pop(id(thread), None)
        for session in thread.sessions:
            self.sessions.pop(session, None)

    def _drop_leaf(self, thread: Thread, leaf: int) -> None:
        threads = self._leaves.get(leaf, [])
        if thread in threads:
            threads.remove(thread)
        if not threads:
            self._leaves.pop(leaf, None)

    @staticmethod
    def _drop(index: dict[int, Thread], key: int, thread: Thread) -> None:
        if index.get(key) is thread:
            del index[key]
