"""Hands and faces in OpenPose's maps, and where a body says that they are."""

import numpy as np
import pytest

from preprocess_svc.pose import skeleton
from preprocess_svc.pose.boxes import Box, face_box, hand_boxes
from preprocess_svc.pose.faces import SIDE, face_picture, face_points
from preprocess_svc.pose.hands import SIDES, hand_picture, hand_points
from preprocess_svc.pose.resampling import between_corners
from tests.rigs.pose_maps import blot, point_maps

SIZE = (512, 640)


def body(**places: tuple[float, float]) -> np.ndarray:
    """Points of a body of which only these parts were found."""
    points = np.full((skeleton.PARTS, 2), np.nan)
    for part, place in places.items():
        points[getattr(skeleton, part.upper())] = place
    return points


def test_a_hand_is_beyond_the_wrist_and_half_as_large_again_as_the_forearm() -> None:
    arm = body(left_shoulder=(300, 100), left_elbow=(300, 160), left_wrist=(300, 260))
    # A third of 100 beyond 260, and 150 wide around it.
    assert hand_boxes(arm, SIZE) == {"left": Box(225, 218, 150)}


def test_a_long_upper_arm_says_how_large_a_hand_is() -> None:
    arm = body(right_shoulder=(300, 60), right_elbow=(300, 260), right_wrist=(350, 260))
    assert hand_boxes(arm, SIZE) == {"right": Box(231, 125, 270)}


def test_a_hand_at_the_edge_has_a_smaller_box_or_none() -> None:
    low = body(left_shoulder=(300, 300), left_elbow=(300, 360), left_wrist=(300, 420))
    assert hand_boxes(low, SIZE) == {"left": Box(255, 394, 90)}
    lower = body(left_shoulder=(300, 320), left_elbow=(300, 400), left_wrist=(300, 480))
    assert hand_boxes(lower, SIZE) == {"left": Box(240, 446, 65)}
    lowest = body(left_shoulder=(300, 470), left_elbow=(300, 490), left_wrist=(300, 510))
    assert hand_boxes(lowest, SIZE) == {}
    outside = body(left_shoulder=(20, 30), left_elbow=(20, 90), left_wrist=(20, 30))
    assert hand_boxes(outside, SIZE) == {"left": Box(0, 0, 90)}


def test_an_arm_without_its_elbow_has_no_hand() -> None:
    assert hand_boxes(body(left_shoulder=(300, 100), left_wrist=(300, 260)), SIZE) == {}


def test_a_face_is_around_the_nose() -> None:
    assert face_box(body(nose=(300, 200), left_eye=(312, 190)), SIZE) == Box(264, 164, 72)
    assert face_box(body(nose=(300, 200), left_eye=(312, 190), left_ear=(340, 195)), SIZE) == Box(240, 140, 120)


def test_a_face_needs_the_nose_and_something_beside_it() -> None:
    assert face_box(body(nose=(300, 200)), SIZE) is None
    assert face_box(body(left_eye=(312, 190)), SIZE) is None
    assert face_box(body(nose=(300, 200), left_eye=(302, 200)), SIZE) is None


def test_a_face_at_the_edge_is_cut_there() -> None:
    box = face_box(body(nose=(620, 200), left_eye=(610, 200)), SIZE)
    assert box == Box(590, 170, 60)
    assert box.cut(np.zeros((*SIZE, 3), np.uint8)).shape == (60, 50, 3)


def hand_maps(points: list[tuple[float, float] | None]) -> dict[int, np.ndarray]:
    return {side: point_maps(points, skeleton.HAND_POINTS, side // 8, radius=side / 184) for side in SIDES}


def test_the_points_of_a_hand_are_found_on_a_grid_of_128() -> None:
    """Each within one and a half steps of the grid, up and to the left as it is rounded down."""
    random = np.random.default_rng(6)
    places: list[tuple[float, float] | None] = [tuple(random.uniform(0.1, 0.9, 2)) for _ in range(21)]
    places[4] = places[9] = None
    found = hand_points(hand_maps(places), (200, 240))
    for point, place in zip(found, places, strict=True):
        expected = (0, 0) if place is None else (place[0] * 240, place[1] * 200)
        assert np.abs(point - expected).max() <= 1.5 * 240 / 128


def test_the_heavier_blot_wins_over_the_higher_one() -> None:
    """A tall narrow one on the left, a low wide one on the right."""
    maps = {}
    for side in SIDES:
        cells, one = side // 8, side / 184
        maps[side] = np.zeros((22, cells, cells), np.float32)
        maps[side][0] += blot((cells, cells), (0.2 * cells, 0.5 * cells), 0.8 * one)
        maps[side][0] += 0.6 * blot((cells, cells), (0.7 * cells, 0.5 * cells), 2.5 * one)
    x, y = hand_points(maps, (128, 128))[0]
    assert abs(x - 0.72 * 128) <= 3 and abs(y - 0.52 * 128) <= 3


def test_a_hand_is_looked_at_in_four_sizes() -> None:
    crop = np.random.default_rng(7).integers(0, 256, (60, 60, 3), np.uint8)
    assert [hand_picture(crop, side).shape for side in SIDES] == [(side, side, 3) for side in (184, 368, 552, 736)]


@pytest.mark.parametrize("size", [(40, 40), (200, 200), (300, 210)])
def test_the_points_of_a_face_are_found_within_a_cell(size: tuple[int, int]) -> None:
    """The highest place between cells is a cell, so a point is as exact as half a cell."""
    random = np.random.default_rng(8)
    places = [tuple(random.uniform(0.05, 0.95, 2)) for _ in range(70)]
    found = face_points(point_maps(places, 70, SIDE // 8), size)
    assert len(found) == 71
    for (x, y), place in zip(found, places, strict=False):
        assert abs(x - place[0] * size[1]) <= size[1] / 48 + 1
        assert abs(y - place[1] * size[0]) <= size[0] / 48 + 1


def test_points_of_a_face_that_are_not_there_are_left_out() -> None:
    places: list[tuple[float, float] | None] = [(0.3, 0.4), None, (0.6, 0.4)]
    maps = point_maps(places, 70, 48)
    maps[70] = 0
    assert len(face_points(maps, (96, 96))) == 2
    assert face_points(np.zeros_like(maps), (96, 96)).shape == (0, 2)


@pytest.mark.parametrize("seed", range(20))
def test_the_highest_place_of_a_face_is_that_of_the_whole_map(seed: int) -> None:
    """Only what can be the highest is looked at; here the whole map is."""
    random = np.random.default_rng(seed)
    cells, size = (int(random.integers(2, 30)), int(random.integers(2, 30))), (int(random.integers(2, 90)), 41)
    maps = random.standard_normal((3, *cells)).astype(np.float32) + 2
    whole = between_corners(cells[0], size[0]) @ maps.astype(np.float64) @ between_corners(cells[1], size[1]).T
    expected = [np.unravel_index(np.argmax(one), one.shape)[::-1] for one in whole]
    np.testing.assert_array_equal(face_points(maps, size), expected)


def test_a_face_is_looked_at_in_one_size() -> None:
    assert face_picture(np.zeros((60, 45, 3), np.uint8)).shape == (384, 384, 3)
