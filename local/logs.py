"""What the logs of a mesh's processes say of why one does not start."""

import json
import os
from contextlib import suppress
from pathlib import Path

# Bytes at a log's end in which its last error is looked for.
_TAIL = 1 << 17


def last_line(log: Path) -> str:
    """The last line of a log."""
    lines = log.read_text().strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it logged nothing"


def last_error(log: Path, since: str = "") -> str:
    """The last error that one of our processes logged, which may be why others wait for it; "" for none.

    Args:
        log: its file, a JSON object a line.
        since: the time before which errors were another run's, as logs write it.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        with suppress(ValueError):
            entry = json.loads(line)
            if not isinstance(entry, dict) or str(entry.get("timestamp", since)) < since:
                continue
            if entry.get("level") in ("error", "critical"):
                return ": ".join(str(entry[key]) for key in ("event", "reason", "exception") if entry.get(key))
    return ""
