"""People in OpenPose's maps: which points are found, and whose they are."""

import msgspec
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mesh.errors import InvalidInput
from preprocess_svc.pose.body import MOST_PEAKS, MOST_PEOPLE, Person, find_people
from preprocess_svc.pose.fitting import LONGEST, body_picture, fitted
from preprocess_svc.pose.resampling import between_corners, blurred, stretch
from preprocess_svc.pose.skeleton import (
    AFFINITIES,
    LEFT_ANKLE,
    LEFT_WRIST,
    LIMBS,
    NECK,
    NOSE,
    RIGHT_ANKLE,
    RIGHT_HIP,
    RIGHT_KNEE,
    RIGHT_SHOULDER,
    RIGHT_WRIST,
)
from tests.rigs.annotator_maps import card
from tests.rigs.pose_maps import Figure, body_maps, standing

SIZE = (512, 512)
SEEN, CELLS = (184, 184), (23, 23)


def found(figures: list[Figure], noise: float = 0.0) -> list[Person]:
    return find_people(*body_maps(figures, SIZE, CELLS, SEEN, noise), SEEN, SIZE)


def assert_is(person: Person, figure: Figure, within: float = 1.0) -> None:
    """The parts of the figure and no others, in place."""
    assert np.flatnonzero(~np.isnan(person.points[:, 0])).tolist() == sorted(figure)
    for part, place in figure.items():
        assert np.abs(person.points[part] - place).max() <= within, part


def test_one_person_is_found_within_a_pixel() -> None:
    figure = standing(120, 20, 260, 470)
    (person,) = found([figure])
    assert_is(person, figure)


def test_two_people_side_by_side_keep_their_own_limbs() -> None:
    """Their inner hands are nearer to each other than to their own shoulders."""
    figures = [standing(10, 30, 240, 450), standing(230, 50, 250, 440)]
    first, second = sorted(found(figures), key=lambda person: person.points[NECK, 0])
    assert_is(first, figures[0])
    assert_is(second, figures[1])


def test_a_person_whose_arms_were_not_seen_has_none() -> None:
    whole = standing(120, 20, 260, 470)
    figure = {part: place for part, place in whole.items() if part not in (LEFT_WRIST, RIGHT_WRIST, RIGHT_WRIST - 1)}
    (person,) = found([figure])
    assert_is(person, figure)


def test_without_affinity_there_are_points_and_no_person() -> None:
    affinities, parts = body_maps([standing(120, 20, 260, 470)], SIZE, CELLS, SEEN)
    assert find_people(affinities, parts, SEEN, SIZE)
    assert find_people(np.zeros_like(affinities), parts, SEEN, SIZE) == []
    assert find_people(-affinities, parts, SEEN, SIZE) == []


def test_a_limb_must_be_seen_along_its_length() -> None:
    """Shins with a gap of a third: on average the affinity is high, and yet no ankle belongs to anybody."""
    figure = standing(120, 20, 260, 470)
    affinities, parts = body_maps([figure], SIZE, CELLS, SEEN)
    knee, ankle = (round(figure[part][1] * SEEN[0] / SIZE[0] / 8) for part in (RIGHT_KNEE, RIGHT_ANKLE))
    affinities[:, knee + 1 : ankle - 1] = 0
    (person,) = find_people(affinities, parts, SEEN, SIZE)
    assert_is(person, {part: place for part, place in figure.items() if part not in (RIGHT_ANKLE, LEFT_ANKLE)})


@pytest.mark.parametrize(("affinity", "joined"), [(0.25, False), (0.5, True)])
def test_a_limb_longer_than_half_the_picture_must_be_seen_well(affinity: float, joined: bool) -> None:
    """A body 370 of 512 pixels long needs an affinity of 1 - 256 / 370 = 0.31 on average."""
    whole = standing(120, 20, 260, 470)
    figure = {part: place for part, place in whole.items() if part <= LEFT_WRIST}
    figure[RIGHT_HIP] = (figure[NECK][0], figure[NECK][1] + 370)
    affinities, parts = body_maps([figure], SIZE, CELLS, SEEN)
    affinities[list(AFFINITIES[LIMBS.index((NECK, RIGHT_HIP))])] *= affinity
    (person,) = find_people(affinities, parts, SEEN, SIZE)
    assert bool(np.isfinite(person.points[RIGHT_HIP]).all()) == joined


def test_three_parts_are_no_person_and_four_are() -> None:
    whole = standing(120, 20, 260, 470)
    three = {part: whole[part] for part in (NOSE, NECK, RIGHT_SHOULDER)}
    assert found([three]) == []
    four = three | {RIGHT_SHOULDER + 1: whole[RIGHT_SHOULDER + 1]}
    (person,) = found([four])
    assert_is(person, four)


def test_nobody_is_found_in_empty_maps() -> None:
    assert found([]) == []


def test_a_whole_map_of_peaks_stays_bounded() -> None:
    """Level maps have a peak in every pixel, and full affinities join all of them."""
    affinities, parts = np.full((38, *CELLS), 0.7, np.float32), np.ones((19, *CELLS), np.float32)
    assert SIZE[0] * SIZE[1] > 1000 * MOST_PEAKS
    assert len(find_people(affinities, parts, SEEN, SIZE)) == MOST_PEOPLE


def test_of_a_crowd_the_best_are_kept() -> None:
    """Forty people, of whom the lower twenty are clearer."""
    size, seen, cells = (1024, 2048), (736, 1472), (92, 184)
    crowd = [standing(10 + 200 * (index % 10), 10 + 250 * (index // 10), 120, 230) for index in range(40)]
    affinities, parts = body_maps(crowd, size, cells, seen)
    everyone = np.array([figure[NECK] for figure in crowd])
    parts[:, : cells[0] // 2] *= 0.8
    people = find_people(affinities, parts, seen, size)
    assert len(people) == MOST_PEOPLE
    nearest = [int(np.argmin(np.abs(everyone - person.points[NECK]).sum(1))) for person in people]
    assert len(set(nearest)) == MOST_PEOPLE
    assert set(range(20, 40)) <= set(nearest)


@pytest.mark.parametrize("shape", [(40, 60), (13, 200), (5, 9)])
def test_blurring_is_scipy_s(shape: tuple[int, int]) -> None:
    """The edge is mirrored, more than once where the picture is smaller than the kernel."""
    field = np.random.default_rng(2).random(shape)
    rows, columns = blurred(np.eye(shape[0]), 3), blurred(np.eye(shape[1]), 3)
    np.testing.assert_allclose(rows @ field @ columns.T, gaussian_filter(field, 3), atol=1e-12)


def test_linear_resizing_keeps_the_corners() -> None:
    values = np.array([1.0, 3.0, 2.0])
    np.testing.assert_allclose(between_corners(3, 5) @ values, [1, 2, 3, 2.5, 2])
    np.testing.assert_allclose(between_corners(3, 1) @ values, [1])
    np.testing.assert_allclose(between_corners(1, 4) @ [7.0], [7] * 4)


def test_a_level_map_stays_level_and_loses_its_padding() -> None:
    level = stretch(12, 90, 256, shrinks=False)
    assert level.shape == (256, 12)
    np.testing.assert_allclose(level @ np.ones(12), 1, atol=1e-6)
    # Of 90 pixels seen, two lie in the last cell.
    assert np.argmax(level @ np.eye(12)[11]) == 255


@pytest.mark.parametrize(
    ("picture", "side", "size"),
    [
        ((512, 512), 0, (512, 512)),
        ((480, 640), 512, (512, 704)),
        ((480, 640), 256, (256, 320)),
        ((64, 1024), 512, (128, LONGEST)),
        ((1024, 64), 1024, (LONGEST, 128)),
    ],
)
def test_people_are_looked_for_at_multiples_of_64_and_not_in_endless_strips(
    picture: tuple[int, int], side: int, size: tuple[int, int]
) -> None:
    fit_for_512 = msgspec.structs.replace(card(["body"]), side=512)
    assert fitted(np.zeros((*picture, 3), np.uint8), fit_for_512, side).shape == (*size, 3)


def test_a_side_below_the_least_is_refused() -> None:
    with pytest.raises(InvalidInput, match="63") as refused:
        fitted(np.zeros((512, 512, 3), np.uint8), card(["body"]), 63)
    assert refused.value.field == "parameters.detect_resolution"


@pytest.mark.parametrize(
    ("picture", "seen", "padded"), [((512, 512), (184, 184), (184, 184)), ((512, 768), (184, 276), (184, 280))]
)
def test_the_body_network_sees_184_rows_and_grey_padding(
    picture: tuple[int, int], seen: tuple[int, int], padded: tuple[int, int]
) -> None:
    shown, inside = body_picture(np.full((*picture, 3), 9, np.uint8))
    assert (inside, shown.shape) == (seen, (*padded, 3))
    assert (shown[: seen[0], : seen[1]] == 9).all()
    assert (shown[:, seen[1] :] == 128).all()
