"""Tasks as people look at them: what belongs together, what it cost, and in which mode.

Implemented by the store. Times are microseconds since the epoch, money is integer nano-USD. The sums of a task equal
those of its calls. What a task is and what can go wrong: docs/why/tasks.md
"""

from typing import Literal, Protocol

import msgspec

from sekisho.record.calls import Part
from sekisho.values import Usage

TaskOrder = Literal["last", "cost"]


class TaskRow(msgspec.Struct, frozen=True):
    """One task. `turns`: what a person wrote; `calls` have ended, `running` have not, `refused` were never sent.

    `agent`, `repository` and `branch` are the client's claims of its last call that made one. `key_id`: of the first
    call."""

    id: bytes
    team_id: str
    user_id: str
    key_id: str
    agent: str
    repository: str
    branch: str
    first_at: int
    last_at: int
    calls: int
    turns: int
    failed: int
    refused: int
    running: int
    cost_nanousd: int


class TaskStep(msgspec.Struct, frozen=True):
    """One call of a task, as much of it as the sums and the outline of a long task need.

    `status` as in `record.calls.CallRow`; `prompt_tokens` is (fresh, read from a cache, written to one);
    `duration_us` is 0 while it runs, `waited_us`: held back by a budget. For what its prompt
    cache did see `record.cache`; `is_cache_broken`: something cached was not served again."""

    id: bytes
    mode: str
    status: str
    cost_nanousd: int
    list_cost_nanousd: int
    prompt_tokens: tuple[int, int, int]
    output_tokens: int
    duration_us: int
    upstream_us: int
    waited_us: int
    cache_saved_nanousd: int = 0
    cache_lost_nanousd: int = 0
    is_cache_broken: bool = False


class ModeSum(msgspec.Struct, frozen=True):
    """What the calls of a task in one mode ("plan", "act", or "" for those beside it) come to.

    Costs by class of tokens: what was not metered is in `cost_nanousd` alone."""

    mode: str
    calls: int
    turns: int
    failed: int
    refused: int
    running: int
    usage: Usage
    list_cost_nanousd: int
    cost_nanousd: int
    input_nanousd: int
    cache_read_nanousd: int
    cache_write_nanousd: int
    output_nanousd: int


class TaskFilter(msgspec.Struct, frozen=True):
    """Which tasks; an empty field means any. Those with a call in `since` <= time < `until`.

    `min_cost_nanousd`: that cost at least so much. `part`: only of this part of the organisation."""

    team_id: str = ""
    user_id: str = ""
    key_id: str = ""
    agent: str = ""
    mode: str | None = None
    repository: str | None = None
    since: int | None = None
    until: int | None = None
    min_cost_nanousd: int = 0
    part: Part | None = None


ANY_TASK = TaskFilter()

Cursor = tuple[int, int]
"""Where a page ends: what it is sorted by, and the place of the task among those with the same."""


class TaskQueries(Protocol):
    """What may be asked about tasks. Everything is within one organisation."""

    async def list_tasks(
        self,
        org_id: str,
        *,
        limit: int,
        order: TaskOrder = "last",
        after: Cursor | None = None,
        where: TaskFilter = ANY_TASK,
    ) -> tuple[list[TaskRow], Cursor | None]:
        """Tasks, the last used or the dearest first, behind the cursor; and the cursor of the next page, None at the
        end."""
        ...

    async def find(self, org_id: str, task_id: bytes) -> TaskRow | None:
        """One task, by its id or one that turned out to be the same."""
        ...

    async def spent(self, org_id: str, task_id: bytes) -> tuple[int, int]:
        """What a task has cost, open calls at their bound, and how many calls it has made; nothing for an unknown one.

        Unit: nano-USD."""
        ...

    async def by_mode(self, org_id: str, task_id: bytes) -> list[ModeSum]:
        """The sums of a task by mode."""
        ...

    async def outline(self, org_id: str, task_id: bytes, *, limit: int, part: Part | None = None) -> list[TaskStep]:
        """The calls of a task in their order, the newest `limit` of them; of this part of the organisation only."""
        ...
