"""What comes back along the path, and the shape of a stage."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sekisho.calls.answer import Answer
from sekisho.calls.call import Call

if TYPE_CHECKING:
    from sekisho.calls.gate import Gate


@dataclass(frozen=True, slots=True)
class Counted:
    """The answer to a count of tokens."""

    input_tokens: int


Reply = Answer | Counted
Next = Callable[[Call], Awaitable[Reply]]
Stage = Callable[["Gate", Call, Next], Awaitable[Reply]]
