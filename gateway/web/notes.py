"""Notes for the caller in a header, for answers whose body is a picture or has no place for them."""

import json
from collections.abc import Sequence

NOTES_HEADER = "X-ControlMesh-Notes"


def notes_header(notes: Sequence[str]) -> dict[str, str]:
    """The header with the notes as a JSON list in ASCII, so that any text fits; empty if there are none."""
    return {NOTES_HEADER: json.dumps(list(notes))} if notes else {}
