"""Models that read more than the latents through the running mesh: their pictures are those of diffusers' pipelines,
and a wrong mask, picture or hint makes another one."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tests.parity.flux import CONTROL_CASES, FILL_CASES, ControlReference, FillReference
from tests.parity.matrix import nearness, picture, repainted
from tests.parity.reference import MEAN, MOST, Asked, Reference, Steered, difference
from tests.parity.sdxl import MASKED_CASES, SdxlReference
from tests.parity.table import by_case, write_section
from tests.rigs import mesh
from tests.rigs.tiny_concat import CANNY, FILL, SD15, SDXL

ABOUT = """Random models of 9 channels (SD1.5, SDXL: a mask and a masked picture), of FLUX Control's shape (a hint) and
of FLUX Fill's (a masked picture and the mask's pixels), 4 to 6 steps."""
SEEN = 100 * MEAN
"""Mean difference of a picture that a wrong input makes, at least."""
_PLAIN = Asked("DDIMScheduler", steps=4, image=picture(), mask=repainted(), strength=1.0)
CASES: Mapping[str, tuple[str, Asked]] = {
    "SD1.5 mask": (SD15, _PLAIN),
    "SD1.5 mask, strength 0.6": (SD15, replace(_PLAIN, strength=0.6)),
    "SD1.5 mask, guidance 1, PNDM": (SD15, replace(_PLAIN, scheduler="PNDMScheduler", guidance_scale=1.0)),
    **{f"SDXL {case}": (SDXL, asked) for case, asked in MASKED_CASES.items()},
    **{f"FLUX {case}": (CANNY, asked) for case, asked in CONTROL_CASES.items()},
    **{f"FLUX {case}": (FILL, asked) for case, asked in FILL_CASES.items()},
}


@pytest.fixture(scope="module")
def references(tiny_concat: Path) -> dict[str, Reference]:
    return {
        SD15: Reference(tiny_concat / SD15),
        SDXL: SdxlReference(tiny_concat / SDXL),
        CANNY: ControlReference(tiny_concat / CANNY),
        FILL: FillReference(tiny_concat / FILL),
    }


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest) -> Iterator[dict[str, tuple[int, float]]]:
    found: dict[str, tuple[int, float]] = {}
    yield found
    if target := request.config.getoption("--parity-table"):
        write_section(Path(target), "Models that read more than the latents", by_case(found, ABOUT))


@pytest.mark.parametrize("case", CASES)
def test_the_picture_is_diffusers_picture(
    client: httpx2.Client,
    references: dict[str, Reference],
    measured: dict[str, tuple[int, float]],
    case: str,
) -> None:
    model, asked = CASES[case]
    ours = mesh.picture(client, asked.request(model))
    most, mean = measured[case] = difference(ours, references[model].picture(asked))
    assert most <= MOST
    assert mean < MEAN


def _turned(asked: Asked) -> Asked:
    """Another mask: what was kept is repainted."""
    return replace(asked, mask=255 - np.asarray(asked.mask))


def _other(asked: Asked) -> Asked:
    """Another picture, where it is seen."""
    return replace(asked, image=255 - np.asarray(asked.image))


def _hint(asked: Asked) -> Asked:
    return replace(asked, controls=(Steered("canny", nearness(asked.width, asked.height)),))


WRONG: Mapping[str, tuple[Callable[[Asked], Asked], ...]] = {
    "SD1.5 mask": (_turned, _other),
    "SDXL mask": (_turned, _other),
    "FLUX fill": (_turned, _other),
    "FLUX control": (_hint,),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_input_makes_another_picture(client: httpx2.Client, case: str) -> None:
    model, asked = CASES[case]
    ours = mesh.picture(client, asked.request(model))
    for wrong in WRONG[case]:
        other = mesh.picture(client, wrong(asked).request(model))
        assert difference(ours, other)[1] > SEEN


def test_unlike_requests_at_once_are_diffusers_pictures(
    client: httpx2.Client, references: dict[str, Reference]
) -> None:
    cases = ("SDXL mask", "SDXL mask + canny", "SDXL mask, strength 0.6", "FLUX fill", "FLUX control")
    asked = [(CASES[case][0], replace(CASES[case][1], seed=seed)) for seed, case in enumerate(cases)]
    asked.append((FILL, replace(_turned(CASES["FLUX fill"][1]), seed=9)))
    with ThreadPoolExecutor(len(asked)) as pool:
        ours = list(pool.map(lambda one: mesh.picture(client, one[1].request(one[0])), asked))
    for (model, request), made in zip(asked, ours, strict=True):
        most, mean = difference(made, references[model].picture(request))
        assert most <= MOST and mean < MEAN, (model, request)
