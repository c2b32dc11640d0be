"""Hints that are algorithms against controlnet_aux's own detectors, on the same pictures."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from demo.render import render
from export.annotators import library
from families.annotators import AnnotatorCard
from families.manifest import GraphFacts
from local.demo import SKETCH
from mesh.pictures import decode
from preprocess_svc.annotators import LONGEST, fit
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Algorithm

Pixels = NDArray[np.uint8]

# (width, height): multiples of 64, so that the library's own fitting leaves the picture as it is.
SIZES = ((512, 512), (768, 512), (320, 1024), (64, 64), (1024, 1024))


def noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def clouds(width: int, height: int) -> Pixels:
    soft = cv2.GaussianBlur(noise(width, height), (0, 0), 3)
    return np.asarray(cv2.normalize(soft, None, 0, 255, cv2.NORM_MINMAX), np.uint8)


def scene(width: int, height: int) -> Pixels:
    return np.ascontiguousarray(render(SKETCH, max(width, height)).image[:height, :width])


def drawing(width: int, height: int) -> Pixels:
    paper = np.full((height, width, 3), 255, np.uint8)
    cv2.ellipse(paper, (width // 2, height // 2), (width // 3, height // 4), 20, 0, 320, (20, 20, 60), 3)
    cv2.line(paper, (0, 0), (width, height), (90, 90, 90), 1)
    return paper


PICTURES = {made.__name__: made for made in (noise, clouds, scene, drawing)}


@pytest.fixture(
    params=[(name, size) for name in PICTURES for size in SIZES], ids=lambda p: f"{p[0]}-{p[1][0]}x{p[1][1]}"
)
def picture(request: pytest.FixtureRequest) -> Pixels:
    name, size = request.param
    return PICTURES[name](*size)


def ours(kind: str, picture: Pixels, **parameters: float) -> Pixels:
    (algorithm,) = (one for one in CONTROLS[kind].extractors if isinstance(one, Algorithm) and not one.stand_in)
    return algorithm.extract(picture, algorithm.settle(kind, parameters))


def theirs(module: str, detector: str, picture: Pixels, **options: Any) -> Pixels:
    side = min(picture.shape[:2])
    made = getattr(library.module(module), detector)()
    return np.asarray(made(picture, detect_resolution=side, output_type="np", **options))


@pytest.mark.parametrize(("low", "high"), [(100, 200), (60, 140), (0, 255), (200, 100)])
def test_canny_is_the_library_s_to_the_bit(picture: Pixels, low: int, high: int) -> None:
    side = min(picture.shape[:2])
    options = {"low_threshold": low, "high_threshold": high, "image_resolution": side}
    expected = theirs("canny", "CannyDetector", picture, **options)
    np.testing.assert_array_equal(ours("canny", picture, low_threshold=low, high_threshold=high), expected)


@pytest.mark.parametrize("seed", [0, 65535])
def test_shuffle_is_the_library_s_after_the_same_seed(picture: Pixels, seed: int) -> None:
    """Coordinates are rounded to 1/32 of a pixel, and a last bit may tip one in ten thousand over."""
    before = np.random.get_state()
    try:
        np.random.seed(seed)
        expected = theirs("shuffle", "ContentShuffleDetector", picture, image_resolution=min(picture.shape[:2]))
    finally:
        np.random.set_state(before)
    made = ours("shuffle", picture, seed=seed)
    assert (made != expected).any(axis=2).mean() <= 1e-4
    assert (made != picture).any()


# The library takes the median of no strokes for a number that is less than any other.
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value encountered")
@pytest.mark.parametrize(("sigma", "threshold"), [(6.0, 8), (2.5, 30)])
def test_lineart_is_the_library_s_standard_line_art(picture: Pixels, sigma: float, threshold: int) -> None:
    """The blur's last bit differs from one processor to another: at most one level, in one pixel of a thousand."""
    options = {"guassian_sigma": sigma, "intensity_threshold": threshold}
    expected = theirs("lineart_standard", "LineartStandardDetector", picture, **options)
    made = ours("lineart", picture, sigma=sigma, threshold=threshold)
    assert expected.any()
    assert np.abs(made.astype(int) - expected).max() <= 1
    assert (made != expected).any(axis=2).mean() <= 1e-3


def card(multiple: int) -> AnnotatorCard:
    facts = GraphFacts(sha256="0" * 64, bytes=1, max_abs_error=0.0)
    return AnnotatorCard(
        name="any",
        architecture="any",
        description="Any.",
        heads={"hed": "annotator_any"},
        side=512,
        multiple=multiple,
        graphs={"annotator_any": facts},
        source="any",
        versions={},
        fingerprint="0",
        target="cpu",
    )


@pytest.mark.parametrize(
    ("width", "height"),
    [(512, 512), (640, 480), (333, 517), (1000, 999), (64, 64), (70, 900), (2000, 1500), (1024, 96), (511, 513)],
)
@pytest.mark.parametrize("side", [64, 256, 512, 520, 544, 1024])
def test_a_picture_is_fitted_to_an_annotator_by_the_library_s_rule(width: int, height: int, side: int) -> None:
    given = clouds(width, height)
    found = fit(given, card(64), side)
    if side * max(width, height) / min(width, height) > LONGEST:
        # Here the library's rule has no end.
        assert max(found.shape) == LONGEST
        return
    np.testing.assert_array_equal(found, library.module("util").resize_image(given, side))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_one_three_and_four_channels_are_read_as_the_library_reads_them(channels: int) -> None:
    """Transparency is laid over white; the library drops what is behind the point, Pillow rounds it."""
    pixels = np.random.default_rng(4).integers(0, 256, (96, 64, channels), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(file, "PNG")
    expected = library.module("util").HWC3(pixels)
    read = decode(file.getvalue())
    assert np.abs(read.astype(int) - expected).max() <= (channels == 4)
