"""Requests of every family at once: no picture depends on what is computed beside it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2

from tests.parity import flux, sdxl
from tests.parity.reference import MEAN, MOST, difference
from tests.rigs.mesh import picture

SDXL = ("canny", "union: tile", "canny + depth", "no negative prompt", "img2img canny")
FLUX = ("union: canny", "union: gray", "depth + canny", "true guidance 3, canny", "img2img canny")


def test_unlike_requests_at_once_are_diffusers_pictures(
    client: httpx2.Client, tiny_sdxl: Path, tiny_flux: Path
) -> None:
    asked = [("tiny-sdxl", replace(sdxl.CASES[case], seed=seed)) for seed, case in enumerate(SDXL)]
    asked += [("tiny-flux", replace(flux.CASES[case], seed=seed)) for seed, case in enumerate(FLUX)]
    with ThreadPoolExecutor(len(asked)) as pool:
        ours = list(pool.map(lambda one: picture(client, one[1].request(one[0])), asked))
    references = {"tiny-sdxl": sdxl.SdxlReference(tiny_sdxl), "tiny-flux": flux.FluxReference(tiny_flux)}
    for (model, request), made in zip(asked, ours, strict=True):
        most, mean = difference(made, references[model].picture(request))
        assert most <= MOST and mean < MEAN, (model, request)
