"""Bounds that hold in every API of our own: how a job may be handled, how much of a list is a page, what an id is."""

import re

from families.limits import Range
from gateway.jobs.job import PRIORITIES
from mesh.errors import NotFound

PRIORITY = Range(PRIORITIES.start, PRIORITIES.stop - 1)
DEADLINE_S = Range(1, 86_400)
LIMIT = Range(1, 100)
"""Entries of a page."""
LIMIT_DEFAULT = 20

_ID = re.compile(r"[0-9a-f]{32}")


def job_id(text: str) -> str:
    """`text`, if it could be a job's id; nothing else reaches the records.

    Raises:
        NotFound: it could not.
    """
    if not _ID.fullmatch(text):
        raise NotFound("there is no such generation, or it was kept long enough")
    return text
