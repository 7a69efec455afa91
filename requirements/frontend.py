"""Fetch the front-end files that requirements/frontend.lock.json pins, check them, and put them into the tree.

Run it to renew them after a change of the lock: `python requirements/frontend.py`. It asks the npm registry that npm's
own settings name, takes plain tarballs (no node is run), and refuses what has not the hash in the lock. Nothing at
build time or run time needs it: the files are in the tree (docs/why/console.md).
"""

import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = Path(__file__).with_name("frontend.lock.json")


def registry() -> str:
    """The registry in npm's settings."""
    found = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True, check=True)
    return found.stdout.strip().rstrip("/")


def fetch(name: str, version: str, integrity: str) -> bytes:
    """The tarball of a package. Exits when it is not the one in the lock."""
    address = f"{registry()}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
    with urllib.request.urlopen(address, timeout=60) as answer:
        content: bytes = answer.read()
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != integrity:
        sys.exit(f"{name} {version} is not the pinned one: {found}")
    return content


def main() -> None:
    """Write every file of the lock."""
    for package in json.loads(LOCK.read_text())["packages"]:
        content = fetch(package["name"], package["version"], package["integrity"])
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for file in package["files"]:
                member = archive.extractfile(f"package/{file['from']}")
                assert member is not None
                taken = member.read()
                if hashlib.sha256(taken).hexdigest() != file["sha256"]:
                    sys.exit(f"{file['from']} of {package['name']} is not the pinned one")
                (ROOT / file["to"]).parent.mkdir(parents=True, exist_ok=True)
                (ROOT / file["to"]).write_bytes(taken)


if __name__ == "__main__":
    main()
