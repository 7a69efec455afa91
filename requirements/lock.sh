#!/usr/bin/env bash
# Lock what pyproject.toml asks for: every platform and Python from 3.11, with hashes, without host names.
# Extras stay in the lock: pip in hash mode takes a requirement such as coverage[toml] for unpinned otherwise.
set -eu
cd "$(dirname "$0")/.."
compile="uv pip compile --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate --no-config -q"
$compile pyproject.toml --group build -o requirements/run.lock
$compile pyproject.toml --group build --group dev -c requirements/run.lock -o requirements/dev.lock
