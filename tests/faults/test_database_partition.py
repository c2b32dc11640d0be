"""A process loses its way to the database, is taken for dead, and comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.rigs.job_processes import worker
from tests.rigs.partition import partition
from tests.rigs.postgres import Server, postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


async def test_a_job_that_was_taken_over_meanwhile_ends_once(server: Server, tmp_path: Path) -> None:
    url = server.new_database()
    at = make_url(url)
    async with partition(f"{at.query['host']}/.s.PGSQL.{at.port or 5432}") as between:
        cut = at.set(host="127.0.0.1", port=between.port, query={}).render_as_string(hide_password=False)
        async with worker(cut, tmp_path, "sticks") as first, worker(url, tmp_path, "finishes") as second:
            id = await first.submit("a boat", at_once=True)
            await first.hear("begun")
            between.open.clear()
            # Its pictures are done while it is cut off; nobody can know.
            first.tell(go=True)
            done = await second.outcome(id)
            assert (done["status"], done["attempts"], second.count("ending")) == ("succeeded", 2, 1)
            between.open.set()
            # It goes on, sees that the job is another's, and takes new ones.
            again = await first.submit("another boat", at_once=True)
            assert (await first.outcome(again))["status"] == "succeeded"
            assert (await second.outcome(id))["attempts"] == 2
            assert first.count("ending", id) == 0
