"""What is wrong with a document: where, and in which words."""

import msgspec

from sekisho.errors import BadRequest

MOST_PROBLEMS = 50


class Problem(msgspec.Struct, frozen=True):
    """One thing to mend. `line` counts from 1; 0: the document as a whole."""

    line: int
    en: str
    ja: str


class BadDocument(BadRequest):
    """The document cannot be applied."""

    def __init__(self, problems: list[Problem]) -> None:
        first = problems[0]
        super().__init__(f"Line {first.line}: {first.en}" if first.line else first.en, param="document")
        self.problems = tuple(problems[:MOST_PROBLEMS])
