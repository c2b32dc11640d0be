import cv2
import numpy as np
import pytest

from tests.rigs.hints import extracted

PICTURE = np.random.default_rng(7).integers(0, 256, (96, 160, 3), np.uint8)


def shuffled(picture: np.ndarray, seed: int) -> np.ndarray:
    return extracted("shuffle", picture, {"seed": seed})


def test_a_seed_is_a_map() -> None:
    first = shuffled(PICTURE, 5)
    np.testing.assert_array_equal(shuffled(PICTURE, 5), first)
    assert (shuffled(PICTURE, 6) != first).any()
    assert (first != PICTURE).any(axis=2).mean() > 0.9
    np.testing.assert_array_equal(extracted("shuffle", PICTURE, {}), shuffled(PICTURE, 0))


def test_nobody_else_s_random_numbers_are_touched() -> None:
    state = np.random.get_state()[1].copy()
    shuffled(PICTURE, 5)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_colours_stay_and_places_change() -> None:
    halves = np.zeros((256, 256, 3), np.uint8)
    halves[:, 128:] = (255, 200, 0)
    moved = shuffled(halves, 1)
    pure = (moved == 0).all(axis=2) | (moved == (255, 200, 0)).all(axis=2)
    assert pure.mean() > 0.95  # the rest lies on the border between them
    assert (moved != halves).any(axis=2).mean() > 0.1


def test_the_field_is_smooth_and_reaches_every_border() -> None:
    height, width = 200, 300
    rows, columns = np.mgrid[:height, :width]
    coordinates = np.stack([columns * 255 // (width - 1), rows * 255 // (height - 1), rows * 0], 2).astype(np.uint8)
    moved = shuffled(coordinates, 9)[..., :2].astype(int)
    assert moved.reshape(-1, 2).min(axis=0).tolist() == [0, 0]
    assert moved.reshape(-1, 2).max(axis=0).tolist() == [255, 255]
    for axis in (0, 1):
        assert np.abs(np.diff(moved, axis=axis)).max() <= 12


@pytest.mark.parametrize(("height", "width"), [(64, 64), (512, 512), (65, 777), (1024, 320)])
def test_the_map_is_that_of_the_published_rule_with_numpy_s_seed(height: int, width: int) -> None:
    """Noise drawn for the picture and a margin of a cell around it, enlarged whole, cropped, stretched to 0 to 1."""
    picture = np.random.default_rng(8).integers(0, 256, (height, width, 3), np.uint8)
    generator = np.random.RandomState(11)
    flow = []
    for side in (width, height):
        noise = generator.uniform(low=0, high=1, size=(height // 256 + 2, width // 256 + 2, 1))
        whole = cv2.resize(noise, (width + 512, height + 512), interpolation=cv2.INTER_CUBIC)
        disk = whole[256:-256, 256:-256]
        flow.append((disk - disk.min()) / (disk.max() - disk.min()) * float(side - 1))
    expected = cv2.remap(picture, np.dstack(flow).astype(np.float32), None, cv2.INTER_LINEAR)
    differing = (shuffled(picture, 11) != expected).any(axis=2).mean()
    assert differing < 1e-4  # coordinates are rounded to 1/32 pixel, and a last bit may tip one over
