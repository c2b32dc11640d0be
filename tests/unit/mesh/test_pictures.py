import io
import re
import resource
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mesh import pictures
from mesh.errors import InvalidInput

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (40, 56, 3), np.uint8)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def declared_png(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds no pixels for it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_lossless_round_trip(format: str) -> None:
    content = saved(Image.fromarray(NOISE), format, lossless=True)
    assert pictures.sniff(content) == (format, 56, 40)
    np.testing.assert_array_equal(pictures.decode(content), NOISE)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_encode_names_its_size_in_the_header(format: pictures.Format) -> None:
    content = pictures.encode(NOISE, format)
    assert pictures.sniff(content) == (format, 56, 40)
    smooth = np.full((32, 32, 3), 117, np.uint8)
    assert np.abs(pictures.decode(pictures.encode(smooth, format)).astype(int) - 117).max() <= 2


def test_progressive_and_exif_jpeg_are_sniffed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    content = saved(Image.fromarray(NOISE), "JPEG", progressive=True, exif=exif, quality=95)
    assert pictures.sniff(content) == ("JPEG", 56, 40)
    assert pictures.decode(content).shape == (56, 40, 3)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_upright_size_is_that_of_the_decoded_picture(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(NOISE), format, exif=exif)
    width, height = pictures.upright_size(content)
    assert pictures.decode(content).shape == (height, width, 3)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_file_that_is_cut_off_is_refused_before_any_decoder(format: str) -> None:
    content = saved(Image.fromarray(NOISE), format)
    for cut in (*range(16, len(content), 97), len(content) - 3, len(content) - 1):
        with pytest.raises(InvalidInput, match="cannot identify image file in image"):
            pictures.check(content[:cut])


def _of_fewer_rows(mode: str, interlaced: bool) -> bytes:
    """A PNG of 48x64 pixels whose header says 48x640."""
    tall = saved(Image.fromarray(np.resize(NOISE, (640, 48, 3))).convert(mode), "PNG")
    few = saved(Image.fromarray(np.resize(NOISE, (64, 48, 3))).convert(mode), "PNG")
    if interlaced:
        few = few.replace(few[12:33], _interlaced(few[12:33])[0:21])
        tall = tall.replace(tall[12:33], _interlaced(tall[12:33])[0:21])
    return few.replace(few[12:33], tall[12:33])


def _interlaced(head: bytes) -> bytes:
    body = head[:16] + b"\1"
    return body + zlib.crc32(body).to_bytes(4, "big")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_a_png_with_fewer_rows_than_its_header_says_is_refused(mode: str, interlaced: bool) -> None:
    content = _of_fewer_rows(mode, interlaced)
    assert pictures.check(content) == ("PNG", 48, 640)
    with pytest.raises(InvalidInput, match="broken or truncated"):
        pictures.decode(content)


def test_a_picture_may_end_in_black() -> None:
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16"):
        for side in ((1, 1), (5, 3), (48, 64)):
            assert not pictures.decode(saved(Image.new("RGB", side).convert(mode), "PNG")).any()


def test_a_jpeg_whose_header_says_far_more_than_its_data_is_refused() -> None:
    content = saved(Image.fromarray(NOISE), "JPEG")
    at = content.index(b"\xff\xc0")
    lying = content[: at + 5] + (4000).to_bytes(2, "big") * 2 + content[at + 9 :]
    with pytest.raises(InvalidInput, match="4000x4000 pixels, for which its data are too few"):
        pictures.check(lying)
    for options in ({"progressive": True}, {"optimize": True}, {"progressive": True, "subsampling": 2, "quality": 1}):
        for mode in ("L", "RGB", "CMYK"):
            assert pictures.check(saved(Image.new(mode, (2000, 2000)), "JPEG", **options))[1:] == (2000, 2000)


def test_a_jpeg_of_too_many_segments_is_called_one() -> None:
    content = saved(Image.fromarray(NOISE), "JPEG")
    with pytest.raises(InvalidInput, match="no size is in the first 8192 segments of this JPEG"):
        pictures.check(content[:2] + b"\xff\xe9\0\3a" * 8193 + content[2:])


def test_transparency_lies_over_white() -> None:
    layer = np.zeros((8, 8, 4), np.uint8)
    layer[:, :4] = (10, 20, 30, 255)
    picture = pictures.decode(saved(Image.fromarray(layer), "PNG"))
    assert (picture[:, :4] == (10, 20, 30)).all()
    assert (picture[:, 4:] == 255).all()


def test_grey_palette_and_sixteen_bit_become_rgb() -> None:
    grey = Image.fromarray(NOISE[..., 0])
    np.testing.assert_array_equal(pictures.decode(saved(grey, "PNG")), np.repeat(NOISE[..., :1], 3, 2))
    assert pictures.decode(saved(Image.fromarray(NOISE).convert("P"), "PNG")).shape == (40, 56, 3)
    deep = Image.fromarray((NOISE[..., 0].astype(np.uint16) << 8) + 3)
    np.testing.assert_array_equal(pictures.decode(saved(deep, "PNG"))[..., 0], NOISE[..., 0])


def test_a_hundred_megapixels_are_refused_before_any_decoder() -> None:
    content = declared_png(10_000, 10_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(InvalidInput, match="10000x10000 pixels"):
        pictures.decode(content)
    assert time.process_time() - began < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not a picture</html>",
        saved(Image.fromarray(NOISE), "GIF"),
        saved(Image.fromarray(NOISE), "BMP"),
        saved(Image.fromarray(NOISE), "PNG")[:200],
        saved(Image.fromarray(NOISE), "JPEG")[:60],
        declared_png(64, 64),
        declared_png(0, 10),
        b"\xff\xd8\xff" + b"\xff" * 100_000,
        b"RIFF\0\0\0\0WEBPVP8 " + bytes(14),
    ],
)
def test_what_is_no_picture_gets_one_clear_sentence(content: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        pictures.decode(content, field="init_image")
    assert caught.value.field == "init_image"
    assert not re.search(r"\b0x[0-9a-f]{4}", caught.value.message)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["PNG", "JPEG", "WEBP"]), st.integers(0, 400))
def test_broken_bytes_never_escape_as_another_error(noise: bytes, format: str, at: int) -> None:
    content = bytearray(saved(Image.fromarray(NOISE), format))
    content[at : at + len(noise)] = noise
    try:
        picture = pictures.decode(bytes(content))
    except InvalidInput:
        return
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3


def on_clear(light: int) -> Image.Image:
    layer = np.zeros((8, 8, 4), np.uint8)
    layer[2:5, 2:5] = (light, light, light, 255)
    return Image.fromarray(layer)


@pytest.mark.parametrize(
    ("ground", "light", "under"),
    [
        (pictures.Ground.WHITE, 255, 255),
        (pictures.Ground.BLACK, 255, 0),
        (pictures.Ground.BLACK, 20, 0),
        (pictures.Ground.STROKES, 255, 0),
        (pictures.Ground.STROKES, 20, 255),
    ],
)
@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_the_ground_is_that_of_the_role(format: str, ground: pictures.Ground, light: int, under: int) -> None:
    picture = pictures.decode(saved(on_clear(light), format, lossless=True), ground=ground)
    assert (picture[0, 0].tolist(), picture[3, 3].tolist()) == ([under] * 3, [light] * 3)


def test_what_is_opaque_has_no_ground() -> None:
    for ground in pictures.Ground:
        np.testing.assert_array_equal(pictures.decode(saved(Image.fromarray(NOISE), "PNG"), ground=ground), NOISE)


def test_sixteen_bits_may_have_a_transparent_value() -> None:
    deep = np.full((8, 8), 0x1234, np.uint16)
    deep[0, 0] = 0x1235
    picture = pictures.decode(saved(Image.fromarray(deep), "PNG", transparency=0x1234))
    assert (picture[0, 0].tolist(), picture[1, 1].tolist()) == ([0x12] * 3, [255] * 3)


def test_traits_say_what_a_picture_was_like() -> None:
    assert pictures.inspect(saved(Image.fromarray(NOISE), "JPEG"))[1] == pictures.Traits()
    _, traits = pictures.inspect(saved(on_clear(255), "PNG"))
    assert (traits.clear, traits.light, traits.deepest) == (1 - 9 / 64, 1.0, None)
    deep = np.full((8, 8), 4321, np.uint16)
    assert pictures.inspect(saved(Image.fromarray(deep), "PNG"))[1].deepest == 4321
