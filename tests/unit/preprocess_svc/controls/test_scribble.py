"""scribble: strokes of a photo from soft edges where an annotator finds them, a drawing's own strokes otherwise."""

import asyncio
from typing import Any

import cv2
import numpy as np
import pytest

from families.annotators import HEADS
from mesh.pictures import encode
from preprocess_svc.annotators import Annotators
from preprocess_svc.hints import MadeHint, Wish, make_hint
from tests.rigs.annotator_maps import HandMade

SIDE = 96
EDGES = np.zeros((SIDE, SIDE), np.float32)
cv2.circle(EDGES, (48, 48), 30, 1.0, 3)
# Everything of it is darker than 127, as of many photos.
PHOTO = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 120, (SIDE, SIDE, 3), np.uint8), (0, 0), 2)
DRAWING = np.full((SIDE, SIDE, 3), 255, np.uint8)
cv2.circle(DRAWING, (48, 48), 30, (0, 0, 0), 3)


def annotator(head: str) -> HandMade:
    return HandMade({head: {HEADS[head][0].name: EDGES}})


def hint(picture: np.ndarray, annotators: Annotators, **wish: Any) -> MadeHint:
    return asyncio.run(make_hint(Wish("scribble", encode(picture), **wish), (SIDE, SIDE), annotators))


@pytest.mark.parametrize(("head", "name"), [("softedge", "pidinet"), ("hed", "hed")])
def test_a_photo_becomes_strokes_along_its_soft_edges(head: str, name: str) -> None:
    made = hint(PHOTO, annotator(head))
    assert (made.extractor, made.notes) == (name, ())
    assert set(np.unique(made.pixels)) == {0, 255}
    strokes = made.pixels[..., 0] > 0
    assert 0.02 < strokes.mean() < 0.5
    ring = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (48, 48), 30, 1, 25).astype(bool)
    assert not strokes[~ring].any(), "only where the edges are"


def test_a_drawing_keeps_its_own_strokes() -> None:
    eyes = annotator("softedge")
    made = hint(DRAWING, eyes)
    np.testing.assert_array_equal(made.pixels, 255 - DRAWING)
    assert eyes.asked == [], "soft edges would make two strokes of one"


def test_the_rule_for_drawings_is_there_by_name() -> None:
    made = hint(PHOTO, annotator("softedge"), extractor="drawing")
    assert (made.extractor, made.pixels.min()) == ("drawing", 255)
    assert "as good as full" in made.notes[0]


def test_the_threshold_for_photos_goes_on_working_without_a_name() -> None:
    eyes = annotator("softedge")
    by_rule = hint(PHOTO, Annotators(), parameters={"xdog_threshold": 32.0})
    named = hint(PHOTO, eyes, parameters={"xdog_threshold": 32.0})
    np.testing.assert_array_equal(named.pixels, by_rule.pixels)
    assert eyes.asked == []


def test_without_an_annotator_it_is_the_rule_for_drawings() -> None:
    made = hint(PHOTO, Annotators())
    assert made.extractor == "drawing" and "as good as full" in made.notes[0]
