"""Skeletons as they are drawn, and the controls openpose and face from picture to hint."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mesh.errors import InternalError, InvalidInput
from mesh.pictures import Pixels
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Learned
from preprocess_svc.extraction.skeletons import MOST_DETAILED
from preprocess_svc.pose.body import MOST_PEOPLE
from preprocess_svc.pose.drawing import Pose, draw
from preprocess_svc.pose.skeleton import COLOURS, DRAWN_LIMBS, FINGERS, LEFT_EAR, LIMBS, NECK, PARTS, RIGHT_SHOULDER
from tests.rigs.hints import NO_ANNOTATORS
from tests.rigs.pose_maps import Maps, Network, Networks, body_maps, point_maps, standing

SIZE = (400, 600)
WHITE, BLUE = [255, 255, 255], [0, 0, 255]


def body(places: dict[int, tuple[float, float]]) -> np.ndarray:
    """Points as shares of the picture, of parts in pixels."""
    points = np.full((PARTS, 2), np.nan)
    for part, (x, y) in places.items():
        points[part] = x / SIZE[1], y / SIZE[0]
    return points


@pytest.mark.parametrize("part", range(PARTS))
def test_a_joint_is_a_disk_of_its_part_s_colour(part: int) -> None:
    drawn = draw([Pose(body({part: (300, 200)}))], SIZE)
    y, x = np.nonzero(drawn.any(2))
    assert np.unique(drawn[y, x], axis=0).tolist() == [list(COLOURS[part])]
    assert (x.min(), x.max(), y.min(), y.max()) == (296, 304, 196, 204)


@pytest.mark.parametrize("number", range(DRAWN_LIMBS))
def test_a_limb_is_a_stick_of_its_number_s_colour_darkened(number: int) -> None:
    first, second = LIMBS[number]
    drawn = draw([Pose(body({first: (200, 200), second: (400, 200)}))], SIZE)
    shade = [int(0.6 * channel) for channel in COLOURS[number]]
    assert drawn[200, 300].tolist() == shade
    # A stick is an ellipse four pixels to either side in its middle, thinner towards its ends.
    assert np.flatnonzero(drawn[:, 300].any(1)).tolist() == list(range(196, 205))
    assert len(np.flatnonzero((drawn[:, 220] == shade).all(1))) < 9
    assert drawn[200, 200].tolist() == list(COLOURS[first])
    assert drawn[200, 400].tolist() == list(COLOURS[second])


def test_shoulders_and_ears_are_not_joined() -> None:
    drawn = draw([Pose(body({LEFT_EAR: (200, 200), 5: (400, 200)}))], SIZE)
    assert not drawn[200, 300].any()


def test_later_limbs_lie_over_earlier_ones_and_joints_over_all() -> None:
    """The nose's limb, the 13th, crosses the right forearm's, the 4th; a joint stands on both."""
    crossing = {3: (200, 200), 4: (400, 200), 1: (300, 100), 0: (300, 300)}
    drawn = draw([Pose(body(crossing))], SIZE)
    assert drawn[200, 300].tolist() == [int(0.6 * channel) for channel in COLOURS[12]]
    drawn = draw([Pose(body(crossing | {17: (300, 200)}))], SIZE)
    assert drawn[200, 300].tolist() == list(COLOURS[17])


def test_what_was_not_found_is_not_drawn() -> None:
    assert not draw([Pose(body({}))], SIZE).any()
    assert not draw([Pose()], SIZE).any()
    drawn = draw([Pose(body({NECK: (200, 200)}))], SIZE)
    assert drawn.any(2).sum() < 81


def test_the_second_person_lies_over_the_first() -> None:
    people = [Pose(body({0: (300, 200)})), Pose(body({7: (300, 200)}))]
    assert draw(people, SIZE)[200, 300].tolist() == list(COLOURS[7])


def hand(places: dict[int, tuple[float, float]]) -> np.ndarray:
    points = np.full((21, 2), -1 / 600, np.float32)
    for point, (x, y) in places.items():
        points[point] = x / SIZE[1], y / SIZE[0]
    return points


# Eighteen degrees of hue a bone: the thumb is red to orange, the little finger purple to pink.
RAINBOW = {0: [255, 0, 0], 5: [128, 255, 0], 10: [0, 255, 255], 15: [128, 0, 255]}


@pytest.mark.parametrize("number", RAINBOW)
def test_a_finger_s_bones_have_the_colours_of_the_rainbow(number: int) -> None:
    first, second = FINGERS[number]
    drawn = draw([Pose(hands=(hand({first: (200, 200), second: (400, 200)}),))], SIZE)
    assert np.abs(drawn[200, 300].astype(int) - RAINBOW[number]).max() <= 1
    assert drawn[200, 200].tolist() == drawn[200, 400].tolist() == BLUE
    assert len(np.flatnonzero(drawn[:, 300].any(1))) <= 3


def test_a_bone_without_its_end_is_not_drawn() -> None:
    drawn = draw([Pose(hands=(hand({0: (200, 200)}),))], SIZE)
    y, x = np.nonzero(drawn.any(2))
    assert (x.min(), x.max(), y.min(), y.max()) == (196, 204, 196, 204)


def test_a_face_is_white_points_of_three_pixels() -> None:
    face = np.array([[0.5, 0.5], [0.25, 0.5], [-1 / 600, 0.2]], np.float32)
    drawn = draw([Pose(face=face)], SIZE)
    assert np.unique(drawn.reshape(-1, 3), axis=0).tolist() == [[0, 0, 0], WHITE]
    y, x = np.nonzero(drawn.any(2))
    assert (x.min(), x.max(), y.min(), y.max()) == (147, 303, 197, 203)


def fixed(picture_size: tuple[int, int], people: int) -> dict[str, Network]:
    """Networks that see people side by side, a cross of points in every hand and a row of points in every face."""
    height, width = picture_size
    figures = [standing(width * i / people, 0.05 * height, width / people, 0.9 * height) for i in range(people)]

    def seen(picture: Pixels) -> tuple[Maps, ...]:
        scale = 184 / height
        inside = (184, int(width * scale))
        return body_maps(figures, picture_size, (picture.shape[0] // 8, picture.shape[1] // 8), inside)

    def points(count: int) -> Network:
        places = [(0.1 + 0.8 * index / count, 0.5) for index in range(count)]
        return lambda picture: (point_maps(places, count, picture.shape[0] // 8),)

    return {"body": seen, "hand": points(21), "face": points(70)}


def extractor(kind: str) -> Learned:
    (only,) = CONTROLS[kind].extractors
    assert isinstance(only, Learned)
    return only


def hint(kind: str, annotators: Networks, picture_size: tuple[int, int] = (512, 512), **parameters: float) -> Pixels:
    picture = np.full((*picture_size, 3), 90, np.uint8)
    work = extractor(kind).annotate(picture, extractor(kind).settle(kind, parameters), annotators)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def test_a_body_alone_is_what_is_asked_for_by_default() -> None:
    networks = Networks(fixed((512, 512), 1))
    drawn = hint("openpose", networks)
    assert [head for head, _ in networks.seen] == ["body"]
    neck = 512 * 0.5, 512 * (0.05 + 0.9 * 0.2)
    assert drawn[round(neck[1]), round(neck[0])].tolist() == list(COLOURS[NECK])
    shoulder = 512 * 0.36, 512 * (0.05 + 0.9 * 0.21)
    assert drawn[round(shoulder[1]), round(shoulder[0])].tolist() == list(COLOURS[RIGHT_SHOULDER])
    assert not (drawn == WHITE).all(2).any()


def test_two_hands_are_seen_in_four_sizes_and_a_face_in_one() -> None:
    networks = Networks(fixed((512, 512), 1))
    drawn = hint("openpose", networks, hands=1, face=1)
    hands = [("hand", side) for side in (184, 368, 552, 736) for _ in range(2)]
    assert sorted((head, picture.shape[0]) for head, picture in networks.seen) == [("body", 184), ("face", 384), *hands]
    assert (drawn == WHITE).all(2).any() and (drawn == BLUE).all(2).any()


def test_a_face_alone_is_white_on_black() -> None:
    networks = Networks(fixed((512, 512), 1))
    drawn = hint("face", networks)
    assert np.unique(drawn.reshape(-1, 3), axis=0).tolist() == [[0, 0, 0], WHITE]
    assert [head for head, _ in networks.seen] == ["body", "face"]
    # Around the nose, as far as three times its distance from an eye, 31 pixels.
    rows = np.flatnonzero(drawn.any((1, 2)))
    assert rows.size and np.abs(rows - 512 * (0.05 + 0.9 * 0.08)).max() <= 93 + 3


def test_the_hint_has_the_picture_s_size() -> None:
    drawn = hint("openpose", Networks(fixed((512, 704), 1)), (360, 480), detect_resolution=512)
    assert drawn.shape == (360, 480, 3) and drawn.dtype == np.uint8 and drawn.any()


def test_hands_and_faces_of_a_crowd_are_those_of_the_clearest() -> None:
    """Twelve people: twelve skeletons, and two hands and a face of each of eight."""
    networks = Networks(fixed((512, 2048), 12))
    hint("openpose", networks, (256, 1024), detect_resolution=512, hands=1, face=1)
    heads = [head for head, _ in networks.seen]
    assert MOST_DETAILED < 12 < MOST_PEOPLE
    assert 0 < heads.count("face") <= MOST_DETAILED
    assert heads.count("hand") == 4 * 2 * MOST_DETAILED


def test_a_picture_of_nobody_is_black() -> None:
    networks = Networks(fixed((512, 512), 1) | {"body": lambda picture: body_maps([], (1, 1), (23, 23), (184, 184))})
    assert not hint("openpose", networks, hands=1, face=1).any()
    assert not hint("face", networks).any()


@pytest.mark.parametrize(("name", "head"), [("hands", "hand"), ("face", "face")])
def test_a_detail_without_its_annotator_is_refused_with_the_command_that_makes_it(name: str, head: str) -> None:
    networks = fixed((512, 512), 1)
    del networks[head]
    with pytest.raises(InvalidInput, match="python -m export annotator openpose") as refused:
        hint("openpose", Networks(networks), **{name: 1})
    assert refused.value.field == f"parameters.{name}"


def test_to_draw_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="body, hands and face are all 0") as refused:
        hint("openpose", Networks(fixed((512, 512), 1)), body=0)
    assert refused.value.field == "parameters.body"


def test_maps_that_are_no_numbers_are_the_annotator_s_fault() -> None:
    def broken(picture: Pixels) -> tuple[Maps, ...]:
        return tuple(np.full_like(maps, np.nan) for maps in body_maps([], SIZE, (23, 23), (184, 184)))

    with pytest.raises(InternalError, match="infinite or NaN"):
        hint("openpose", Networks({"body": broken}))


@pytest.mark.parametrize("kind", ["openpose", "face"])
def test_without_annotators_the_command_is_named(kind: str) -> None:
    assert CONTROLS[kind].usual(NO_ANNOTATORS) is None
    assert "python -m export annotator openpose" in CONTROLS[kind].how_to_get(NO_ANNOTATORS)
