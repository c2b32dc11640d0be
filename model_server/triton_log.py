"""Parse Triton's log lines."""

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"^(?P<level>[IWEF])(?P<month>\d\d)(?P<day>\d\d) [\d:.]+ (?P<pid>\d+) (?P<source>[\w./]+:\d+)\] ?(?P<text>.*)$"
)
_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "critical"}

# Logged at every start on a machine without a GPU, and harmless.
_EXPECTED = (
    "failed to allocate pinned system memory",
    "CUDA driver version is insufficient",
    "CudaDriverHelper has not been initialized",
)


@dataclass(frozen=True, slots=True)
class Line:
    level: str
    """debug, info, warning, error or critical."""
    text: str
    source: str
    """file:line in Triton's source; empty for output of a model process."""


def parse(raw: str) -> Line | None:
    """Parse one line of Triton's output; None for the tables that it prints at start."""
    text = raw.rstrip()
    match = _LINE.match(text)
    if match is None:
        return None if not text or text[0] in "+|" else Line("info", text, "")
    message = match["text"].strip().strip('"').replace("\\n", "\n").replace('\\"', '"').strip()
    # Triton's progress only matters when something is wrong with it; our own log says when it is ready.
    level = _LEVELS[match["level"]]
    if level == "info" or any(words in message for words in _EXPECTED):
        level = "debug"
    return Line(level, message, match["source"])


def load_failures(lines: list[Line]) -> dict[str, str]:
    """Find why models could not be loaded, from the lines of a failed start: model -> reason.

    Only the reason itself is kept: Triton appends the Python traceback.
    """
    found: dict[str, str] = {}
    for line in lines:
        match = re.match(
            r"failed to load '([^']+)' version \d+: (?:Internal|Invalid argument|Unavailable): (.*)",
            line.text,
            re.S,
        )
        if match:
            reason = match[2].split("\n\nAt:")[0].strip()
            found[match[1]] = re.sub(r"^TritonModelException: ", "", reason)
    return found
