"""docs/faults.md is fresh, every test that it names exists, and no row is open; what is not so is named."""

import dataclasses

from tests.faults.invariants import INVARIANTS
from tests.faults.page import PAGE, PROMISES, faults, page


def test_the_page_is_fresh_and_its_tests_are_there() -> None:
    assert faults() == []
    assert PAGE.read_text() == page()


def test_what_is_wrong_is_named() -> None:
    first, *others = PROMISES
    assert "row 1 (" in faults([dataclasses.replace(first, tests=(), elsewhere=""), *others])[0]
    gone = "tests/faults/test_page.py::test_of_yesterday"
    assert f"row 1 names {gone}, which is not there" in faults([dataclasses.replace(first, tests=(gone,)), *others])
    assert f"I1 names {gone}, which is not there" in faults(
        PROMISES, [dataclasses.replace(INVARIANTS[0], tests=(gone,))]
    )
    assert any("row 1 has tests and" in one for one in faults([dataclasses.replace(first, elsewhere="x"), *others]))
    assert "the rows are not 1 to 45" in faults(others)[0]


def test_a_row_says_what_is_not_shown() -> None:
    rows = page().splitlines()
    assert sum(line.startswith("| ") and line[2].isdigit() for line in rows) == len(PROMISES)
    assert all(one.partly in page() and one.elsewhere in page() for one in PROMISES)
