"""SDXL through the running mesh: its pictures are those of diffusers' pipelines."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.parity.reference import MEAN, MOST, difference
from tests.parity.sdxl import CASES, SdxlReference
from tests.rigs.mesh import picture


@pytest.fixture(scope="module")
def reference(tiny_sdxl: Path) -> Iterator[SdxlReference]:
    yield SdxlReference(tiny_sdxl)


@pytest.mark.parametrize("case", CASES)
def test_the_picture_is_diffusers_picture(client: httpx2.Client, reference: SdxlReference, case: str) -> None:
    asked = CASES[case]
    ours = picture(client, asked.request("tiny-sdxl"))
    most, mean = difference(ours, reference.picture(asked))
    assert most <= MOST
    assert mean < MEAN
