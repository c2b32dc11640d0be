"""FLUX through the running mesh: its pictures are those of diffusers' pipelines."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.parity.flux import CASES, FluxReference
from tests.parity.reference import MEAN, MOST, difference
from tests.parity.table import by_case, write_section
from tests.rigs.mesh import picture

ABOUT = """A random model of the family's shape with a guidance scale (dev) and a union of seven kinds, 4 to 6 steps at
144 x 112 pixels."""


@pytest.fixture(scope="module")
def reference(tiny_flux: Path) -> FluxReference:
    return FluxReference(tiny_flux)


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest) -> Iterator[dict[str, tuple[int, float]]]:
    found: dict[str, tuple[int, float]] = {}
    yield found
    if target := request.config.getoption("--parity-table"):
        write_section(Path(target), "FLUX.1", by_case(found, ABOUT))


@pytest.mark.parametrize("case", CASES)
def test_the_picture_is_diffusers_picture(
    client: httpx2.Client, reference: FluxReference, measured: dict[str, tuple[int, float]], case: str
) -> None:
    asked = CASES[case]
    ours = picture(client, asked.request("tiny-flux"))
    most, mean = measured[case] = difference(ours, reference.picture(asked))
    assert most <= MOST
    assert mean < MEAN
