"""SDXL through the running mesh: its pictures are those of diffusers' pipelines."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.parity.reference import MEAN, MOST, difference
from tests.parity.sdxl import CASES, SdxlReference
from tests.parity.table import by_case, write_section
from tests.rigs.mesh import picture

ABOUT = """A random model of the family's shape, 4 to 6 steps at 144 x 120 pixels. Kinds without a net of their own
go to a union."""


@pytest.fixture(scope="module")
def reference(tiny_sdxl: Path) -> Iterator[SdxlReference]:
    yield SdxlReference(tiny_sdxl)


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest) -> Iterator[dict[str, tuple[int, float]]]:
    found: dict[str, tuple[int, float]] = {}
    yield found
    if target := request.config.getoption("--parity-table"):
        write_section(Path(target), "SDXL", by_case(found, ABOUT))


@pytest.mark.parametrize("case", CASES)
def test_the_picture_is_diffusers_picture(
    client: httpx2.Client, reference: SdxlReference, measured: dict[str, tuple[int, float]], case: str
) -> None:
    asked = CASES[case]
    ours = picture(client, asked.request("tiny-sdxl"))
    most, mean = measured[case] = difference(ours, reference.picture(asked))
    assert most <= MOST
    assert mean < MEAN
