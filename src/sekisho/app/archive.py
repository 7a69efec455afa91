"""The file of a backup: a gzipped tar of named members, the last of which lists the others with their SHA-256.

Above: `backup`. Knows nothing of what the members mean. Nothing of a file is used before all of it is verified.
"""

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

MANIFEST = "manifest.json"
FORMAT = 1
_COMPRESSION = 1  # a backup under load must not take the CPU from calls


class ArchiveError(Exception):
    """The backup file, or the place to restore to, cannot be used. Says why, in English and in Japanese."""

    def __init__(self, en: str, ja: str) -> None:
        self.en = en
        self.ja = ja
        super().__init__(en)


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says about itself. `members`: SHA-256 in hex by name; `about` is for people and for `restore`."""

    format: int
    about: dict[str, Any]
    members: dict[str, str]


class ArchiveWriter:
    """Writes one archive, readable by its owner alone. It appears under its name only when it is whole."""

    def __init__(self, path: Path) -> None:
        """Raises ArchiveError, also when there is such a file already."""
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._members: dict[str, str] = {}
        if path.exists():
            raise ArchiveError(
                f"{path} is there already; a backup is written to a new file.",
                f"{path} はすでにあります。バックアップは新しいファイルに書き込みます。",
            )
        try:
            descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.fchmod(descriptor, 0o600)
        except OSError as error:
            raise _cannot_write(path, error) from error
        self._file = os.fdopen(descriptor, "wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w:gz", compresslevel=_COMPRESSION)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not self._file.closed:
            self._file.close()
        self._partial.unlink(missing_ok=True)

    def add(self, name: str, content: bytes) -> None:
        """Add a member. Raises ArchiveError."""
        self._members[name] = hashlib.sha256(content).hexdigest()
        self._put(name, content)

    def finish(self, about: dict[str, Any]) -> int:
        """Write the manifest and give the file its name; its size in bytes. Raises ArchiveError."""
        manifest = Manifest(FORMAT, about, self._members)
        self._put(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        try:
            self._tar.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            size = self._file.tell()
            self._file.close()
            os.link(self._partial, self._path)  # unlike a rename it does not replace a file that has come meanwhile
        except OSError as error:
            raise _cannot_write(self._path, error) from error
        return size

    def _put(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        member.mode = 0o600
        try:
            self._tar.addfile(member, io.BytesIO(content))
        except OSError as error:
            raise _cannot_write(self._path, error) from error


class Archive:
    """A verified archive."""

    def __init__(self, path: Path) -> None:
        """Read the whole file once. Raises ArchiveError when anything in it is not as it was written."""
        self._path = path
        sums: dict[str, str] = {}
        manifest = b""
        for name, content in self._all():
            if name in sums or manifest:
                raise _damaged(path)
            if name == MANIFEST:
                manifest = content
            else:
                sums[name] = hashlib.sha256(content).hexdigest()
        try:
            self.manifest = msgspec.json.decode(manifest, type=Manifest)
        except msgspec.DecodeError as error:
            raise _damaged(path) from error
        if self.manifest.format != FORMAT:
            raise ArchiveError(
                f"{path} was made by a newer version of Sekisho.",
                f"{path} はより新しいバージョンの関所で作成されています。",
            )
        if self.manifest.members != sums:
            raise _damaged(path)

    def members(self) -> Iterator[tuple[str, bytes]]:
        """Every member but the manifest, in the order of writing."""
        return ((name, content) for name, content in self._all() if name != MANIFEST)

    def _all(self) -> Iterator[tuple[str, bytes]]:
        try:
            with gzip.open(self._path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    file = tar.extractfile(member)
                    if file is None:
                        raise _damaged(self._path)
                    yield member.name, file.read()
                while stream.read(1 << 20):  # to the end, where the check sum is
                    pass
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            raise ArchiveError(
                f"{self._path} cannot be read as a backup of Sekisho: {error}.",
                f"{self._path} は関所のバックアップとして読めません（{error}）。",
            ) from error


def _cannot_write(path: Path, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"{path} cannot be written: {error.strerror}.", f"{path} に書き込めません（{error.strerror}）。"
    )


def _damaged(path: Path) -> ArchiveError:
    return ArchiveError(
        f"{path} is not a whole, undamaged backup: nothing in it was used.",
        f"{path} は完全なバックアップではないか、壊れています。何も復元していません。",
    )
