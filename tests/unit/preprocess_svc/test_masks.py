import io

import numpy as np
import pytest
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from mesh.errors import InvalidInput
from mesh.pictures import Pixels, encode
from preprocess_svc.masks import fit_mask, mark
from tests.rigs.hints import make_hint

DRAW = np.random.default_rng(7)
NOISE = DRAW.integers(0, 256, (96, 160, 3), np.uint8)
GREY_NOISE = np.repeat(NOISE[..., :1], 3, axis=2)
COLOURED = np.zeros((90, 70, 3), np.uint8)
COLOURED[:30] = (255, 0, 0)  # darker than half in grey
COLOURED[30:60] = (0, 255, 0)  # lighter than half
COLOURED[60:, :35] = (128, 128, 128)
COLOURED[60:, 35:] = (127, 127, 127)


def file(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def diffusers_mask(picture: Image.Image, size: tuple[int, int]) -> Pixels:
    processor = VaeImageProcessor(vae_scale_factor=8, do_normalize=False, do_binarize=True, do_convert_grayscale=True)
    tensor = processor.preprocess(picture, width=size[0], height=size[1])
    assert tensor.shape == (1, 1, size[1], size[0])
    return (tensor[0, 0].numpy() * 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (160, 96), (128, 128), (200, 72), (512, 384)])
@pytest.mark.parametrize("pixels", [NOISE, GREY_NOISE, COLOURED], ids=["noise", "grey", "coloured"])
def test_a_mask_is_fitted_as_diffusers_does(pixels: Pixels, size: tuple[int, int]) -> None:
    ours = fit_mask(encode(pixels), size)
    np.testing.assert_array_equal(ours, diffusers_mask(Image.fromarray(pixels), size))
    assert set(np.unique(ours)) == {0, 255}


@pytest.mark.parametrize("mode", ["L", "1"])
def test_a_mask_in_grey_or_black_and_white_is_fitted_the_same(mode: str) -> None:
    picture = Image.fromarray(GREY_NOISE).convert(mode)
    expected = diffusers_mask(picture.convert("L"), (128, 72))
    np.testing.assert_array_equal(fit_mask(file(picture), (128, 72)), expected)


def test_what_is_transparent_is_to_be_repainted() -> None:
    mask = np.zeros((64, 64, 4), np.uint8)
    mask[..., 3] = 255
    mask[:, 32:, 3] = 0
    expected = np.zeros((64, 64), np.uint8)
    expected[:, 32:] = 255
    np.testing.assert_array_equal(fit_mask(file(Image.fromarray(mask)), (64, 64)), expected)


@pytest.mark.parametrize("content", [b"", b"GIF89a", encode(NOISE)[:200]], ids=["empty", "other format", "truncated"])
def test_a_broken_mask_is_named(content: bytes) -> None:
    with pytest.raises(InvalidInput) as error:
        fit_mask(content, (64, 64), "mask")
    assert error.value.field == "mask"


def make_inpaint_condition(picture: Pixels, mask: Pixels) -> np.ndarray:
    """The rule of diffusers' documentation for control_v11p_sd15_inpaint, on arrays."""
    image = picture.astype(np.float32) / 255.0
    image[mask.astype(np.float32) / 255.0 > 0.5] = -1.0
    return image


def as_the_graph_does(hint: Pixels) -> np.ndarray:
    return np.where(hint[..., 3:] >= 128, np.float32(-1), hint[..., :3].astype(np.float32) / 255.0)


@pytest.mark.parametrize("auto_hint", [True, False])
def test_an_inpaint_hint_says_what_diffusers_condition_says(auto_hint: bool) -> None:
    picture, size = encode(NOISE), (160, 96)
    hint = make_hint("inpaint", picture, auto_hint, {}, size, mask=encode(GREY_NOISE))
    assert hint.shape == (96, 160, 4)
    mask = fit_mask(encode(GREY_NOISE), size)
    np.testing.assert_array_equal(hint[..., 3], mask)
    assert not hint[mask > 0, :3].any()
    np.testing.assert_array_equal(as_the_graph_does(hint), make_inpaint_condition(NOISE, mask))


def test_inpaint_takes_its_own_mask_before_the_request_s() -> None:
    shared = np.zeros((64, 64), np.uint8)
    shared[:8] = 255
    own = np.zeros((64, 64, 3), np.uint8)
    own[56:] = 255
    both = make_hint("inpaint", encode(NOISE), True, {}, (64, 64), mask=encode(own), shared_mask=shared)
    np.testing.assert_array_equal(both[..., 3], own[..., 0])
    without = make_hint("inpaint", encode(NOISE), True, {}, (64, 64), shared_mask=shared)
    np.testing.assert_array_equal(without[..., 3], shared)


def test_inpaint_without_mask_asks_for_one() -> None:
    with pytest.raises(InvalidInput, match="needs a mask") as error:
        make_hint("inpaint", encode(NOISE), True, {}, (64, 64), "controls[1]")
    assert error.value.field == "controls[1].mask"


def test_a_kind_that_reads_no_mask_refuses_its_own_and_ignores_the_request_s() -> None:
    with pytest.raises(InvalidInput, match="does not use a mask: remove it; kinds that use one: inpaint") as error:
        make_hint("canny", encode(NOISE), True, {}, (64, 64), "controls[0]", mask=encode(NOISE))
    assert error.value.field == "controls[0].mask"
    shared = np.full((64, 64), 255, np.uint8)
    assert make_hint("canny", encode(NOISE), True, {}, (64, 64), shared_mask=shared).shape == (64, 64, 3)


def test_marking_leaves_the_picture_alone() -> None:
    picture = NOISE.copy()
    mark(picture, np.full((96, 160), 255, np.uint8))
    np.testing.assert_array_equal(picture, NOISE)
