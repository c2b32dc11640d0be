import io

import numpy as np
import pytest
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from mesh.errors import InvalidInput
from mesh.pictures import Pixels, encode
from preprocess_svc.fitting import fitted_mask
from preprocess_svc.masks import fit_mask, mark
from preprocess_svc.remarks import on_mask
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


def on_transparent(light: int, opacity: int = 255) -> Image.Image:
    """A square on a transparent ground, as a canvas of a web page exports it."""
    mask = np.zeros((64, 64, 4), np.uint8)
    mask[16:40, 16:40] = (light, light, light, opacity)
    return Image.fromarray(mask)


def paletted(picture: Image.Image) -> Image.Image:
    """The same with a palette that has one transparent colour."""
    small = Image.fromarray((np.asarray(picture)[..., 3] > 0).astype(np.uint8)).convert("P")
    small.putpalette([0, 255, 0, 255, 255, 255])
    small.info["transparency"] = 0
    return small


@pytest.mark.parametrize("format", ["PNG", "WEBP", "palette"])
def test_a_mask_on_transparent_ground_is_the_mask_on_black(format: str) -> None:
    picture = on_transparent(255)
    solid = Image.new("RGBA", picture.size, "black")
    solid.alpha_composite(picture)
    out = io.BytesIO()
    sent = paletted(picture) if format == "palette" else picture
    sent.save(out, "PNG" if format == "palette" else format, lossless=True)
    ours = fit_mask(out.getvalue(), (96, 64))
    np.testing.assert_array_equal(ours, fit_mask(file(solid.convert("RGB")), (96, 64)))
    assert ours.any() and not ours.all()


def test_light_times_opacity_decides() -> None:
    assert fit_mask(file(on_transparent(255, 140)), (64, 64))[20, 20] == 255
    assert fit_mask(file(on_transparent(255, 100)), (64, 64))[20, 20] == 0
    assert fit_mask(file(on_transparent(140, 200)), (64, 64))[20, 20] == 0


def noted(picture: Image.Image) -> tuple[str, ...]:
    return on_mask(fitted_mask(file(picture), (64, 64), field="mask"))


def test_a_mask_that_marks_something_needs_no_note() -> None:
    assert noted(on_transparent(255)) == ()
    assert noted(Image.fromarray(GREY_NOISE)) == ()


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Image.new("L", (64, 64)), "marks nothing to repaint: its brightest value is 0 of 255"),
        (Image.fromarray((GREY_NOISE[..., 0] > 128).astype(np.uint8)), "its brightest value is 1 of 255"),
        (Image.new("L", (64, 64), 100), "its brightest value is 100 of 255"),
        (Image.new("L", (64, 64), 255), "marks 100 % of the picture"),
        (on_transparent(0), "are transparent and count as black"),
        # A hole for what is to be edited, in a black sheet and in a white one.
        (Image.fromarray(255 - np.asarray(on_transparent(255))).convert("LA"), "count as black"),
    ],
    ids=["black", "0 and 1", "grey", "white", "black strokes", "hole"],
)
def test_a_mask_that_says_nothing_or_the_contrary_is_said(picture: Image.Image, words: str) -> None:
    assert any(words in note for note in noted(picture))


def test_one_pixel_of_many_is_nearly_nothing() -> None:
    speck = np.zeros((64, 64), np.uint8)
    speck[5, 5] = 255
    assert "marks nearly nothing to repaint: only 0.024 %" in noted(Image.fromarray(speck))[0]


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
