"""The words of the pages that benchmarks write are those of the code: writing a page anew changes its figures alone."""

from pathlib import Path

from benchmarks.chaos_report import PAGE
from benchmarks.export_real import AIMS, HEAD
from benchmarks.export_real import PAGE as REAL
from benchmarks.jobs import BOUNDS
from benchmarks.rolling import PAGE as ROLLING
from benchmarks.soak_report import PAGE as SOAK

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_of_chaos_has_the_words_of_the_code() -> None:
    assert (DOCS / "chaos.md").read_text().startswith(PAGE)


def test_the_page_of_jobs_has_the_words_of_the_code() -> None:
    assert BOUNDS.strip() in (DOCS / "jobs_benchmark.md").read_text()


def test_the_pages_of_the_soak_and_of_the_rolling_restart_have_the_words_of_the_code() -> None:
    assert (DOCS / "soak.md").read_text().startswith(SOAK)
    assert (DOCS / "rolling.md").read_text().startswith(ROLLING)


def test_the_page_of_exports_at_real_size_has_the_words_of_the_code() -> None:
    page = (DOCS / "export_real.md").read_text()
    assert page.startswith(REAL) and "\n".join(HEAD) in page
    assert all(f"| {aim.what} |" in page for aim in AIMS.values())
