"""Slopes of what a soak measured, their limits, and the page that shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = """# Soak

A mesh of the demo model serves a mix of requests in all dialects: good ones with and without pictures, waited for and
polled, with webhooks, hints, files, and bad ones. Every few seconds the memory, the file descriptors and the threads
of each process are measured, and the bytes of the database and of the stored files, which the retention bounds. The
slope is that of the straight line through what was measured after the warm-up. A run fails if a slope is above its
limit, or if a good request failed. `benchmarks/soak.py` defines the mix; `make soak` runs it for half an hour.
"""


@dataclass(frozen=True)
class Series:
    """What was measured of one thing of one process.

    Attributes:
        points: (seconds, value), after the warm-up.
        limit: highest slope a minute.
    """

    process: str
    what: str
    points: Sequence[tuple[float, float]]
    limit: float

    @property
    def slope(self) -> float:
        return slope_a_minute(self.points)


def slope_a_minute(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the straight line that is nearest to (seconds, value), per minute."""
    if len(points) < 2:
        return 0.0
    middle = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at - middle) ** 2 for at, _ in points)
    return 60.0 * sum((at - middle) * (value - mean) for at, value in points) / spread if spread else 0.0


def verdict(found: Sequence[Series]) -> list[str]:
    """A sentence for each that grew faster than it may."""
    return [
        f"{one.process}: {one.what} grew by {one.slope:.2f} a minute; the limit is {one.limit:g}"
        for one in found
        if one.slope > one.limit
    ]


def rows(found: Sequence[Series]) -> list[tuple[str, ...]]:
    """A row for each series: process, what, first, last, highest, slope, limit."""
    return [
        (
            one.process,
            one.what,
            *(f"{value:.1f}" for value in (one.points[0][1], one.points[-1][1], max(v for _, v in one.points))),
            f"{one.slope:+.2f}",
            f"{one.limit:g}",
        )
        for one in found
    ]


HEAD = ("process", "what", "after the warm-up", "at the end", "highest", "slope a minute", "limit")


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in Markdown."""
    return [f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *(f"| {' | '.join(row)} |" for row in body)]


def write(page: Path, title: str, facts: Sequence[tuple[str, str]], found: Sequence[Series]) -> None:
    """Write the page anew."""
    lines = [PAGE, f"## {title}", "", *table(("what", "figure"), facts), "", *table(HEAD, rows(found))]
    page.write_text("\n".join(lines) + "\n")
