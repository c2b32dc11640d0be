"""Notes of a job in a header, for answers whose body is a picture or has no place for them."""

import json
from collections.abc import Sequence

NOTES_HEADER = "X-ControlMesh-Notes"
MOST_CHARACTERS = 4_000
"""Notes beyond this are left out: proxies and clients take headers of some kilobytes only."""


def noted(notes: Sequence[str]) -> dict[str, str]:
    """The header, a JSON list in ASCII, so that any text fits in it; none without notes."""
    kept = list(notes)
    while kept and len(json.dumps(kept)) > MOST_CHARACTERS:
        kept.pop()
    return {NOTES_HEADER: json.dumps(kept)} if kept else {}
