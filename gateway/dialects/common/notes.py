"""Notes for callers of APIs whose answers have no place for them: a response header with a JSON list."""

import json
from collections.abc import Sequence

HEADER = "X-ControlMesh-Notes"
_LONGEST = 4096
"""Bytes; proxies and clients take about twice as much for all headers together."""


def header(notes: Sequence[str]) -> dict[str, str]:
    """The header for `notes`, ASCII JSON so that any text fits; no header without any. The last ones are left out where
    they are too long together."""
    kept = list(dict.fromkeys(notes))
    while kept and len(json.dumps(kept)) > _LONGEST:
        kept.pop()
    return {HEADER: json.dumps(kept)} if kept else {}
