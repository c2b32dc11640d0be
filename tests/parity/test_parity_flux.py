"""FLUX through the running mesh: its pictures are those of diffusers' pipelines."""

from pathlib import Path

import httpx2
import pytest

from tests.parity.flux import CASES, FluxReference
from tests.parity.reference import MEAN, MOST, difference
from tests.rigs.mesh import picture


@pytest.fixture(scope="module")
def reference(tiny_flux: Path) -> FluxReference:
    return FluxReference(tiny_flux)


@pytest.mark.parametrize("case", CASES)
def test_the_picture_is_diffusers_picture(client: httpx2.Client, reference: FluxReference, case: str) -> None:
    asked = CASES[case]
    ours = picture(client, asked.request("tiny-flux"))
    most, mean = difference(ours, reference.picture(asked))
    assert most <= MOST
    assert mean < MEAN
