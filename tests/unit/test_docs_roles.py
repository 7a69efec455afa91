"""The tables of roles in the documentation say what the code says."""

from pathlib import Path

import pytest

from sekisho.access.roles import PERMISSIONS, ROLES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_documented_table_is_the_one_in_the_code(language):
    lines = (DOCS / language / "organisation.md").read_text().splitlines()
    head = next(line for line in lines if line.startswith("| ") and "`platform_admin` | `cost_manager`" in line)
    roles = [cell.strip(" `") for cell in head.strip("|").split("|")][1:]
    documented: dict[str, set[str]] = {role: set() for role in roles}
    named = set()
    for line in lines[lines.index(head) + 2 :]:
        if not line.startswith("| `"):
            break
        permission, *cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        named.add(permission)
        for role, cell in zip(roles, cells, strict=True):
            documented[role] |= {permission} if cell == "✓" else set()
    assert named == PERMISSIONS
    assert documented == {role: set(able) for role, able in ROLES.items()}
