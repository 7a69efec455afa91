"""The console's own style sheets, scripts and pictures, under addresses that change when their content does."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, read once. `address` holds a part of its SHA-256."""

    address: str
    media_type: str
    content: bytes


def load_assets() -> Mapping[str, Asset]:
    """Every static file by its plain name."""
    return {path.name: _load(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES}


def _load(path: Path) -> Asset:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Asset(f"{path.stem}-{digest}{path.suffix}", _TYPES[path.suffix], content)
