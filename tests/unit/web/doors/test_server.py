"""What keeps the call process small and quick, apart from its code."""

import platform
import subprocess
import sys

import pytest

PROGRAMS = {
    "call": "import sekisho.app.process, sekisho.app.call_plane",
    "serve": "from sekisho.cli.main import create_app; create_app('serve')",
}
HEAVY = {
    "call": {"fastapi", "starlette", "pydantic", "sqlalchemy", "alembic", "botocore", "yaml", "jinja2", "typer"},
    "serve": {"fastapi", "pydantic", "sqlalchemy", "botocore", "yaml", "uvicorn", "uvloop"},
}


@pytest.mark.parametrize("process", PROGRAMS)
def test_a_process_imports_only_what_it_runs(process: str) -> None:
    program = f"{PROGRAMS[process]}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY[process] == set()


def test_the_allocator_takes_our_values_where_it_has_them() -> None:
    program = "from sekisho.web.doors.server import tune_allocator; print(tune_allocator())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(platform.libc_ver()[0] == "glibc")
