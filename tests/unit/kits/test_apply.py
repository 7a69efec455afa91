"""Writing, keeping and bringing back: undo returns every byte and every mode."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sekisho.kits import apply
from sekisho.kits.agents import KITS
from sekisho.kits.target import CannotEdit, FileEdit, Target

NOW = datetime(2026, 11, 20, 6, 42, tzinfo=UTC)


def edit(path: Path, text: str, *, holds_key: bool = True) -> FileEdit:
    return FileEdit(path, lambda old: old + text, holds_key)


def set_up(home: Path, *edits: FileEdit, agent: str = "cline") -> None:
    apply.write(agent, apply.prepare(edits), home, NOW)


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder: its bytes and its mode."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in folder.rglob("*")
        if path.is_file()
    }


OLD = {
    "cline": (".cline/data/settings/providers.json", b'{"providers": {"a": {}}}'),
    "claude": (".claude/settings.json", b'{\r\n\t"env": {"A": "1"}, // c\r\n}'),
    "codex": (".codex/config.toml", b'model = "x"'),
    "opencode": (".config/opencode/opencode.json", "{ /* 設定 */ }".encode()),
    "kilo": (".config/kilo/kilo.json", b""),
    "continue": (".continue/config.yaml", b"name: x\nmodels:\n- name: y\n"),
    "aider": (".aider.conf.yml", b"model: x\n# end"),
}


@pytest.mark.parametrize("agent", KITS)
@pytest.mark.parametrize("times", [1, 2])
def test_undo_brings_every_byte_and_mode_back(agent: str, times: int, tmp_path: Path) -> None:
    name, content = OLD[agent]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o640)
    before = tree(tmp_path)
    for number in range(times):
        target = Target("http://127.0.0.1:4000", f"sk-{number}", "claude-sonnet-4-6", tmp_path)
        set_up(tmp_path, *KITS[agent].plan(target), agent=agent)
    assert tree(tmp_path) != before
    apply.undo(agent, tmp_path, NOW)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("agent", KITS)
def test_undo_deletes_files_and_folders_that_were_not_there(agent: str, tmp_path: Path) -> None:
    target = Target("http://127.0.0.1:4000", "sk-1", "claude-sonnet-4-6", tmp_path)
    set_up(tmp_path, *KITS[agent].plan(target), agent=agent)
    assert all(undone.was_deleted for undone in apply.undo(agent, tmp_path, NOW))
    assert tree(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == [".sekisho"]
    assert not apply.has_backup(agent, tmp_path)


def test_only_the_owner_can_read_what_holds_a_key(tmp_path: Path) -> None:
    (tmp_path / "open").write_text("old")
    (tmp_path / "open").chmod(0o644)
    set_up(tmp_path, edit(tmp_path / "open", "+key"), edit(tmp_path / "plain", "x", holds_key=False))
    modes = {name: mode for name, (_, mode) in tree(tmp_path).items()}
    assert modes["open"] == 0o600
    assert modes["plain"] == 0o644
    kept = {name: mode for name, mode in modes.items() if name.startswith(".sekisho")}
    assert len(kept) == 2
    assert set(kept.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / ".sekisho/kits/cline").stat().st_mode) == 0o700


def test_a_later_set_up_keeps_the_first_backup(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("first")
    set_up(tmp_path, edit(tmp_path / "file", "+1"))
    set_up(tmp_path, edit(tmp_path / "file", "+2"))
    assert (tmp_path / "file").read_text() == "first+1+2"
    apply.undo("cline", tmp_path, NOW)
    assert (tmp_path / "file").read_text() == "first"


def test_what_someone_changed_after_the_set_up_is_kept_aside(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("first")
    set_up(tmp_path, edit(tmp_path / "file", "+1"))
    (tmp_path / "file").write_text("edited later")
    (undone,) = apply.undo("cline", tmp_path, NOW)
    assert (tmp_path / "file").read_text() == "first"
    assert undone.edited_copy is not None
    assert undone.edited_copy.read_text() == "edited later"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "config"
    real.parent.mkdir()
    real.write_text("first")
    (tmp_path / "config").symlink_to(real)
    set_up(tmp_path, edit(tmp_path / "config", "+1"))
    assert (tmp_path / "config").is_symlink()
    assert real.read_text() == "first+1"
    apply.undo("cline", tmp_path, NOW)
    assert (tmp_path / "config").is_symlink()
    assert real.read_text() == "first"


def test_nothing_is_written_when_one_file_cannot_be_changed(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"\xff\xfe")
    with pytest.raises(CannotEdit):
        set_up(tmp_path, edit(tmp_path / "good", "x"), edit(tmp_path / "bad", "x"))
    assert list(tree(tmp_path)) == ["bad"]


def test_agents_do_not_share_backups(tmp_path: Path) -> None:
    set_up(tmp_path, edit(tmp_path / "a", "1"), agent="kilo")
    set_up(tmp_path, edit(tmp_path / "b", "1"), agent="opencode")
    apply.undo("kilo", tmp_path, NOW)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "b").exists()
    assert apply.has_backup("opencode", tmp_path)
