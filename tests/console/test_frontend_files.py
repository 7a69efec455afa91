"""The front-end files in the tree are the pinned ones, and nothing else is among them."""

import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = {
    file["to"]: file["sha256"]
    for package in json.loads((ROOT / "requirements/frontend.lock.json").read_text())["packages"]
    for file in package["files"]
}


def test_every_file_is_the_pinned_one() -> None:
    found = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in FILES}
    assert found == FILES


def test_there_is_no_other_file_beside_them() -> None:
    folders = {(ROOT / name).parent for name in FILES}
    beside = {path.relative_to(ROOT).as_posix() for folder in folders for path in folder.iterdir()}
    assert beside == set(FILES)
