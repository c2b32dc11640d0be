"""Stands in for the exporter's command: writes down how it was called, and ends as the source's name says."""

import json
import os
import sys
from pathlib import Path

ENDS = {"refused": 3, "unreachable": 4, "busy": 7, "broken": 1, "misfit": 8}

if __name__ == "__main__":
    log, *arguments = sys.argv[1:]
    known = {"arguments": arguments, "secrets": [name for name in os.environ if name.startswith("CN_GATEWAY_")],
             "niceness": os.nice(0)}  # fmt: skip
    with Path(log).open("a") as calls:
        calls.write(json.dumps(known) + "\n")
    word = arguments[-1].rpartition("/")[2]
    if word == "endless":
        sys.stdin.close()
        os.pause() if hasattr(os, "pause") else __import__("signal").pause()
    print("exporting", word)
    if word in ENDS:
        print("not exported: it is", word, file=sys.stderr)
    sys.exit(ENDS.get(word, 0))
