"""A process's clock may be hours off: who is dead, late or old is decided by the database's clock alone."""

import ast
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql

from gateway.database.tables import now

DECIDING = ("gateway/jobs", "gateway/workflows", "gateway/files")
WALL_CLOCKS = {"time", "now", "utcnow", "today"}
# Shown while a job runs, and replaced by the record's own times; links, whose clock is handed in; files of the
# machine's own, which have its times.
ALLOWED = {
    ("gateway/jobs/attempt.py", "now"),
    ("gateway/jobs/job.py", "now"),
    ("gateway/files/stores.py", "time"),
}


def test_the_database_s_clock_is_its_server_s() -> None:
    assert "clock_timestamp()" in str(now(postgresql.dialect()).compile(dialect=postgresql.dialect()))


@pytest.mark.parametrize("folder", DECIDING)
def test_no_wall_clock_of_the_process_is_read_where_that_is_decided(repository: Path, folder: str) -> None:
    read = set()
    for path in sorted((repository / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WALL_CLOCKS:
                whose = node.func.value
                if isinstance(whose, ast.Name) and whose.id in ("time", "datetime", "date"):
                    read.add((str(path.relative_to(repository)), node.func.attr))
    assert read <= ALLOWED
