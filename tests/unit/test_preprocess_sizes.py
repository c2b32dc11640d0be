import dataclasses

import pytest

from families.limits import SIDE
from mesh.errors import InvalidInput
from preprocess_svc.sizes import fitted_size, picture_size, target_size
from tests.cards import facts


@dataclasses.dataclass
class Case:
    picture: tuple[int, int]
    size: tuple[int, int]


@pytest.mark.parametrize(
    "case",
    [
        Case((1000, 700), (704, 512)),
        Case((512, 512), (512, 512)),
        Case((600, 800), (512, 704)),
        Case((64, 64), (512, 512)),
        Case((3000, 500), (1024, 512)),  # the longer side stays within the limit
        Case((1, 4000), (512, 1024)),
    ],
)
def test_a_512_model_gets_the_hugging_face_handler_s_sizes(case: Case) -> None:
    assert fitted_size(case.picture, 512) == case.size
    assert target_size(0, 0, case.picture, facts(native_size=512)) == case.size


@pytest.mark.parametrize("short_side", range(64, 1025, 8))
def test_every_derived_size_can_be_made(short_side: int) -> None:
    for picture in ((1000, 700), (333, 777), (64, 64)):
        assert all(SIDE.holds(side) for side in fitted_size(picture, short_side))


def test_sizes_that_were_asked_for_are_taken() -> None:
    assert target_size(200, 136, (1000, 700), facts(native_size=512)) == (200, 136)


def test_one_missing_side_follows_the_picture() -> None:
    assert target_size(256, 0, (1000, 500), facts(native_size=512)) == (256, 128)
    assert target_size(0, 256, (1000, 500), facts(native_size=512)) == (512, 256)


def test_without_picture_the_native_size_is_taken() -> None:
    assert target_size(0, 0, None, facts(native_size=128)) == (128, 128)


@pytest.mark.parametrize(("width", "height"), [(63, 64), (1032, 512), (130, 128), (128, 56), (-8, 128)])
def test_a_side_out_of_range_is_named(width: int, height: int) -> None:
    with pytest.raises(InvalidInput, match="64 to 1024, a multiple of 8"):
        target_size(width, height, None, facts(native_size=512))


def test_a_picture_s_size_is_taken_or_is_none() -> None:
    assert picture_size(0, 0) is None
    assert picture_size(1000, 700) == (1000, 700)


@pytest.mark.parametrize(
    ("width", "height", "field"),
    [
        (0, 700, "picture_width"),
        (1000, 0, "picture_height"),
        (-1, -1, "picture_width"),
        (100, 2**31 - 1, "picture_height"),
        (16_384, 16_384, "picture_width"),
    ],
)
def test_a_picture_that_can_t_be_is_refused(width: int, height: int, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        picture_size(width, height)
    assert error.value.field == field
