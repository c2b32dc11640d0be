"""Report a chaos run: its tables, and their place in a page that also has those of other runs."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.chaos_callers import Seen

Table = tuple[str, Sequence[str], list[tuple[str, ...]]]
"""Title, head, rows."""
MOST_KILLS_SHOWN = 12
_PAGE = """# Chaos

Jobs are submitted to two gateways that share the records, while processes of the mesh are killed with `kill -9`. Each
part is written by the command above its tables; `benchmarks/chaos.py` says what is counted.

Programs send again whatever is not answered: no connection, a broken one, a status that says so. Those of the native
and the gRPC API send idempotency keys, and every job of theirs to both gateways under one key: all answers must name
the same job. The vendors' programs have no such keys. A job of theirs is **accepted** once an answer with its id came;
**unanswered** is a submission of which the program can't know whether it was taken, and which it sends again: the first
one may then be made as well, and is told of by its own id. Of every accepted job, and of every other one on record,
must come one final record, a success, and webhooks under one id at each place that is told of it.

A crash of the database itself has tests of its own, `tests/faults/test_database_restart.py` and
`tests/faults/test_database_away.py`: PostgreSQL is stopped at once (`-m immediate`) under load and started some six
seconds later. Meanwhile submissions are refused with 503 and Retry-After, in each dialect's shape; nothing has to be
restarted. On two cores, everything that had been taken before and after had ended 1.4 to 3.4 s after the server was
back, and was told of after 3.5 to 4.0 s.
"""


@dataclass(frozen=True)
class Kill:
    """One `kill -9`: its time, the process, and how many jobs had ended."""

    at_s: float
    part: str
    ended: int


@dataclass(frozen=True)
class Accepted:
    """A job for which a client got an id, from each gateway that it was sent to; how it ended; whether its picture was
    found."""

    dialect: str
    ids: tuple[str, ...]
    seen: Seen
    has_picture: bool


@dataclass
class Run:
    """The results of a run.

    Attributes:
        command: the command that repeats it.
        accepted: the jobs as their clients know them.
        unanswered: dialect -> submissions without an answer.
        asked_again: number of retries of all clients.
        rows: the records at the end.
        webhooks, calls: number of distinct webhooks, and of requests that delivered them.
        broken: broken guarantees, as sentences.
    """

    database: str
    seed: int
    command: str
    accepted: list[Accepted] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    unanswered: Counter[str] = field(default_factory=Counter)
    asked_again: int = 0
    seconds: float = 0.0
    rows: list[Any] = field(default_factory=list)
    webhooks: int = 0
    calls: int = 0
    broken: list[str] = field(default_factory=list)


def tables(run: Run) -> list[Table]:
    """The figures of a run, by dialect and in total, and the kills."""
    begun = Counter(row.attempts for row in run.rows)
    facts = {
        "records": len(run.rows),
        "records that succeeded": sum(row.status == "succeeded" for row in run.rows),
        "distinct webhooks delivered": run.webhooks,
        "deliveries repeated under the same id": run.calls - run.webhooks,
        "jobs begun once, twice, more often": f"{begun[1]}, {begun[2]}, {sum(begun.values()) - begun[1] - begun[2]}",
        "killed": len(run.kills),
        "requests that programs sent again": run.asked_again,
        "seconds in all": f"{run.seconds:.0f}",
        "broken promises": "; ".join(run.broken) or "none",
    }
    head = ("dialect", "jobs", "sent to", "submissions unanswered", "succeeded", "pictures fetched", "records")
    title = f"{run.database}, seed {run.seed}"
    return [
        (
            f"{title}: by dialect",
            head,
            [_dialect(run, name) for name in dict.fromkeys(a.dialect for a in run.accepted)],
        ),
        (f"{title}: in all", ("what", "figure"), [(name, str(value)) for name, value in facts.items()]),
        _kills(run),
    ]


def _dialect(run: Run, dialect: str) -> tuple[str, ...]:
    jobs = [each for each in run.accepted if each.dialect == dialect]
    figures = (
        len(jobs),
        max(len(job.ids) for job in jobs),
        run.unanswered[dialect],
        sum(job.seen.end == "succeeded" for job in jobs),
        sum(job.has_picture for job in jobs),
        sum(row.dialect == dialect for row in run.rows),
    )
    return (dialect, *map(str, figures))


def _kills(run: Run) -> Table:
    if len(run.kills) <= MOST_KILLS_SHOWN:
        rows = [(f"{kill.at_s:.1f}", kill.part, str(kill.ended)) for kill in run.kills]
        return (f"{run.database}: who was killed", ("second", "process", "jobs ended by then"), rows)
    often = Counter(kill.part for kill in run.kills)
    return (
        f"{run.database}: who was killed",
        ("process", "times"),
        [(part, str(n)) for part, n in often.most_common()],
    )


def write(page: Path, title: str, runs: Sequence[Run]) -> None:
    """Write the tables of `runs` into `page`, each replacing the one with the same title and database."""
    known = re.findall(r"^## .*?(?=^## |\Z)", page.read_text() if page.exists() else "", re.MULTILINE | re.DOTALL)
    parts = {part.split("\n", 1)[0]: part.strip() for part in known}
    for run in runs:
        lines = [f"## {title}: {run.database}", "", f"`{run.command}`"]
        for name, head, rows in tables(run):
            lines += ["", f"### {name}", "", f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
            lines += [f"| {' | '.join(row)} |" for row in rows]
        parts[lines[0]] = "\n".join(lines)
    page.write_text("\n\n".join([_PAGE.strip(), *parts.values()]) + "\n")
