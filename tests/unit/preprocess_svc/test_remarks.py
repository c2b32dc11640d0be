"""Hints that say nothing are said: empty, full, flat, as good as black, grey where colours have a meaning, light
where the ground is black."""

import io

import numpy as np
import pytest
from PIL import Image

from mesh.pictures import encode
from preprocess_svc.controls import CONTROLS
from preprocess_svc.hints import Wish
from preprocess_svc.remarks import on_hint
from tests.rigs.hints import made

SIZE = (64, 64)
DRAWN = [kind for kind, control in CONTROLS.items() if control.ready.marks]
MAPS = [kind for kind, control in CONTROLS.items() if control.ready.flat_says_nothing]


def notes(kind: str, sent: np.ndarray | bytes, auto_hint: bool = False) -> tuple[str, ...]:
    content = sent if isinstance(sent, bytes) else encode(sent)
    return made(Wish(kind, content, auto_hint), SIZE).notes


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def ring(light: int = 255) -> np.ndarray:
    sheet = np.zeros((64, 64, 3), np.uint8)
    sheet[20:44, 20:44] = light
    sheet[24:40, 24:40] = 0
    return sheet


def test_kinds_that_are_drawn_and_kinds_that_are_maps() -> None:
    assert {"canny", "scribble", "lineart", "openpose", "face", "mlsd", "softedge"} <= set(DRAWN)
    assert {"depth", "normal", "segmentation"} <= set(MAPS)
    assert not {"tile", "inpaint", "blur"} & {*DRAWN, *MAPS}


@pytest.mark.parametrize("kind", DRAWN)
def test_marks_need_no_note_and_none_or_nothing_else_does(kind: str) -> None:
    control = CONTROLS[kind]
    assert on_hint(control, ring()) == ()
    assert "as good as empty" in on_hint(control, np.zeros((64, 64, 3), np.uint8))[0]
    speck = np.zeros((64, 64, 3), np.uint8)
    speck[3, 3] = 255
    assert "as good as empty: 0.024 %" in on_hint(control, speck)[0]
    assert "as good as full: 100 %" in on_hint(control, np.full((64, 64, 3), 255, np.uint8))[0]


@pytest.mark.parametrize("kind", MAPS)
def test_a_map_of_one_colour_is_said(kind: str) -> None:
    said = notes(kind, np.full((64, 64, 3), (90, 200, 120), np.uint8))
    assert any("one flat colour" in note for note in said) or kind in DRAWN


@pytest.mark.parametrize("kind", ["canny", "scribble", "depth", "openpose", "segmentation", "normal", "tile", "qrcode"])
def test_a_map_of_0_and_1_is_said(kind: str) -> None:
    said = notes(kind, png(Image.fromarray((ring() > 0).astype(np.uint8)[..., 0])))
    assert len(said) == 1 and "brightest value is 1 of 255" in said[0] and said[0].startswith("control: ")


def test_depth_in_millimetres_is_said() -> None:
    millimetres = np.linspace(300, 4000, 64 * 64).reshape(64, 64).astype(np.uint16)
    assert "brightest value is 4000 of 65535" in notes("depth", png(Image.fromarray(millimetres)))[0]
    assert notes("depth", png(Image.fromarray(millimetres * 16))) == ()


def test_class_numbers_in_place_of_colours_are_said() -> None:
    classes = np.arange(64 * 64).reshape(64, 64) // 32
    said = notes("segmentation", png(Image.fromarray(classes.astype(np.uint8))))
    assert len(said) == 1 and "numbers of classes" in said[0]
    assert notes("segmentation", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)) == ()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("segmentation", "a colour per class"),
        ("normal", "the directions of surfaces as colours: if its values are distances, send it as depth"),
        ("openpose", "a colour per limb"),
    ],
)
def test_grey_where_colours_have_a_meaning_is_said(kind: str, said: str) -> None:
    grey = ring(200)
    (note,) = notes(kind, grey)
    assert note.startswith("control: the hint is grey but a") and said in note
    coloured = grey.copy()
    coloured[20:30, :, 0] //= 2
    assert notes(kind, coloured) == ()


@pytest.mark.parametrize("kind", ["canny", "depth", "face", "gray", "qrcode", "scribble", "tile"])
def test_grey_is_fine_where_colours_have_no_meaning(kind: str) -> None:
    assert notes(kind, ring(200)) == ()


@pytest.mark.parametrize("kind", ["openpose", "face"])
def test_a_light_ground_is_said_and_no_pixel_changed(kind: str) -> None:
    paper = np.full((64, 64, 3), 255, np.uint8)
    paper[20:44, 30:34] = (200, 30, 0)
    hint = made(Wish(kind, encode(paper), False), SIZE)
    assert hint.notes == (
        f"control: the hint's ground is light but that of hints for {kind} is black: draw it on black",
    )
    np.testing.assert_array_equal(hint.pixels, paper)
    assert not [note for note in notes(kind, np.where(paper == 255, 0, paper)) if "ground" in note]


@pytest.mark.parametrize("value", [255, 0])
def test_a_photo_that_a_rule_makes_all_or_nothing_of_is_said(value: int) -> None:
    assert notes("scribble", np.full((64, 64, 3), 255 - value, np.uint8), auto_hint=True)


@pytest.mark.parametrize("kind", ["depth", "openpose", "segmentation", "normal", "face", *DRAWN])
def test_a_ready_map_on_transparent_ground_is_that_on_black(kind: str) -> None:
    clear = np.dstack([ring(), ring()[..., 0]])
    wish = Wish(kind, png(Image.fromarray(clear)), False)
    np.testing.assert_array_equal(made(wish, SIZE).pixels, made(Wish(kind, encode(ring()), False), SIZE).pixels)


@pytest.mark.parametrize("kind", ["canny", "scribble", "lineart"])
def test_dark_strokes_on_transparent_ground_stay_a_drawing(kind: str) -> None:
    clear = np.dstack([np.zeros_like(ring()), ring()[..., 0]])
    hint = made(Wish(kind, png(Image.fromarray(clear)), False), SIZE)
    np.testing.assert_array_equal(hint.pixels, ring())
    assert "inverted" in hint.notes[0]


@pytest.mark.parametrize("kind", ["tile", "qrcode", "blur"])
def test_the_paper_of_pictures_stays_white(kind: str) -> None:
    clear = np.dstack([ring(60), ring()[..., 0]])
    assert made(Wish(kind, png(Image.fromarray(clear)), False), SIZE).pixels[0, 0].tolist() == [255] * 3
