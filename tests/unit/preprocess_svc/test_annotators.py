"""How pictures are fitted to what an annotator sees."""

from typing import Any

import msgspec
import numpy as np
import pytest

from mesh.errors import InternalError, InvalidInput
from preprocess_svc.annotators import LONGEST, Annotators, fit
from tests.rigs.annotator_maps import card


def fitted(width: int, height: int, asked: int = 0, /, **changes: object) -> tuple[int, int]:
    picture = np.zeros((height, width, 3), np.uint8)
    shape = fit(picture, msgspec.structs.replace(card(["depth"]), **changes), asked).shape
    return shape[1], shape[0]


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((512, 512), 0, (512, 512)),
        ((1000, 700), 0, (704, 512)),
        ((700, 1000), 256, (256, 384)),
        ((64, 64), 0, (512, 512)),
        ((1, 1), 0, (512, 512)),
    ],
)
def test_the_shorter_side_is_what_the_annotator_wants(
    size: tuple[int, int], side: int, expected: tuple[int, int]
) -> None:
    assert fitted(*size, side, side=512, multiple=64) == expected


def test_a_square_annotator_gets_a_square() -> None:
    assert fitted(1000, 200, side=384, multiple=32, square=True) == (384, 384)


@pytest.mark.parametrize(("width", "height"), [(1024, 64), (64, 1024), (1024, 1), (3000, 20)])
def test_a_thin_picture_costs_no_more_than_a_square_one(width: int, height: int) -> None:
    longer, shorter = sorted(fitted(width, height, side=512, multiple=64), reverse=True)
    assert longer == LONGEST
    assert 64 <= shorter <= 512


@pytest.mark.parametrize("side", [63, 1025, -1])
def test_a_side_out_of_range_is_refused(side: int) -> None:
    with pytest.raises(InvalidInput, match="detect_resolution must be 0 or 64 to 1024"):
        fitted(512, 512, side)


async def test_maps_that_are_no_numbers_are_an_error() -> None:
    class Broken:
        async def infer(self, graph: str, inputs: dict[str, np.ndarray], outputs: list[str]) -> dict[str, np.ndarray]:
            return {name: np.full((1, 64, 64), np.nan, np.float32) for name in outputs}

    triton: Any = Broken()
    with pytest.raises(InternalError, match="maps are not finite"):
        await Annotators([card(["depth"])], triton).infer("depth", np.zeros((64, 64, 3), np.uint8))
