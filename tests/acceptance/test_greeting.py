"""What somebody who has started Sekisho is told."""

import asyncio
from pathlib import Path

from tests.acceptance.control_plane import running_control_plane


async def test_of_machines_that_start_at_the_same_time_one_makes_the_first_key(tmp_path: Path) -> None:
    async with running_control_plane(tmp_path / "home") as running:
        said = await asyncio.gather(*(running.plane.greeting("demo") for _ in range(3)))
        assert sorted((bool(one["key"]), one["has_keys"]) for one in said) == [
            (False, True),
            (False, True),
            (True, False),
        ]
        assert len((await running.operator.get("/admin/v1/keys")).json()["keys"]) == 1
