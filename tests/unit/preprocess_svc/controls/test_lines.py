"""mlsd, lineart and scribble on pictures whose lines are known."""

import cv2
import numpy as np

from tests.rigs import hints


def extracted(kind: str, picture: np.ndarray, **parameters: float) -> np.ndarray:
    return hints.extracted(kind, picture, parameters)


def square() -> np.ndarray:
    """Light, 96 to 160, on dark, 256 pixels wide."""
    picture = np.full((256, 256, 3), 40, np.uint8)
    picture[96:160, 96:160] = 220
    return picture


def stroke(ground: int = 255, ink: int = 0, width: int = 3) -> np.ndarray:
    picture = np.full((128, 128, 3), ground, np.uint8)
    cv2.line(picture, (20, 64), (107, 64), (ink, ink, ink), width)
    return picture


def test_mlsd_draws_the_sides_of_a_square() -> None:
    lines = extracted("mlsd", square())
    assert set(np.unique(lines)) == {0, 255}
    assert (lines[..., 0] == lines[..., 1]).all() and (lines[..., 0] == lines[..., 2]).all()
    drawn = lines[..., 0] > 0
    outline = np.zeros((256, 256), np.uint8)
    cv2.rectangle(outline, (96, 96), (159, 159), 255, 1)
    near = cv2.dilate(outline, np.ones((5, 5), np.uint8)) > 0
    assert not (drawn & ~near).any()
    covered = cv2.dilate(lines[..., 0], np.ones((5, 5), np.uint8)) > 0
    assert covered[outline > 0].mean() > 0.9
    assert drawn.sum() < 1.3 * (outline > 0).sum()


def test_mlsd_leaves_out_what_is_short_faint_or_crooked() -> None:
    assert extracted("mlsd", square(), minimum_length=0.2).any()
    assert not extracted("mlsd", square(), minimum_length=0.3).any()
    faint = square() // 8
    assert extracted("mlsd", faint).any()
    assert not extracted("mlsd", faint, minimum_gradient=30).any()
    dots = np.full((256, 256, 3), 255, np.uint8)
    for x in range(24, 256, 40):
        cv2.circle(dots, (x, x), 6, (0, 0, 0), -1)
    assert not extracted("mlsd", dots, minimum_length=0.1).any()
    assert not extracted("mlsd", np.full((64, 64, 3), 90, np.uint8)).any()


def test_mlsd_measures_a_line_against_the_shorter_side() -> None:
    wide = np.full((64, 512, 3), 255, np.uint8)
    wide[:, 256:] = 0
    assert extracted("mlsd", wide, minimum_length=0.8).any()


def test_lineart_is_white_where_a_stroke_was_dark() -> None:
    lines = extracted("lineart", stroke())[..., 0]
    assert ((lines[64, 24:104] > 115) & (lines[64, 24:104] < 140)).all()  # a stroke like the others is 127
    assert not lines[:50].any() and not lines[80:].any()
    assert not extracted("lineart", np.full((64, 64, 3), 90, np.uint8)).any()


def test_lineart_follows_the_published_rule() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (96, 131, 3), np.uint8)
    for picture, sigma, threshold in ((noise, 6.0, 8.0), (noise, 2.5, 60.0), (cv2.blur(noise, (9, 9)), 4.0, 2.0)):
        floats = picture.astype(np.float32)
        above = np.clip((cv2.GaussianBlur(floats, (0, 0), sigma) - floats).min(axis=2), 0, 255)
        scale = max(16.0, float(np.median(above[above > threshold])))
        expected = np.clip(above / np.float32(scale) * np.float32(127), 0, 255).astype(np.uint8)
        lines = extracted("lineart", picture, sigma=sigma, threshold=threshold)
        # Rounding of the blur's last bit differs from one processor to another.
        assert np.abs(lines.astype(int) - expected[..., None]).max() <= 1
        assert (lines != expected[..., None]).mean() < 1e-3


def test_a_faint_stroke_stays_faint() -> None:
    lines = extracted("lineart", stroke(ground=128, ink=122))[..., 0]
    assert 0 < lines.max() < 60


def test_a_drawing_needs_no_parameter() -> None:
    drawing = stroke()
    strokes = extracted("scribble", drawing)
    np.testing.assert_array_equal(strokes, 255 - drawing)
    np.testing.assert_array_equal(extracted("scribble", drawing, xdog_threshold=0), strokes)


def test_xdog_finds_strokes_that_are_not_dark_and_no_dark_areas() -> None:
    picture = np.full((128, 128, 3), 200, np.uint8)
    picture[:, 64:] = 60  # a dark area, blotted out by the rule for drawings
    cv2.line(picture, (8, 32), (56, 32), (150, 150, 150), 2)
    blot = extracted("scribble", picture)[..., 0]
    assert blot[:, 64:].all() and not blot[:, :64].any()
    strokes = extracted("scribble", picture, xdog_threshold=32)[..., 0]
    assert set(np.unique(strokes)) == {0, 255}
    assert (strokes[32, 12:52] == 255).all()
    assert not strokes[:, 90:].any() and not strokes[60:, :50].any()
    assert strokes[100, 64]  # the dark side of the edge
    assert (
        extracted("scribble", picture, xdog_threshold=8).sum() > extracted("scribble", picture, xdog_threshold=64).sum()
    )


def test_xdog_follows_the_published_rule_where_eight_bits_hold_it() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (90, 77, 3), np.uint8)
    cloud = cv2.GaussianBlur(noise[..., :1], (0, 0), 2)
    cloud = cv2.normalize(cloud, None, 40, 240, cv2.NORM_MINMAX)
    picture = cloud[..., None] + noise // 20
    floats = picture.astype(np.float32)
    difference = (cv2.GaussianBlur(floats, (0, 0), 5.0) - cv2.GaussianBlur(floats, (0, 0), 0.5)).min(axis=2)
    assert difference.max() < 127
    published = 255 - np.clip(255 - difference, 0, 255).astype(np.uint8)
    expected = np.where(published[..., None].repeat(3, 2).astype(int) * 2 > 32, 255, 0)
    assert 0.01 < (expected > 0).mean() < 0.99
    assert (extracted("scribble", picture, xdog_threshold=32) != expected).mean() < 1e-3


def test_xdog_leaves_no_holes_in_black_on_white() -> None:
    for width in range(1, 8):
        strokes = extracted("scribble", stroke(width=width), xdog_threshold=32)[..., 0]
        assert (strokes[64, 24:104] == 255).all()
