"""The console's style sheets, scripts and pictures, under addresses that change when their content does.

`static/vendor` holds files of others, pinned in frontend.lock.json (docs/why/console.md).
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """One file, read once. `address` holds a part of its SHA-256."""

    address: str
    media_type: str
    content: bytes

    @property
    def is_text(self) -> bool:
        """Whether it becomes much smaller when it is packed."""
        return len(self.content) > 1000

    @cached_property
    def packed(self) -> bytes:
        """The content under gzip, made when it is first asked for."""
        return gzip.compress(self.content, 9, mtime=0)


def load_assets() -> Mapping[str, Asset]:
    """Every static file by its plain name."""
    paths = sorted([*_FOLDER.iterdir(), *(_FOLDER / "vendor").iterdir()])
    return {path.name: _load(path) for path in paths if path.suffix in _TYPES}


def _load(path: Path) -> Asset:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Asset(f"{path.stem}-{digest}{path.suffix}", _TYPES[path.suffix], content)
