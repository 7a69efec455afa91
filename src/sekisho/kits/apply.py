"""Write what a kit planned, keep what was there before, and bring it back.

Kept under HOME/.sekisho/kits/AGENT: one copy of each file as it was before the first set-up, and `manifest.json` that
says where it belongs. A later set-up keeps the first copies, so that undo always goes back to before Sekisho.
"""

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from sekisho.kits.target import CannotEdit, FileEdit, Text

_KEY_FILE_MODE = 0o600
_FILE_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Change:
    """One file, before and after. `old` None: there is no such file."""

    path: Path
    old: bytes | None
    new: bytes
    holds_key: bool

    @property
    def is_needed(self) -> bool:
        return self.old != self.new


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the manifest says of one file. `backup` None: the file did not exist and undo deletes it."""

    path: str
    backup: str | None
    mode: int
    written_sha256: str
    made_folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Undone:
    """What undo did to one file. `edited_copy`: where its text went, if someone changed it after the set-up."""

    path: Path
    was_deleted: bool
    edited_copy: Path | None


def prepare(edits: Iterable[FileEdit]) -> tuple[Change, ...]:
    """Read the files and work out the changes; writes nothing. Raises CannotEdit."""
    changes = []
    for edit in edits:
        path = edit.path.resolve()  # a link to a dotfiles folder stays a link
        old = path.read_bytes() if path.exists() else None
        try:
            text = (old or b"").decode()
        except UnicodeDecodeError as error:
            raise CannotEdit(Text("The file is not UTF-8 text.", "ファイルが UTF-8 の文字ではありません。")) from error
        changes.append(Change(path, old, edit.change(text).encode(), edit.holds_key))
    return tuple(changes)


def write(agent: str, changes: Iterable[Change], home: Path, now: datetime) -> None:
    """Back up and write. The manifest is on disk before the first file changes, so undo works after a crash."""
    folder = _folder(agent, home)
    kept = {item.path: item for item in _read_manifest(folder)}
    todo = tuple(changes)
    for number, change in enumerate(todo):
        kept[str(change.path)] = _keep(change, kept.get(str(change.path)), folder, f"{now:%Y%m%dT%H%M%SZ}-{number}")
    _write_manifest(folder, tuple(kept.values()))
    for change in todo:
        mode = _KEY_FILE_MODE if change.holds_key else _mode_of(change.path)
        change.path.parent.mkdir(parents=True, exist_ok=True)
        _replace(change.path, change.new, mode)


def has_backup(agent: str, home: Path) -> bool:
    """Whether there is a set-up of this agent to undo."""
    return (_folder(agent, home) / "manifest.json").exists()


def undo(agent: str, home: Path, now: datetime) -> tuple[Undone, ...]:
    """Bring every file back byte for byte, delete those that did not exist, and forget the backup."""
    folder = _folder(agent, home)
    done = []
    for item in _read_manifest(folder):
        path = Path(item.path)
        copy = _save_edited(path, item, now)
        if item.backup is None:
            path.unlink(missing_ok=True)
            _remove_empty(item.made_folders)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, (folder / item.backup).read_bytes(), item.mode)
        done.append(Undone(path, item.backup is None, copy))
    for file in folder.glob("*"):
        file.unlink()
    if folder.exists():
        folder.rmdir()
    return tuple(done)


def _folder(agent: str, home: Path) -> Path:
    return home / ".sekisho" / "kits" / agent


def _keep(change: Change, known: _Kept | None, folder: Path, prefix: str) -> _Kept:
    """The manifest's line for a change; a first change also leaves a copy of the old bytes."""
    digest = hashlib.sha256(change.new).hexdigest()
    if known:
        return _Kept(known.path, known.backup, known.mode, digest, known.made_folders)
    made = _missing_folders(change.path.parent)
    if change.old is None:
        return _Kept(str(change.path), None, 0, digest, made)
    backup = f"{prefix}-{change.path.name}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _replace(folder / backup, change.old, _KEY_FILE_MODE)
    return _Kept(str(change.path), backup, _mode_of(change.path), digest)


def _missing_folders(folder: Path) -> tuple[str, ...]:
    """The folders that writing will make, deepest first."""
    return tuple(str(parent) for parent in (folder, *folder.parents) if not parent.exists())


def _remove_empty(folders: tuple[str, ...]) -> None:
    for folder in map(Path, folders):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _save_edited(path: Path, item: _Kept, now: datetime) -> Path | None:
    """Keep a copy of a file that someone changed after the set-up. Agents rewrite their own files, so this is usual."""
    if not path.exists():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() == item.written_sha256:
        return None
    copy = path.with_name(f"{path.name}.{now:%Y%m%dT%H%M%SZ}.edited")
    _replace(copy, content, _KEY_FILE_MODE)
    return copy


def _read_manifest(folder: Path) -> tuple[_Kept, ...]:
    path = folder / "manifest.json"
    if not path.exists():
        return ()
    files = json.loads(path.read_bytes())["files"]
    return tuple(_Kept(**{**item, "made_folders": tuple(item["made_folders"])}) for item in files)


def _write_manifest(folder: Path, kept: tuple[_Kept, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = json.dumps({"version": 1, "files": [asdict(item) for item in kept]}, indent=2, ensure_ascii=False)
    _replace(folder / "manifest.json", content.encode() + b"\n", _KEY_FILE_MODE)


def _mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else _FILE_MODE


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a whole file in one step: a reader sees the old bytes or the new, and others never see the key."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise
