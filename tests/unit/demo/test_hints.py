"""Hints with chance in them: scribbles look drawn, masks are what people mark."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from demo.hints import hint, masked
from demo.masks import AREA, SHARES, random_mask, spot
from demo.render import Rendering, render
from demo.scene import CANVAS, Scene, Solid, Stream, sample_scene, scene_generator
from demo.scribble import scribble

RENDERINGS = [render(sample_scene(scene_generator(Stream.TRAINING, seed))) for seed in range(80)]


def outline(rendering: Rendering) -> np.ndarray:
    kernel = np.ones((3, 3), np.uint8)
    edges = [
        cv2.morphologyEx((rendering.ids == k).astype(np.uint8), cv2.MORPH_GRADIENT, kernel)
        for k in range(1, len(rendering.scene.solids) + 1)
    ]
    return np.maximum.reduce(edges) > 0


def reached(points: np.ndarray, by: np.ndarray, pixels: int) -> float:
    """Share of the marked points that have a marked one of the other map within so many pixels."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return float(cv2.dilate(by.astype(np.uint8), disc)[points].mean())


def test_scribbles_are_white_on_black_and_follow_the_outlines_with_gaps() -> None:
    missing = []
    for rendering in RENDERINGS:
        drawn = hint("scribble", rendering)
        assert set(np.unique(drawn)) == {0, 255}
        assert (drawn[..., 0] == drawn[..., 1]).all() and (drawn[..., 0] == drawn[..., 2]).all()
        strokes, true = drawn[..., 0] > 0, outline(rendering)
        assert strokes.mean() < 0.2
        assert reached(strokes, true, 5) > 0.97, "nothing but outlines"
        assert reached(true, strokes, 3) > 0.65
        missing.append(1 - reached(true, strokes, 3))
    assert 0.02 < np.mean(missing) < 0.15, "some of the outlines have gaps"


def test_scribbles_are_thick_and_vary_with_the_generator() -> None:
    circle = render(Scene("white", None, "plain", (Solid("circle", "red", 64, 64, 34, 0),), (0, -0.5), 0, 15, 0, True))
    drawn = [scribble(circle, np.random.default_rng(seed)) > 0 for seed in range(40)]
    widths = [strokes.sum() / (2 * np.pi * 34) for strokes in drawn]
    assert 1.5 < min(widths) < 2.4 and 3.2 < max(widths) < 5
    assert len({strokes.tobytes() for strokes in drawn}) == 40
    assert scribble(circle, np.random.default_rng(0)).tobytes() == (drawn[0] * np.uint8(255)).tobytes()


def test_a_ring_is_scribbled_with_its_hole() -> None:
    solid = Solid("ring", "red", 64, 64, 40, 0)
    ring = render(Scene("white", None, "plain", (solid,), (0, -0.5), 0, 15, 0, True))
    strokes = scribble(ring, np.random.default_rng(1)) > 0
    y, x = np.nonzero(strokes)
    reach = np.hypot(x + 0.5 - 64, y + 0.5 - 64) / 40
    assert (reach < 0.65).sum() > 50 and (reach > 0.9).sum() > 50


def test_an_inpaint_hint_is_the_picture_and_a_mask() -> None:
    for rendering in RENDERINGS[:20]:
        drawn = hint("inpaint", rendering)
        np.testing.assert_array_equal(drawn[..., :3], rendering.image)
        assert set(np.unique(drawn[..., 3])) == {0, 255}
    picture = np.full((2, 2, 3), 7, np.uint8)
    marked = masked(picture, np.array([[True, False], [False, False]]))
    assert marked.dtype == np.uint8 and marked[..., 3].tolist() == [[255, 0], [0, 0]]


def test_masks_take_a_fair_part_of_the_picture() -> None:
    shares = [random_mask(r, np.random.default_rng(seed)).mean() for seed in range(5) for r in RENDERINGS]
    assert min(shares) > 0.03 and max(shares) < 0.97
    assert 0.3 < np.mean(shares) < 0.5
    low, high = AREA
    assert np.mean([low - 0.01 < share < high + 0.01 for share in shares]) > 0.7


def test_masks_hide_whole_solids_and_all_but_the_solids_and_parts() -> None:
    counts = dict.fromkeys(("hidden", "spared", "cut"), 0)
    for seed, rendering in enumerate(RENDERINGS * 3):
        mask, solid = random_mask(rendering, np.random.default_rng(seed)), rendering.ids > 0
        share = mask[solid].mean()
        counts["hidden" if share == 1 else "spared" if share == 0 else "cut"] += 1
    assert all(count > 20 for count in counts.values()), counts
    assert sum(SHARES.values()) == pytest.approx(1)


@pytest.mark.parametrize("size", [64, 128])
def test_a_spot_hides_its_solid_and_does_not_tell_its_shape(size: int) -> None:
    for rendering in RENDERINGS[:20]:
        drawn = render(rendering.scene, size)
        for number, solid in enumerate(rendering.scene.solids, start=1):
            assert spot(solid, size)[drawn.ids == number].all()
    star, disc = (Solid(shape, "red", 0.5 * CANVAS, 40, 30, 0.2) for shape in ("star", "circle"))
    np.testing.assert_array_equal(spot(star, size), spot(disc, size))
