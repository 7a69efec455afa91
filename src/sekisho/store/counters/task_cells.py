"""What tasks have cost and how many calls they have made, for caps: in the memory of one call process."""

from collections import OrderedDict

from sekisho.ledger.counters import TaskDemand, TaskFull, TaskNotLoaded

_KEPT = 50_000


class TaskCell:
    """One task. Money is nano-USD."""

    __slots__ = ("calls", "reserved", "spent")

    def __init__(self, spent: int = 0, calls: int = 0) -> None:
        self.spent = spent
        self.reserved = 0
        self.calls = calls

    def begin(self, bound: int) -> None:
        """Hold the most that a call can cost."""
        self.reserved += bound
        self.calls += 1

    def end(self, bound: int, cost: int) -> None:
        """Turn what was held into what it cost."""
        self.reserved -= bound
        self.spent += cost


class TaskCells:
    """The tasks that capped calls belong to; those used longest ago are forgotten, and asked for again."""

    def __init__(self) -> None:
        self._cells: OrderedDict[bytes, TaskCell] = OrderedDict()

    def load(self, task_id: bytes, spent: int, calls: int) -> None:
        """Begin with what the ledger has; a task that is known stays as it is."""
        if task_id in self._cells:
            return
        self._cells[task_id] = TaskCell(spent, calls)
        while len(self._cells) > _KEPT:
            oldest = next(iter(self._cells))
            if self._cells[oldest].reserved:  # it has open calls: look at it again later
                self._cells.move_to_end(oldest)
                break
            del self._cells[oldest]

    def check(self, task: TaskDemand, bound: int) -> TaskCell | TaskFull | TaskNotLoaded:
        """The cell that the call may be held in, or what refuses it."""
        cell = self._cells.get(task.id)
        if cell is None:
            if not task.is_new:
                return TaskNotLoaded(task.id)
            self.load(task.id, 0, 0)
            cell = self._cells[task.id]
        if task.calls is not None and cell.calls >= (task.calls.calls_per_task or 0):
            return TaskFull(task.calls, "calls")
        if task.cost is not None:
            room = (task.cost.nanousd_per_task or 0) - cell.spent - cell.reserved
            if room < bound:
                return TaskFull(task.cost, "cost", max(room, 0))
        return cell
