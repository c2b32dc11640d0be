"""Hints drawn from annotators' maps that are written by hand: exact pixels, and what a broken map comes to."""

import asyncio
import warnings
from collections.abc import Mapping

import cv2
import numpy as np
import pytest

from families.annotators import HEADS
from mesh.errors import InternalError, InvalidInput
from mesh.pictures import encode
from preprocess_svc.annotators import Annotators
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Algorithm, Learned
from preprocess_svc.hints import MadeHint, Wish, make_hint
from tests.rigs.annotator_maps import HandMade

PICTURE = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
NOBODY = Annotators()
# Kind and extractor -> the head that it draws.
MAPS = {
    ("depth", "model"): "depth",
    ("hed", "hed"): "hed",
    ("hed", "pidinet"): "softedge",
    ("lineart", "realistic"): "lineart",
    ("lineart_anime", "model"): "lineart_anime",
    ("mlsd", "mlsd"): "mlsd",
    ("normal", "from_depth"): "depth",
    ("normal", "model"): "normal",
    ("segmentation", "model"): "segmentation",
    ("softedge", "hed"): "hed",
    ("softedge", "pidinet"): "softedge",
}


def learned(kind: str, name: str) -> Learned:
    (found,) = (one for one in CONTROLS[kind].extractors if one.name == name)
    assert isinstance(found, Learned)
    return found


def stand_in(kind: str) -> Algorithm:
    (found,) = (one for one in CONTROLS[kind].extractors if isinstance(one, Algorithm) and one.stand_in)
    return found


def drawn(
    kind: str, name: str, picture: np.ndarray, annotators: Annotators, parameters: Mapping[str, float] | None = None
) -> np.ndarray:
    extractor = learned(kind, name)
    return asyncio.run(extractor.annotate(picture, extractor.settle(kind, parameters or {}), annotators))


def of(head: str, found: np.ndarray, **options: object) -> HandMade:
    """An annotator that sees `found` in every picture."""
    return HandMade({head: {HEADS[head][0].name: found}}, **options)  # type: ignore[arg-type]


def any_map(head: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    tensor = HEADS[head][0]
    cell = 2 if head == "mlsd" else 1
    shape = (*tensor.dims[:-2], max(1, height // cell), max(1, width // cell))
    random = np.random.default_rng(seed)
    if tensor.dtype == "UINT8":
        return np.zeros(shape, np.uint8)
    return random.uniform(-1.5, 1.5, shape).astype(np.float32)


def make(wish: Wish, annotators: Annotators, size: tuple[int, int] = (64, 48)) -> MadeHint:
    return asyncio.run(make_hint(wish, size, annotators))


def grey(plane: object) -> np.ndarray:
    return np.repeat(np.asarray(plane, np.uint8)[..., None], 3, axis=2)


def test_every_learned_extractor_of_these_kinds_is_tested_here() -> None:
    kinds = {kind for kind, _ in MAPS}
    there = {
        (kind, one.name): one.heads[0]
        for kind in kinds
        for one in CONTROLS[kind].extractors
        if isinstance(one, Learned)
    }
    assert there == MAPS


@pytest.mark.parametrize(("kind", "name"), MAPS)
def test_a_map_becomes_a_hint_of_the_picture_s_size_whatever_its_own(kind: str, name: str) -> None:
    head = MAPS[kind, name]
    for height, width in ((48, 64), (1, 64), (64, 1), (1, 1)):
        picture = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
        for seen_height, seen_width in ((height, width), (24, 32), (96, 130), (1, 40), (40, 1)):
            eyes = of(head, any_map(head, seen_height, seen_width), size=(seen_width, seen_height))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                hint = drawn(kind, name, picture, eyes)
            assert (hint.shape, hint.dtype) == (picture.shape, np.uint8)
            assert hint.flags.c_contiguous


@pytest.mark.parametrize(("kind", "name"), MAPS)
def test_the_annotator_is_asked_for_its_head_at_the_resolution_of_the_request(kind: str, name: str) -> None:
    head = MAPS[kind, name]
    eyes = of(head, any_map(head, 48, 64))
    drawn(kind, name, PICTURE, eyes)
    drawn(kind, name, PICTURE, eyes, {"detect_resolution": 384})
    assert eyes.asked == [(head, 0), (head, 384)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("kind", "name"), [key for key, head in MAPS.items() if head != "segmentation"])
def test_a_map_with_no_numbers_is_the_annotator_s_failure(kind: str, name: str, value: float) -> None:
    head = MAPS[kind, name]
    broken = any_map(head, 48, 64)
    broken.flat[7] = value
    with pytest.raises(InternalError, match=r"annotator 'handmade' failed on this picture: its .* infinite or NaN"):
        drawn(kind, name, PICTURE, of(head, broken))


@pytest.mark.parametrize(("kind", "name"), MAPS)
def test_without_its_annotator_the_error_says_how_to_get_it(kind: str, name: str) -> None:
    words = f"no annotator for {MAPS[kind, name]} is loaded; export one: python -m export annotator "
    with pytest.raises(InvalidInput, match=words) as error:
        make(Wish(kind, encode(PICTURE), extractor=name), NOBODY)
    assert error.value.field == "control.extractor"
    assert learned(kind, name).how_to_get.split()[:4] == ["python", "-m", "export", "annotator"]


@pytest.mark.parametrize("kind", ["depth", "hed", "lineart_anime", "normal", "segmentation", "softedge"])
def test_a_kind_with_nothing_but_annotators_names_its_export_and_the_way_around(kind: str) -> None:
    with pytest.raises(InvalidInput, match=r"export annotator .* send a ready hint with auto_hint off") as error:
        make(Wish(kind, encode(PICTURE)), NOBODY)
    assert error.value.field == "control.auto_hint"


@pytest.mark.parametrize(
    ("kind", "heads", "first"),
    [
        ("softedge", ("hed", "softedge"), "pidinet"),
        ("softedge", ("hed",), "hed"),
        ("hed", ("hed", "softedge"), "hed"),
        ("hed", ("softedge",), "pidinet"),
        ("normal", ("depth", "normal"), "model"),
        ("normal", ("depth",), "from_depth"),
        ("mlsd", ("mlsd",), "mlsd"),
        ("mlsd", (), "lsd"),
        ("lineart", ("lineart",), "realistic"),
        ("lineart", (), "standard"),
    ],
)
def test_the_reply_says_who_made_it_and_the_kind_s_own_comes_first(
    kind: str, heads: tuple[str, ...], first: str
) -> None:
    maps = {head: {HEADS[head][0].name: any_map(head, 48, 64)} for head in heads}
    made = make(Wish(kind, encode(PICTURE)), HandMade(maps) if maps else NOBODY)
    assert (made.extractor, made.annotator, made.notes) == (first, "handmade" if heads else "", ())


@pytest.mark.parametrize("kind", ["normal", "softedge"])
def test_a_stand_in_runs_only_by_name_and_is_called_one(kind: str) -> None:
    name = stand_in(kind).name
    with pytest.raises(InvalidInput, match=f"ask for the crude stand-in with extractor '{name}'"):
        make(Wish(kind, encode(PICTURE)), NOBODY)
    made = make(Wish(kind, encode(PICTURE), extractor=name), NOBODY)
    assert (made.extractor, made.annotator) == (name, "")
    assert len(made.notes) == 1 and f"stand-in '{name}', a crude substitute" in made.notes[0]
    assert made.pixels.any()


def test_depth_spreads_the_annotator_s_range_from_black_to_white() -> None:
    found = np.array([[-30, -20, 0], [70, 45, -29.9]], np.float32)
    picture = np.zeros((2, 3, 3), np.uint8)
    expected = grey([[0, 25, 76], [255, 191, 0]])
    for scale in (1, 1e-3, 1e4):
        np.testing.assert_array_equal(
            drawn("depth", "model", picture, of("depth", found * np.float32(scale))), expected
        )


def test_a_flat_map_of_depth_is_black_and_the_widest_range_is_no_fault() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    for level in (0.0, 5.0, -3e38):
        assert not drawn("depth", "model", picture, of("depth", np.full((2, 2), level, np.float32))).any()
    widest = np.array([[-3.4e38, 3.4e38], [0, 0]], np.float32)
    np.testing.assert_array_equal(drawn("depth", "model", picture, of("depth", widest)), grey([[0, 255], [127, 127]]))


def test_a_map_of_another_size_is_resized_linearly_after_its_levels() -> None:
    found = np.array([[0, 1]], np.float32)
    hint = drawn("depth", "model", np.zeros((1, 4, 3), np.uint8), of("depth", found))
    np.testing.assert_array_equal(hint, grey([[0, 64, 191, 255]]))


def test_vectors_become_colours_rounded_down() -> None:
    vectors = np.array([[[1, -1, 0, 2]], [[0, 0, 1, -2]], [[0, 0.5, -1, 0.25]]], np.float32)
    picture = np.zeros((1, 4, 3), np.uint8)
    expected = np.array([[[255, 127, 127], [0, 127, 191], [127, 255, 0], [255, 0, 159]]], np.uint8)
    eyes = of("normal", vectors)
    np.testing.assert_array_equal(drawn("normal", "model", picture, eyes), expected)
    np.testing.assert_array_equal(drawn("normal", "model", picture, eyes, {"red_front": 1}), expected[..., ::-1])


def test_slopes_of_depth_are_red_to_the_left_green_to_the_top() -> None:
    y, x = np.mgrid[0:65, 0:65].astype(np.float32)
    dome = np.maximum(0, 32**2 - (x - 32) ** 2 - (y - 32) ** 2)
    picture = np.zeros((65, 65, 3), np.uint8)
    hint = drawn("normal", "from_depth", picture, of("depth", dome), {"background_threshold": 0}).astype(int)
    left, right, top, bottom, middle = hint[32, 16], hint[32, 48], hint[16, 32], hint[48, 32], hint[32, 32]
    assert left[0] > 200 > 60 > right[0] and abs(left[1] - 127) <= 1
    assert top[1] > 200 > 60 > bottom[1] and abs(top[0] - 127) <= 1
    assert (middle == (127, 127, 255)).all()


def test_relief_makes_slopes_of_depth_alike_on_every_scale_and_at_every_size() -> None:
    def ramp(side: int, scale: float) -> np.ndarray:
        found = np.tile(np.linspace(0, scale, side, dtype=np.float32), (side, 1))
        eyes = of("depth", found, size=(side, side))
        parameters = {"background_threshold": 0, "relief": 0.5}
        return drawn("normal", "from_depth", np.zeros((64, 64, 3), np.uint8), eyes, parameters)[32, 32].astype(int)

    # Half a pixel nearer with each pixel to the right: 8 * 0.5 against the rule's 2 pi.
    slope = 8 * 0.5 / (2 * np.pi)
    expected = np.array([slope, 0, 1]) / np.hypot(slope, 1) * 127.5 + 127.5
    for side, scale in ((64, 1.0), (64, 5000.0), (64, 1e-30), (64, 3e38), (256, 1.0)):
        assert np.abs(ramp(side, scale) - expected).max() <= 2, (side, scale)


def test_the_background_of_depth_is_flat() -> None:
    found = np.tile(np.linspace(0, 1, 11, dtype=np.float32), (5, 1))
    picture = np.zeros((5, 11, 3), np.uint8)
    hint = drawn("normal", "from_depth", picture, of("depth", found), {"background_threshold": 0.55})
    assert (hint[:, :6] == (127, 127, 255)).all()
    assert (hint[:, 6:10, 0] > 130).all()


@pytest.mark.parametrize("relief", [0, 4])
def test_a_flat_map_of_depth_faces_the_front(relief: float) -> None:
    for level in (0.0, 3e38):
        eyes = of("depth", np.full((4, 4), level, np.float32))
        hint = drawn("normal", "from_depth", np.zeros((4, 4, 3), np.uint8), eyes, {"relief": relief})
        assert (hint == (127, 127, 255)).all()


def test_the_steepest_slopes_of_depth_are_numbers() -> None:
    cliff = np.zeros((8, 8), np.float32)
    cliff[:, 4:] = 3.4e38
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hint = drawn("normal", "from_depth", np.zeros((8, 8, 3), np.uint8), of("depth", cliff), {"relief": 0})
    assert (hint[:, 4] == (255, 127, 127)).all() and (hint[:, 7] == (127, 127, 255)).all()


@pytest.mark.parametrize(("kind", "name"), [("softedge", "pidinet"), ("hed", "hed")])
def test_soft_edges_are_grey_levels_rounded_down(kind: str, name: str) -> None:
    found = np.array([[0, 0.5, 1, -0.2, 1.3, 0.999]], np.float32)
    eyes = of(MAPS[kind, name], found)
    picture = np.zeros((1, 6, 3), np.uint8)
    np.testing.assert_array_equal(drawn(kind, name, picture, eyes), grey([[0, 127, 255, 0, 255, 254]]))


@pytest.mark.parametrize(("kind", "name"), [("softedge", "pidinet"), ("hed", "hed")])
def test_safe_edges_have_three_levels(kind: str, name: str) -> None:
    found = np.array([[0, 0.33, 0.34, 0.66, 0.67, 1, -5, 5]], np.float32)
    eyes = of(MAPS[kind, name], found)
    picture = np.zeros((1, 8, 3), np.uint8)
    hint = drawn(kind, name, picture, eyes, {"safe": 1})
    np.testing.assert_array_equal(hint, grey([[0, 0, 127, 127, 255, 255, 0, 255]]))


@pytest.mark.parametrize(("kind", "name"), [("softedge", "pidinet"), ("hed", "hed")])
def test_a_scribble_is_a_thick_stroke_along_the_ridge(kind: str, name: str) -> None:
    sure = np.zeros((96, 96), np.float32)
    cv2.line(sure, (10, 48), (85, 48), 1.0, 9)
    sure = cv2.GaussianBlur(sure, (0, 0), 2)
    sure[80:83, 10:80] = 0.3  # too faint to be a ridge
    eyes = of(MAPS[kind, name], sure)
    hint = drawn(kind, name, np.zeros((96, 96, 3), np.uint8), eyes, {"scribble": 1})
    assert set(np.unique(hint)) == {0, 255}
    stroke = hint[..., 0] > 0
    assert stroke[48, 14:82].all() and not stroke[62:].any() and not stroke[:34].any()
    thickness = stroke[:, 30:66].sum(axis=0)
    assert thickness.min() >= 9 and thickness.max() <= 27


@pytest.mark.parametrize(("kind", "name"), [("lineart", "realistic"), ("lineart_anime", "model")])
def test_dark_lines_on_paper_become_white_on_black(kind: str, name: str) -> None:
    found = np.array([[0, 1, 0.5, 0.999, -0.1, 1.1]], np.float32)
    hint = drawn(kind, name, np.zeros((1, 6, 3), np.uint8), of(MAPS[kind, name], found))
    np.testing.assert_array_equal(hint, grey([[255, 0, 128, 1, 255, 0]]))


COLOURS = ((120, 120, 120), (180, 120, 120), (6, 230, 230))


def test_classes_get_the_card_s_colours() -> None:
    classes = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    eyes = of("segmentation", classes, palette=COLOURS)
    hint = drawn("segmentation", "model", np.zeros((2, 3, 3), np.uint8), eyes)
    np.testing.assert_array_equal(hint, [[COLOURS[c] for c in row] for row in classes])


def test_no_colour_lies_between_two_classes() -> None:
    classes = np.random.default_rng(5).integers(0, 3, (13, 17), np.uint8)
    for size in ((64, 48), (7, 5), (17, 13), (1, 1), (1000, 3)):
        picture = np.zeros((size[1], size[0], 3), np.uint8)
        hint = drawn("segmentation", "model", picture, of("segmentation", classes, palette=COLOURS))
        assert set(map(tuple, hint.reshape(-1, 3).tolist())) <= set(COLOURS)
    doubled = drawn(
        "segmentation", "model", np.zeros((26, 34, 3), np.uint8), of("segmentation", classes, palette=COLOURS)
    )
    np.testing.assert_array_equal(doubled, np.array(COLOURS, np.uint8)[classes.repeat(2, 0).repeat(2, 1)])


def test_a_pixel_takes_the_class_of_the_middle_of_what_it_covers() -> None:
    eyes = of("segmentation", np.array([[0, 1, 2]], np.uint8), palette=COLOURS)
    hint = drawn("segmentation", "model", np.zeros((1, 1, 3), np.uint8), eyes)
    np.testing.assert_array_equal(hint, [[COLOURS[1]]])


def test_a_class_without_a_colour_is_the_annotator_s_failure() -> None:
    classes = np.array([[0, 3]], np.uint8)
    with pytest.raises(InternalError, match=r"annotator 'handmade' failed .* class 3 of 3"):
        drawn("segmentation", "model", np.zeros((1, 2, 3), np.uint8), of("segmentation", classes, palette=COLOURS))


def test_the_gradient_of_a_step_is_as_bright_as_its_gain_says() -> None:
    step = np.zeros((64, 64, 3), np.uint8)
    step[:, 32:, 1] = 100  # in one channel alone
    extractor = stand_in("softedge")
    for sigma in (2.0, 4.0):
        hint = extractor.extract(step, extractor.settle("softedge", {"sigma": sigma, "gain": 2}))
        assert abs(int(hint[32, 31, 0]) - 200) < 16
        assert not hint[:, :8].any() and not hint[:, -8:].any()
    assert not extractor.extract(np.full((9, 9, 3), 200, np.uint8), extractor.settle("softedge", {})).any()


def test_light_is_taken_for_near_by_the_stand_in() -> None:
    step = np.zeros((64, 64, 3), np.uint8)
    step[:, 32:] = 200
    extractor = stand_in("normal")
    hint = extractor.extract(step, extractor.settle("normal", {}))
    assert hint[32, 32, 0] > 200 and abs(int(hint[32, 32, 1]) - 127) <= 1
    assert (hint[:, :16] == (127, 127, 255)).all()
    turned = extractor.extract(step, extractor.settle("normal", {"red_front": 1}))
    np.testing.assert_array_equal(turned, hint[..., ::-1])


@pytest.mark.parametrize("kind", ["normal", "softedge"])
def test_a_stand_in_takes_any_picture(kind: str) -> None:
    extractor = stand_in(kind)
    for height, width in ((1, 1), (1, 64), (64, 1), (17, 1024)):
        picture = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
        picture.flags.writeable = False
        for values in ("minimum", "default", "maximum"):
            parameters = {one.name: getattr(one, values) for one in extractor.parameters}
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                hint = extractor.extract(picture, parameters)
            assert (hint.shape, hint.dtype) == (picture.shape, np.uint8)
