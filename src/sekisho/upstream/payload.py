"""A request's body in the pieces it is written in, and its SHA-256, which goes on from a body that began alike.

Above: the stages that shape a body, which know how it begins. Below: hashlib. Why not signed otherwise:
docs/why/blocks.md
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hashlib import _Hash


class Begun(NamedTuple):
    """A hash that has taken in the first `size` bytes of a body. Copy it before it takes in more."""

    size: int
    hash: "_Hash"


class Payload:
    """`begun`: of a body with the same first bytes. `cuts`: sizes, rising, at which the hash is kept in `kept`."""

    __slots__ = ("_begun", "_cuts", "kept", "parts", "size_bytes")

    def __init__(
        self, parts: Sequence[bytes | memoryview], begun: Begun | None = None, cuts: Sequence[int] = ()
    ) -> None:
        self.parts = parts
        self.size_bytes = sum(map(len, parts))
        self.kept: list[Begun] = []
        self._begun = begun
        self._cuts = cuts

    def __len__(self) -> int:
        return self.size_bytes

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)

    @property
    def hashed_bytes(self) -> int:
        """How many bytes its hash still has to take in."""
        return self.size_bytes - (self._begun.size if self._begun else 0)

    def sha256_hex(self) -> bytes:
        """The hash of all of it."""
        if self._begun is None and not self._cuts:  # a small body, of which nothing is kept
            return sha256(b"".join(self.parts)).hexdigest().encode("ascii")
        hasher = self._begun.hash.copy() if self._begun else sha256()
        taken = self._begun.size if self._begun else 0
        cuts = [cut for cut in self._cuts if cut > taken]
        if self._begun:
            self.kept.append(self._begun)
        part_start = 0
        for part in self.parts:
            part_end = part_start + len(part)
            view = memoryview(part)
            while taken < part_end:
                stop = cuts[0] if cuts and cuts[0] < part_end else part_end
                hasher.update(view[taken - part_start : stop - part_start])
                taken = stop
                if cuts and taken == cuts[0]:
                    self.kept.append(Begun(taken, hasher.copy()))
                    del cuts[0]
            part_start = part_end
        return hasher.hexdigest().encode("ascii")
