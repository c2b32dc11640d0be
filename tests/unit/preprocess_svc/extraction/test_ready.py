"""Ready hints: channels, polarity, size."""

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from mesh.pictures import decode, encode
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.ready import Looks, Ready, looks
from preprocess_svc.hints import Wish
from tests.rigs.hints import extracted, made

STROKES = sorted(kind for kind, control in CONTROLS.items() if control.ready.light_on_dark)
LINES = Ready(grey=True, light_on_dark=True)

photos = pytest.mark.parametrize(
    "photo",
    [data.astronaut, data.camera, data.chelsea, data.coffee, data.brick, data.grass, data.gravel, data.coins],
    ids=lambda load: load.__name__,
)


def rgb(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2))


def ready(kind: str, picture: np.ndarray, size: tuple[int, int] | None = None, content: bytes = b"") -> tuple:
    """The ready hint and its notes."""
    hint = made(Wish(kind, content or encode(picture), False), size or picture.shape[1::-1])
    return hint.pixels, hint.notes


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality)
    return decode(out.getvalue())


def drawing(
    side: int = 256, width: int = 3, ink: int = 0, paper: int = 255, smooth: bool = False, strokes: int = 4
) -> np.ndarray:
    """A face: circles, a curve and random lines, UINT8 [side, side, 3]."""
    sheet = np.full((side, side), paper, np.uint8)
    kind = cv2.LINE_AA if smooth else cv2.LINE_8
    centre = (side // 2, side // 2)
    cv2.circle(sheet, centre, side * 3 // 8, ink, width, kind)
    cv2.ellipse(sheet, centre, (side // 5, side // 6), 0, 20, 160, ink, width, kind)
    draw = np.random.default_rng(side)
    for start, end in draw.integers(0, side, (strokes, 2, 2)).tolist():
        cv2.line(sheet, start, end, ink, width, kind)
    return rgb(sheet)


def noisy(sheet: np.ndarray) -> np.ndarray:
    grain = np.random.default_rng(2).integers(-12, 12, (*sheet.shape[:2], 1))
    return (sheet + grain).clip(0, 255).astype(np.uint8)


DRAWINGS: dict[str, Callable[[], np.ndarray]] = {
    "hairlines": lambda: drawing(width=1),
    "pen": lambda: drawing(),
    "antialiased": lambda: drawing(smooth=True),
    "marker": lambda: drawing(width=24, strokes=1),
    "pencil": lambda: drawing(ink=140, smooth=True),
    "grey paper": lambda: drawing(paper=190),
    "yellowed in grey": lambda: drawing(paper=225, ink=50),
    "poor jpeg": lambda: jpeg(drawing(smooth=True), 25),
    "good jpeg": lambda: jpeg(drawing(), 90),
    "shrunk": lambda: cv2.resize(drawing(1024, 6), (256, 256), interpolation=cv2.INTER_AREA),
    "enlarged": lambda: cv2.resize(drawing(100, 2), (512, 384), interpolation=cv2.INTER_CUBIC),
    "one line": lambda: cv2.line(np.full((256, 256, 3), 255, np.uint8), (9, 9), (200, 90), (0, 0, 0), 2),
    "crowded": lambda: drawing(512, strokes=60),
    "framed": lambda: cv2.rectangle(drawing(), (0, 0), (255, 255), (0, 0, 0), 12),
    "wide": lambda: drawing(512)[200:264],
    "noisy scan": lambda: noisy(drawing(paper=240)),
    "edges of a photo": lambda: 255 - extracted("canny", data.astronaut(), {}),
    "lines of a photo": lambda: 255 - extracted("mlsd", data.astronaut(), {}),
    "soft lines of a photo": lambda: 255 - extracted("lineart", data.astronaut(), {}),
}
every_drawing = pytest.mark.parametrize("look", DRAWINGS.values(), ids=DRAWINGS)


@every_drawing
@pytest.mark.parametrize("kind", ["scribble", "softedge"])
def test_a_drawing_that_is_dark_on_light_is_inverted_and_said(kind: str, look: Callable[[], np.ndarray]) -> None:
    sent = look()
    hint, notes = ready(kind, sent)
    np.testing.assert_array_equal(hint, 255 - sent)
    (note,) = notes
    assert note.startswith("control: the hint is dark on light")
    assert "it was inverted" in note


@every_drawing
def test_a_hint_that_is_light_on_dark_stays_as_it_is(look: Callable[[], np.ndarray]) -> None:
    sent = 255 - look()
    hint, notes = ready("scribble", sent)
    np.testing.assert_array_equal(hint, sent)
    assert notes == ()


@pytest.mark.parametrize("kind", STROKES)
def test_every_kind_of_strokes_is_put_right(kind: str) -> None:
    hint, notes = ready(kind, drawing())
    np.testing.assert_array_equal(hint, 255 - drawing())
    assert f"hints for {kind} are light on dark" in notes[0]


def test_the_kinds_of_strokes_are_those_whose_hints_are_lines() -> None:
    assert {"canny", "hed", "lineart", "lineart_anime", "mlsd", "scribble", "softedge"} <= set(STROKES)
    assert not {"depth", "normal", "openpose", "segmentation", "tile", "qrcode"} & set(STROKES)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    side=st.integers(64, 320),
    width=st.floats(0.01, 0.04),
    ink=st.integers(0, 100),
    contrast=st.integers(70, 150),
    smooth=st.booleans(),
    strokes=st.integers(0, 4),
    quality=st.none() | st.integers(40, 100),
)
def test_inverting_an_inverted_drawing_gives_the_same_hint(
    side: int, width: float, ink: int, contrast: int, smooth: bool, strokes: int, quality: int | None
) -> None:
    paper = max(195, ink + contrast)
    dark_on_light = drawing(side, max(1, int(side * width)), min(ink, paper - 70), paper, smooth, strokes)
    if quality:
        dark_on_light = jpeg(dark_on_light, quality)
    light_on_dark = 255 - dark_on_light
    kept, remarks = LINES.put_right("scribble", light_on_dark)
    turned, turned_remarks = LINES.put_right("scribble", dark_on_light)
    np.testing.assert_array_equal(kept, light_on_dark)
    np.testing.assert_array_equal(turned, kept)
    assert (len(remarks), len(turned_remarks)) == (0, 1)


@pytest.mark.parametrize("kind", STROKES)
def test_an_empty_map_stays_empty_and_is_said(kind: str) -> None:
    empty = np.zeros((64, 96, 3), np.uint8)
    hint, notes = ready(kind, empty)
    assert not hint.any()
    assert ["nearly black" in notes[0], len(notes)] == [True, 1]


def thick(side: int = 256) -> np.ndarray:
    """White strokes that cover more than half of a black map, whose frame stays black."""
    sheet = np.zeros((side, side, 3), np.uint8)
    cv2.line(sheet, (50, 50), (206, 206), (255, 255, 255), 72)
    cv2.line(sheet, (206, 50), (50, 206), (255, 255, 255), 72)
    cv2.circle(sheet, (side // 2, side // 2), 80, (255, 255, 255), 40)
    return sheet


def shaded() -> np.ndarray:
    return rgb(np.repeat(np.linspace(60, 255, 256).astype(np.uint8)[None], 256, 0))


def silhouette() -> np.ndarray:
    return cv2.circle(np.full((256, 256, 3), 255, np.uint8), (128, 128), 70, (0, 0, 0), -1)


UNLIKE: dict[str, Callable[[], np.ndarray]] = {
    "all white": lambda: np.full((64, 64, 3), 255, np.uint8),
    "all grey": lambda: np.full((64, 64, 3), 128, np.uint8),
    "black on mid grey": lambda: drawing(paper=128),
    "white on mid grey": lambda: drawing(ink=255, paper=128),
    "white on light grey": lambda: drawing(ink=255, paper=200),
    "shaded": shaded,
    "silhouette": silhouette,
    "noise": lambda: rgb(np.random.default_rng(1).integers(0, 256, (128, 128), np.uint8)),
    "thick white strokes on black": thick,
}


@pytest.mark.parametrize("look", UNLIKE.values(), ids=UNLIKE)
def test_what_is_neither_stays_and_is_said(look: Callable[[], np.ndarray]) -> None:
    sent = look()
    hint, notes = ready("scribble", sent)
    np.testing.assert_array_equal(hint, sent)
    # Of one colour, it is also said to steer nothing.
    assert 1 <= len(notes) <= 2
    assert "doesn't look like one for scribble" in notes[0]
    assert "auto_hint on" in notes[0]


def test_thick_strokes_are_never_inverted() -> None:
    for width in range(4, 140, 8):
        sheet = cv2.line(np.zeros((256, 256), np.uint8), (20, 40), (230, 220), 255, width)
        assert looks(cv2.circle(sheet, (90, 160), 60, 255, width)) is not Looks.INVERTED


@photos
def test_a_photo_stays_and_is_said(photo: Callable[[], np.ndarray]) -> None:
    sent = rgb(photo())
    hint, notes = ready("lineart", sent)
    np.testing.assert_array_equal(hint[..., 0], cv2.cvtColor(sent, cv2.COLOR_RGB2GRAY))
    assert (hint == hint[..., :1]).all()
    assert any("doesn't look like one for lineart" in note for note in notes)
    assert not any("inverted" in note for note in notes)


OURS = [("canny", {}), ("lineart", {}), ("mlsd", {}), ("scribble", {"xdog_threshold": 32.0})]


@photos
@pytest.mark.parametrize(("kind", "parameters"), OURS, ids=lambda value: value if isinstance(value, str) else "")
def test_our_own_hints_are_never_inverted(
    photo: Callable[[], np.ndarray], kind: str, parameters: dict[str, float]
) -> None:
    ours = extracted(kind, rgb(photo()), parameters)
    hint, notes = ready(kind, ours)
    np.testing.assert_array_equal(hint, ours)
    for said in (notes, ready(kind, ours, (192, 128))[1]):
        # Where nothing was found there is something to say.
        assert said == () or not ours.any()
        assert not any("inverted" in note or "doesn't look" in note for note in said)


@every_drawing
def test_a_scribble_made_of_a_drawing_is_taken_as_ready(look: Callable[[], np.ndarray]) -> None:
    ours = extracted("scribble", look(), {})
    np.testing.assert_array_equal(ready("scribble", ours)[0], ours)


def test_a_coloured_map_gives_way_to_its_brightness() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 64, 0)
    coloured = np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[..., ::-1])
    hint, notes = ready("depth", coloured)
    np.testing.assert_array_equal(hint, rgb(cv2.cvtColor(coloured, cv2.COLOR_RGB2GRAY)))
    assert notes == ("control: the hint is in colour but hints for depth are grey: only its brightness was used",)
    np.testing.assert_array_equal(ready("depth", rgb(ramp))[0], rgb(ramp))
    assert ready("depth", rgb(ramp))[1] == ()


def test_a_drawing_in_colour_is_put_right_twice() -> None:
    sheet = cv2.line(np.full((128, 128, 3), 255, np.uint8), (9, 9), (110, 90), (200, 0, 0), 3)
    hint, notes = ready("scribble", sheet)
    np.testing.assert_array_equal(hint, rgb(255 - cv2.cvtColor(sheet, cv2.COLOR_RGB2GRAY)))
    assert ["in colour" in notes[0], "inverted" in notes[1], len(notes)] == [True, True, 2]


@pytest.mark.parametrize(("apart", "said"), [(0, False), (1, False), (16, False), (17, True)])
def test_colour_noise_is_evened_out_without_a_word(apart: int, said: bool) -> None:
    sent = np.full((64, 64, 3), 40, np.uint8)
    sent[9, 9] = 200  # a flat map is another matter
    sent[5, 7, 2] += apart
    hint, notes = ready("depth", sent)
    assert (hint == hint[..., :1]).all()
    assert bool(notes) is said


def test_a_grey_map_with_sensor_noise_in_a_jpeg_is_grey() -> None:
    smooth = np.repeat(np.linspace(20, 230, 256)[None], 256, 0)[..., None]
    noisy = (smooth + np.random.default_rng(3).normal(0, 3, (256, 256, 3))).clip(0, 255).astype(np.uint8)
    for quality in (30, 60, 85):
        hint, notes = ready("depth", jpeg(noisy, quality))
        assert (hint == hint[..., :1]).all() and notes == ()


@pytest.mark.parametrize("kind", ["tile", "inpaint", "segmentation", "qrcode", "illusion", "normal"])
def test_other_kinds_keep_their_colours(kind: str) -> None:
    sent = rgb(data.chelsea())
    hint, remarks = CONTROLS[kind].ready.put_right(kind, sent)
    np.testing.assert_array_equal(hint, sent)
    assert remarks == ()


def classes() -> np.ndarray:
    """Blobs in seven colours."""
    draw = np.random.default_rng(6)
    field = cv2.GaussianBlur(draw.random((120, 160)).astype(np.float32), (0, 0), 6)
    ranks = np.digitize(field, np.quantile(field, np.linspace(0, 1, 8)[1:-1]))
    return draw.integers(0, 256, (7, 3), np.uint8)[ranks]


@pytest.mark.parametrize("size", [(64, 64), (160, 120), (256, 192), (512, 512), (72, 1024)])
def test_a_segmentation_has_no_colour_that_was_not_sent(size: tuple[int, int]) -> None:
    sent = classes()
    hint, notes = ready("segmentation", sent, size)
    assert hint.shape == (size[1], size[0], 3) and notes == ()
    colours = {tuple(colour) for colour in hint.reshape(-1, 3).tolist()}
    assert colours <= {tuple(colour) for colour in sent.reshape(-1, 3).tolist()}
    assert len(colours) == 7


def test_the_nearest_pixel_is_the_one_under_the_middle() -> None:
    sent = classes()
    np.testing.assert_array_equal(ready("segmentation", sent, (160, 120))[0], sent)
    twice = ready("segmentation", sent, (320, 240))[0]
    np.testing.assert_array_equal(twice, sent.repeat(2, 0).repeat(2, 1))
    third = ready("segmentation", sent[:, :, :], (160, 120), encode(sent.repeat(3, 0).repeat(3, 1)))[0]
    np.testing.assert_array_equal(third, sent)


@pytest.mark.parametrize("kind", sorted(set(CONTROLS) - {"segmentation", "qrcode", "inpaint"}))
def test_others_are_fitted_with_lanczos_as_diffusers_does(kind: str) -> None:
    sent = 255 - drawing(200)
    expected = np.asarray(Image.fromarray(sent).resize((128, 72), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(ready(kind, sent, (128, 72))[0], expected)


def test_a_thin_line_that_shrinks_stays_whole() -> None:
    sent = np.zeros((512, 512, 3), np.uint8)
    sent[256, 30:480] = 255
    hint, _ = ready("canny", sent, (128, 128))
    assert (hint[63:65, 10:118, 0].max(axis=0) > 40).all()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 256))
def test_any_map_is_put_right_to_one_of_its_size(height: int, width: int, seed: int, levels: int) -> None:
    sent = np.random.default_rng(seed).integers(0, levels, (height, width, 3), np.uint8)
    before = sent.copy()
    hint, remarks = LINES.put_right("canny", sent)
    assert (hint.shape, hint.dtype, len(remarks) <= 2) == (sent.shape, np.uint8, True)
    np.testing.assert_array_equal(sent, before)
    luma = cv2.cvtColor(sent, cv2.COLOR_RGB2GRAY)
    inverted = any("inverted" in remark for remark in remarks)
    if inverted:
        np.testing.assert_array_equal(LINES.put_right("canny", hint)[0], hint)
    np.testing.assert_array_equal(hint, rgb(255 - luma if inverted else luma))
