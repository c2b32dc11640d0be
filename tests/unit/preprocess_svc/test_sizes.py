import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from families.limits import SIDE
from mesh.errors import InvalidInput
from mesh.pictures import MAX_PIXELS, MAX_SIDE, encode
from preprocess_svc.hints import Wish
from preprocess_svc.sizes import fitted_size, picture_size, target_size
from tests.rigs.hints import made
from tests.rigs.model_cards import facts


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


def test_a_default_size_takes_the_place_of_the_native_one() -> None:
    native = facts(native_size=512)
    assert target_size(0, 0, None, native, (768, 640)) == (768, 640)
    assert target_size(0, 0, (1000, 1000), native, (768, 640)) == (640, 640)
    assert target_size(64, 72, None, native, (768, 640)) == (64, 72)


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


def handler_size(height: int, width: int, resolution: int = 512) -> tuple[int, int]:
    """Width and height by the Hugging Face handler's words: the shorter side 512, then multiples of 64."""
    factor = float(resolution) / min(float(height), float(width))
    return int(np.round(float(width) * factor / 64.0)) * 64, int(np.round(float(height) * factor / 64.0)) * 64


def handler_picture(picture: np.ndarray) -> np.ndarray:
    enlarged = 512.0 / min(picture.shape[:2]) > 1
    size = handler_size(*picture.shape[:2])
    return cv2.resize(picture, size, interpolation=cv2.INTER_LANCZOS4 if enlarged else cv2.INTER_AREA)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.integers(1, MAX_SIDE), st.integers(1, MAX_SIDE))
def test_the_handler_s_rule_holds_up_to_the_largest_side(width: int, height: int) -> None:
    theirs = handler_size(height, width)
    assert min(theirs) == 512
    assert fitted_size((width, height), 512) == tuple(min(side, 1024) for side in theirs)


@pytest.mark.parametrize("longer", range(512, 1025))
def test_the_handler_s_rounding_at_every_length(longer: int) -> None:
    assert fitted_size((longer, 512), 512) == handler_size(512, longer)
    assert fitted_size((512, longer), 512) == handler_size(longer, 512)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (1, 1, (512, 512)),
        (3, 5, (512, 832)),  # 853.3
        (5, 3, (832, 512)),
        (1000, 700, (704, 512)),
        (544, 512, (512, 512)),  # 8.5 multiples go to the even one
        (608, 512, (640, 512)),  # 9.5 as well
        (16_384, 1, (1024, 512)),
        (100, 2000, (512, 1024)),  # the handler's would be 10240 high
        (MAX_SIDE, MAX_PIXELS // MAX_SIDE, (1024, 512)),
        (4096, 4096, (512, 512)),
    ],
)
def test_thin_huge_and_tiny_pictures(width: int, height: int, size: tuple[int, int]) -> None:
    assert fitted_size((width, height), 512) == size


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (1, 1),
        (5, 3),
        (90, 131),
        (511, 700),
        (512, 512),
        (512, 700),
        (513, 600),
        (700, 1000),
        (1400, 1100),
        (2048, 1536),
    ],
)
def test_a_map_is_that_of_the_handler(height: int, width: int) -> None:
    """The handler's canny: the picture made 512 by its rule, then OpenCV's edges at 100 and 200."""
    coarse = np.random.default_rng(height).integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    theirs = cv2.Canny(handler_picture(picture), 100, 200)
    size = fitted_size((width, height), 512)
    hint = made(Wish("canny", encode(picture)), size).pixels
    np.testing.assert_array_equal(hint, np.repeat(theirs[..., None], 3, 2))
    assert min(height, width) < 8 or theirs.any()
