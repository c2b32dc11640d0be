"""Limits of all our own APIs: priorities, deadlines, page sizes, the format of ids."""

import re

from families.limits import Range
from gateway.jobs.job import PRIORITIES
from mesh.errors import NotFound

PRIORITY = Range(PRIORITIES.start, PRIORITIES.stop - 1)
DEADLINE_S = Range(1, 86_400)
LIMIT = Range(1, 100)
"""Number of entries of a page."""
LIMIT_DEFAULT = 20

_ID = re.compile(r"[0-9a-f]{32}")


def job_id(text: str) -> str:
    """`text`, if it is a well-formed job id; nothing else reaches the database.

    Raises:
        NotFound: it is not well-formed.
    """
    if not _ID.fullmatch(text):
        raise NotFound("unknown generation, or it has expired")
    return text
