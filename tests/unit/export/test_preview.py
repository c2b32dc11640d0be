"""The linear map of latents to small pictures: fitted on made-up pictures, judged on pictures it never saw."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from demo.render import render
from demo.scene import Stream, sample_scene, scene_generator
from export import preview
from export.graphs.vae import Encoder
from tests.rigs.mesh import DEMO_WEIGHTS

DOWNSCALE = 8
SCENES = 32


@pytest.fixture(scope="module")
def encode() -> Any:
    encoder = Encoder(AutoencoderKL.from_pretrained(DEMO_WEIGHTS / "vae", use_safetensors=True).eval())

    def means(pictures: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            mean: torch.Tensor = encoder(torch.from_numpy(pictures))[0]
        return mean.numpy()

    return means


@pytest.fixture(scope="module")
def fitted(encode: Any) -> preview.Map:
    return preview.fit(encode, DOWNSCALE)


@pytest.fixture(scope="module")
def scenes() -> np.ndarray:
    drawn = [render(sample_scene(scene_generator(Stream.HELD_OUT, number))) for number in range(SCENES)]
    return np.stack([rendering.image for rendering in drawn])


def test_pictures_of_the_demo_are_seen_by_a_map_that_never_saw_one(
    encode: Any, fitted: preview.Map, scenes: np.ndarray
) -> None:
    """Measured on 64 scenes: root mean square error 0.034, 98.7 % of the variance; a constant has 0.299 and none; the
    best map for these very pictures 0.021 and 99.5 %."""
    truth = preview.pooled(scenes, DOWNSCALE)
    error = preview.seen(encode(scenes), fitted) - truth
    constant = truth - truth.mean(axis=(0, 1, 2))
    assert np.sqrt((error**2).mean()) < 0.05
    explained = 1 - (error**2).sum(axis=(0, 1, 2)) / (constant**2).sum(axis=(0, 1, 2))
    assert explained.min() > 0.96, "in red, green and blue alike"


def test_a_map_of_other_channels_would_not_pass(encode: Any, fitted: preview.Map, scenes: np.ndarray) -> None:
    truth = preview.pooled(scenes, DOWNSCALE)
    error = preview.seen(encode(scenes)[:, ::-1], fitted) - truth
    assert (error**2).mean() > truth.var() / 2


def test_a_map_has_a_row_for_each_channel_and_one_of_constants(fitted: preview.Map) -> None:
    assert [len(row) for row in fitted] == [3] * 5
    assert all(type(number) is float for row in fitted for number in row)
    black = preview.seen(np.zeros((1, 4, 2, 3), np.float32), fitted)
    np.testing.assert_allclose(black, np.broadcast_to(fitted[-1], (1, 2, 3, 3)))


def test_a_map_that_exists_is_found_exactly() -> None:
    """Against an encoder that only mixes the colours of each cell."""
    mixing = np.random.default_rng(1).normal(size=(3, 4))

    def encode(pictures: np.ndarray) -> np.ndarray:
        cells = preview.pooled(pictures, DOWNSCALE) @ mixing + 0.25
        return cells.transpose(0, 3, 1, 2).astype(np.float32)

    other = np.random.default_rng(2).integers(0, 256, (2, 24, 40, 3), dtype=np.uint8)
    found = preview.seen(encode(other), preview.fit(encode, DOWNSCALE))
    np.testing.assert_allclose(found, preview.pooled(other, DOWNSCALE), atol=1e-3)


def test_the_same_pictures_are_made_again_and_differ_from_one_another() -> None:
    first, again = preview.synthetic(9, 16), preview.synthetic(9, 16)
    np.testing.assert_array_equal(first, again)
    assert len({picture.tobytes() for picture in first}) == 9
    assert first.shape == (9, 16, 16, 3)


def test_a_cell_is_the_mean_of_its_pixels() -> None:
    picture = np.zeros((1, 8, 16, 3), np.uint8)
    picture[0, :, 8:, 1] = 255
    picture[0, :4, :8, 2] = 255
    np.testing.assert_allclose(preview.pooled(picture, 8), [[[[0, 0, 0.5], [0, 1, 0]]]])
