"""docs/faults.md: what holds whatever fails, what is promised in each case, and the tests that show it.

python -m tests.faults.page            # writes it
python -m tests.faults.page --check    # 1 if it is not fresh, a test that it names is not there, or a row is open
"""

import argparse
import ast
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from tests.faults.invariants import INVARIANTS, Invariant
from tests.faults.promises import PROCESSES, Promise
from tests.faults.promises_to_clients import TO_CLIENTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "faults.md"
PROMISES = (*PROCESSES, *TO_CLIENTS)
LAST = 45
HEAD = """# Faults and abuse

What holds whatever fails, and what is promised in each case. Each line names the tests that show it; what they do not
show is said. Written by `python -m tests.faults.page` from `tests/faults/promises.py` and its neighbours; `make lint`
refuses a page that is not fresh, and a test that is not there.
"""


@cache
def functions(path: Path) -> frozenset[str]:
    """Names of the test functions of a file, by its syntax alone."""
    if not path.is_file():
        return frozenset()
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def faults(promises: Sequence[Promise] = PROMISES, invariants: Sequence[Invariant] = INVARIANTS) -> list[str]:
    """What is wrong with the table, a sentence each."""
    numbers = [one.number for one in promises]
    found = [] if numbers == list(range(1, LAST + 1)) else [f"the rows are not 1 to {LAST} in order: {numbers}"]
    where = "tests/faults/promises.py or tests/faults/promises_to_clients.py"
    for one in promises:
        if not one.tests and not one.elsewhere:
            found.append(
                f"row {one.number} ({one.case}) is open: name its tests in `tests`, or say in `elsewhere` "
                f"why there are none; it stands in {where}"
            )
        if one.tests and one.elsewhere:
            found.append(f"row {one.number} has tests and says that it has none; use `partly` in {where}")
    named = [(f"row {one.number}", test) for one in promises for test in one.tests]
    named += [(one.name, test) for one in invariants for test in one.tests]
    for place, test in named:
        file, _, function = test.partition("::")
        if function not in functions(ROOT / file):
            found.append(f"{place} names {test}, which is not there")
    return found


def page(promises: Sequence[Promise] = PROMISES, invariants: Sequence[Invariant] = INVARIANTS) -> str:
    """The page."""
    lines = [HEAD, "## Invariants", "", "| | holds | looked at by |", "| --- | --- | --- |"]
    lines += [f"| {one.name} | {one.holds} | {_tests(one.tests)} |" for one in invariants]
    lines += ["", "## Cases", "", "| | what happens | what is promised | shown by |", "| --- | --- | --- | --- |"]
    lines += [f"| {one.number} | {one.case} | {one.promised} | {_shown(one)} |" for one in promises]
    return "\n".join(lines) + "\n"


def _shown(one: Promise) -> str:
    parts = [_tests(one.tests), *one.measured]
    parts += [f"Not shown: {one.partly}."] if one.partly else []
    parts += [f"No test here: {one.elsewhere}."] if one.elsewhere else []
    return "<br>".join(part for part in parts if part) or "**open**"


def _tests(tests: Iterable[str]) -> str:
    """The tests by their files."""
    files: dict[str, list[str]] = {}
    for test in tests:
        file, _, function = test.partition("::")
        files.setdefault(file, []).append(f"`{function}`")
    return "<br>".join(f"`{file}`: {', '.join(names)}" for file, names in files.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 and say what is wrong")
    asked = parser.parse_args()
    wrong = faults()
    if asked.check:
        if not PAGE.is_file() or PAGE.read_text() != page():
            wrong.append(f"docs/{PAGE.name} is not fresh: run `python -m tests.faults.page`")
    else:
        PAGE.write_text(page())
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
