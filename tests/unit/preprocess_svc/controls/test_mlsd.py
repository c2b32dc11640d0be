"""M-LSD's map, decoded and drawn: lines written into it by hand come out as pixels."""

import asyncio
import warnings

import cv2
import numpy as np
import pytest

from preprocess_svc.controls import CONTROLS
from preprocess_svc.controls.mlsd import find_lines
from preprocess_svc.extraction.control import Learned
from tests.rigs.annotator_maps import HandMade

UNSURE = -9.0


def nothing(height: int = 32, width: int = 48) -> np.ndarray:
    lines = np.zeros((5, height, width), np.float32)
    lines[0] = UNSURE
    return lines


def write(lines: np.ndarray, start: tuple[float, float], end: tuple[float, float], logit: float = 4.0) -> None:
    """A line from (x, y) to (x, y), in cells, centre rounded to a cell."""
    x, y = round((start[0] + end[0]) / 2), round((start[1] + end[1]) / 2)
    lines[:, y, x] = logit, start[0] - x, start[1] - y, end[0] - x, end[1] - y


def drawn(lines: np.ndarray, size: tuple[int, int] | None = None, **parameters: float) -> np.ndarray:
    """The hint, of `size` or of the size at which the annotator saw."""
    (extractor,) = (one for one in CONTROLS["mlsd"].extractors if one.name == "mlsd")
    assert isinstance(extractor, Learned)
    seen = (2 * lines.shape[2], 2 * lines.shape[1])
    width, height = size or seen
    picture = np.zeros((height, width, 3), np.uint8)
    settled = extractor.settle("mlsd", parameters)
    return asyncio.run(extractor.annotate(picture, settled, HandMade({"mlsd": {"lines": lines}}, size=seen)))


def test_lines_come_out_where_they_were_written() -> None:
    lines = nothing()
    write(lines, (4, 6), (40, 6))
    write(lines, (10.5, 12), (30, 28.25), logit=2.0)
    expected = np.zeros((64, 96), np.uint8)
    cv2.line(expected, (8, 12), (80, 12), 255, 1)
    cv2.line(expected, (21, 24), (60, 56), 255, 1)
    hint = drawn(lines)
    np.testing.assert_array_equal(hint, np.repeat(expected[..., None], 3, 2))
    found = find_lines(lines, 0.1, 0.1)
    np.testing.assert_allclose(found, [[[8, 12], [80, 12]], [[21, 24], [60, 56.5]]])


def test_ends_outside_the_picture_are_cut_off_at_its_border() -> None:
    lines = nothing()
    write(lines, (-20, 10), (70, 10))
    hint = drawn(lines)[..., 0]
    assert (hint[20] == 255).all() and hint.sum() == 96 * 255


def test_a_centre_beside_a_surer_one_is_suppressed_and_one_two_cells_off_is_not() -> None:
    lines = nothing()
    write(lines, (4, 10), (40, 10), logit=4)
    beside = lines.copy()
    beside[:, 11, 23] = 3.9, -15, 5, 15, 5
    assert len(find_lines(beside, 0.1, 0.1)) == 1
    np.testing.assert_array_equal(drawn(beside), drawn(lines))
    apart = lines.copy()
    apart[:, 12, 22] = 3.9, -15, 5, 15, 5
    assert len(find_lines(apart, 0.1, 0.1)) == 2


def test_equal_neighbours_both_stay() -> None:
    lines = nothing()
    for x in (20, 21):
        lines[:, 10, x] = 3, -10, 0, 10, 0
    assert len(find_lines(lines, 0.1, 0.1)) == 2


def test_unsure_and_short_lines_are_left_out() -> None:
    lines = nothing()
    write(lines, (4, 4), (40, 4), logit=0)  # as sure as not: 0.5
    write(lines, (20, 20), (23, 24), logit=4)  # five cells long
    assert len(find_lines(lines, 0.1, 0.1)) == 2
    assert len(find_lines(lines, 0.49, 0.1)) == 2
    assert len(find_lines(lines, 0.5, 0.1)) == 1
    assert len(find_lines(lines, 0.1, 4.99)) == 2
    assert len(find_lines(lines, 0.1, 5)) == 1
    assert not drawn(lines, score_threshold=1).any()
    assert drawn(lines, distance_threshold=5).any()
    assert not drawn(lines, distance_threshold=40).any()


def test_a_map_of_nothing_is_black() -> None:
    assert not drawn(nothing()).any()
    flat = np.zeros((5, 8, 8), np.float32)  # half sure everywhere of lines without length
    assert not drawn(flat).any()


def test_at_most_two_hundred_lines_are_taken_and_the_surest() -> None:
    lines = nothing(64, 64)
    centres = [(y, x) for y in range(0, 64, 4) for x in range(0, 64, 4)]
    for rank, (y, x) in enumerate(centres):
        lines[:, y, x] = 3 - rank / 100, -1, 0, 1, 0
    found = find_lines(lines, 0.1, 0.1)
    assert len(centres) == 256 and len(found) == 200
    np.testing.assert_array_equal(found.mean(axis=1), [[2 * x, 2 * y] for y, x in centres[:200]])


@pytest.mark.parametrize("far", [1e6, 1e30, 3.4e38])
def test_no_displacement_is_too_far_to_draw(far: float) -> None:
    lines = nothing()
    lines[:, 16, 24] = 5, -far, 0, far, 0
    hint = drawn(lines)[..., 0]
    assert (hint[32] == 255).all() and not np.delete(hint, 32, axis=0).any()


def test_the_surest_and_the_least_sure_are_numbers() -> None:
    lines = nothing()
    lines[0] = -3e38
    lines[:, 16, 24] = 3e38, -10, 0, 10, 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(find_lines(lines, 0.99, 0.1)) == 1


def test_a_hint_of_another_size_is_the_drawing_resized() -> None:
    lines = nothing()
    write(lines, (4, 6), (40, 28))
    at_its_own = drawn(lines)
    np.testing.assert_array_equal(
        drawn(lines, size=(200, 100)), cv2.resize(at_its_own, (200, 100), interpolation=cv2.INTER_LINEAR)
    )


def test_maps_of_one_cell_decode() -> None:
    for height, width in ((1, 1), (1, 30), (30, 1)):
        lines = nothing(height, width)
        lines[:, 0, 0] = 5, 0, 0, 3, 0
        assert drawn(lines).shape == (2 * height, 2 * width, 3)
        assert len(find_lines(lines, 0.1, 0.1)) == 1
