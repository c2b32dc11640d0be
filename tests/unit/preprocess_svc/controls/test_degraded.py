"""Controls whose hint is the picture with something taken away, or the picture itself."""

import cv2
import numpy as np
import pytest

from mesh.pictures import encode, resize
from tests.rigs import hints
from tests.rigs.hints import make_hint

NOISE = np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8)
SOFT = cv2.GaussianBlur(NOISE, (0, 0), 4)
RED = np.full((64, 64, 3), (200, 30, 30), np.uint8)


def extracted(kind: str, picture: np.ndarray, **parameters: float) -> np.ndarray:
    return hints.extracted(kind, picture, parameters)


def detail(picture: np.ndarray) -> float:
    """Mean difference of neighbours, grey levels."""
    return float(np.abs(np.diff(picture.astype(float), axis=1)).mean())


def far(picture: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(picture.astype(float) - other).mean())


@pytest.mark.parametrize("kind", ["tile", "qrcode", "illusion"])
def test_the_picture_itself_is_the_hint(kind: str) -> None:
    np.testing.assert_array_equal(extracted(kind, NOISE), NOISE)
    fitted = make_hint(kind, encode(NOISE), True, {}, (64, 72))
    np.testing.assert_array_equal(fitted, make_hint(kind, encode(NOISE), False, {}, (64, 72)))


def test_a_tile_without_detail_is_what_a_small_picture_would_have_given() -> None:
    small = NOISE.reshape(24, 4, 32, 4, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    expected = resize(small, 128, 96)
    assert np.abs(extracted("tile", NOISE, factor=4).astype(int) - expected).max() <= 1
    losses = [detail(extracted("tile", NOISE, factor=factor)) for factor in (1, 2, 4, 8)]
    assert losses == sorted(losses, reverse=True)


def test_a_blurred_point_is_a_gaussian() -> None:
    point = np.zeros((101, 101, 3), np.uint8)
    point[50, 50] = 255
    spread = cv2.GaussianBlur(point.astype(np.float64), (0, 0), 2)[..., 0]
    blurred = extracted("blur", point, sigma=2)
    assert np.abs(blurred[..., 0] - spread).max() <= 1
    assert blurred[50, 50, 0] == pytest.approx(255 / (2 * np.pi * 4), abs=1)
    losses = [detail(extracted("blur", NOISE, sigma=sigma)) for sigma in (0.1, 1, 3, 9)]
    assert losses == sorted(losses, reverse=True)
    np.testing.assert_array_equal(extracted("blur", RED), RED)


def test_grey_is_luma() -> None:
    colours = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (9, 9, 9)]], np.uint8)
    grey = extracted("gray", colours)
    np.testing.assert_array_equal(grey[..., 0], [[76, 150, 29, 255, 0, 9]])
    assert (grey == grey[..., :1]).all()


def test_low_quality_loses_detail_and_keeps_colours() -> None:
    assert np.abs(extracted("low_quality", RED).astype(int) - RED).max() <= 4
    poor = extracted("low_quality", NOISE)
    assert detail(poor) < 0.3 * detail(NOISE)
    assert far(extracted("low_quality", SOFT), SOFT) < far(poor, NOISE)


def test_each_parameter_of_low_quality_makes_it_worse() -> None:
    best = {"sigma": 0, "factor": 1, "quality": 100}
    assert far(extracted("low_quality", SOFT, **best), SOFT) < 3
    for name, values in {"sigma": (0, 1, 4, 8), "factor": (1, 2, 4, 16), "quality": (100, 60, 20, 1)}.items():
        losses = [far(extracted("low_quality", SOFT, **{**best, name: value}), SOFT) for value in values]
        assert losses == sorted(losses)
        assert losses[-1] > losses[0] + 1
