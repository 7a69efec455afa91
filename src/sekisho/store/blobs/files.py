"""Blobs as files: `<folder>/<first two characters>/<name>`, written beside their place and moved there whole."""

import os
from contextlib import suppress
from pathlib import Path

from sekisho.errors import NotFound, StoreUnavailable


class FileBlobs:
    """`record.content_store.Blobs` in a folder. Its methods block: call them in a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, data: bytes) -> None:
        """Keep these bytes, durably."""
        path = self._path(name)
        new = path.with_suffix(".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            new.replace(path)
        except OSError as error:
            with suppress(OSError):  # its folder is gone
                new.unlink()
            raise StoreUnavailable(f"Content cannot be written: {error.strerror or error}.") from error

    def get(self, name: str) -> bytes:
        """The bytes. Raises NotFound, StoreUnavailable."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise NotFound("This content is no longer there.") from error
        except OSError as error:
            raise StoreUnavailable(f"Content cannot be read: {error.strerror or error}.") from error

    def delete(self, name: str) -> None:
        """Remove the bytes; nothing happens if they are gone."""
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"Content cannot be deleted: {error.strerror or error}.") from error

    def names(self) -> list[str]:
        """Every blob there is."""
        return sorted(path.name for path in self._directory.glob("??/*") if path.suffix != ".new")

    def _path(self, name: str) -> Path:
        return self._directory / name[:2] / name
