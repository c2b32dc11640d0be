"""Containers read without decoding a pixel: orientation from every carrier, bounds, contradictions, the end."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from mesh import pictures
from mesh.containers import accepted, examine, needed, upright_size
from mesh.containers.jpeg import MOST_SCANS
from mesh.containers.layout import MOST_PIECES
from mesh.errors import InvalidInput
from tests.rigs import hostile_pictures as made
from tests.rigs.hostile_pictures import (
    NOISE,
    chunk,
    exif,
    itxt,
    jpeg_with,
    png_with,
    raw_profile,
    segment,
    webp_with,
    xmp,
)

_XAP = b"http://ns.adobe.com/xap/1.0/\0"
STANDARD = {"PNG": "PNG", "JPEG": "JPEG", "WEBP": "WEBP"}

TURNED = {
    "jpeg exif": jpeg_with(segment(0xE1, b"Exif\0\0" + exif(6))),
    "jpeg exif behind another": jpeg_with(segment(0xE1, b"other"), segment(0xE1, b"Exif\0\0" + exif(6))),
    "jpeg xmp": jpeg_with(segment(0xE1, _XAP + xmp(6))),
    "jpeg xmp element": jpeg_with(segment(0xE1, _XAP + b"<tiff:Orientation> 6 </tiff:Orientation>")),
    "jpeg xmp in single quotes": jpeg_with(segment(0xE1, _XAP + b"<a tiff:Orientation = '6'/>")),
    "jpeg xmp other prefix": jpeg_with(
        segment(0xE1, _XAP + b'<a xmlns:t="http://ns.adobe.com/tiff/1.0/" t:Orientation="6"/>')
    ),
    "jpeg exif without, xmp with": jpeg_with(segment(0xE1, b"Exif\0\0" + exif(0)), segment(0xE1, _XAP + xmp(6))),
    "jpeg both, exif counts": jpeg_with(segment(0xE1, _XAP + xmp(3)), segment(0xE1, b"Exif\0\0" + exif(6))),
    "png exif": png_with(chunk(b"eXIf", exif(6))),
    "png exif behind pixels": png_with(chunk(b"eXIf", exif(6)), behind=True),
    "png xmp": png_with(itxt(xmp(6))),
    "png xmp packed": png_with(itxt(xmp(6), packed=True)),
    "png xmp behind pixels": png_with(itxt(xmp(6)), behind=True),
    "png raw profile": png_with(raw_profile(b"Exif\0\0" + exif(6))),
    "png raw profile app1": png_with(raw_profile(b"Exif\0\0" + exif(6), b"APP1")),
    "png raw profile xmp": png_with(raw_profile(xmp(6), b"xmp")),
    "webp exif": webp_with((b"EXIF", exif(6)), flags=8),
    "webp exif with head": webp_with((b"EXIF", b"Exif\0\0" + exif(6)), flags=8),
    "webp xmp": webp_with((b"XMP ", xmp(6)), flags=4),
}


@pytest.mark.parametrize("content", TURNED.values(), ids=TURNED)
def test_pixels_and_size_are_turned_alike_whatever_says_so(content: bytes) -> None:
    assert upright_size(content) == (40, 56)
    lossless = content[:4] != b"\xff\xd8\xff\xe1"
    pixels = pictures.decode(content)
    assert pixels.shape == (56, 40, 3)
    if lossless:
        expected = np.rot90(NOISE, -1)
        assert np.abs(pixels.astype(int) - expected).mean() < (1 if content[:3] != b"\xff\xd8\xff" else 60)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_pillow_s(orientation: int) -> None:
    content = png_with(chunk(b"eXIf", exif(orientation)))
    picture = Image.fromarray(NOISE)
    picture.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(pictures.decode(content), np.asarray(ImageOps.exif_transpose(picture)))


@pytest.mark.parametrize(
    "content",
    [
        png_with(chunk(b"eXIf", exif(9))),
        png_with(chunk(b"eXIf", b"II*\0\xff\xff\xff\xff")),
        png_with(chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + b"\x0e\x01\x02\0" * 30)),
        # A directory that is its own next one.
        png_with(chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0\x08\0\0\0")),
        png_with(itxt(b"<!-- tiff:Orientation='6' -->")),
        png_with(itxt(b"xtiff:Orientation='6'")),
        png_with(itxt(b"tiff:Orientation='61'")),
        png_with(itxt(b"<!DOCTYPE a [<!ENTITY b '6'>]><a tiff:Orientation='&b;'/>")),
        png_with(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 2\nzz"))),
        jpeg_with(segment(0xE1, b"Exif\0\0MM")),
    ],
)
def test_what_is_no_orientation_turns_nothing(content: bytes) -> None:
    assert upright_size(content) == (56, 40)
    assert pictures.decode(content).shape == (40, 56, 3)


def _iend(content: bytes) -> int:
    return content.rindex(b"IEND") - 4


PNG = made.saved(NOISE, "PNG")
JPEG = made.saved(NOISE, "JPEG")
_SOF = JPEG.index(b"\xff\xc0")
_FRAME = JPEG[_SOF : _SOF + 19]
BOMB = zlib.compress(bytes(40_000_000))
REFUSED = {
    "a text that inflates": (png_with(chunk(b"zTXt", b"a\0\0" + BOMB)), "compressed texts"),
    "a profile that inflates": (png_with(chunk(b"iCCP", b"a\0\0" + BOMB)), "compressed texts"),
    "an international text that inflates": (png_with(itxt(bytes(40_000_000), packed=True)), "compressed texts"),
    "texts that inflate together": (
        png_with(*[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000)))] * 5),
        "compressed texts",
    ),
    "many chunks": (png_with(*[chunk(b"tEXt", b"")] * MOST_PIECES), "chunks"),
    "many empty pixels": (png_with(*[chunk(b"IDAT", b"")] * MOST_PIECES), "chunks"),
    "two headers": (png_with(PNG[8:33]), "header"),
    "a header of no kind": (PNG[:24] + b"\x03" + PNG[25:], "bit depth"),
    "another interlacing": (PNG[:28] + b"\x02" + PNG[29:], "interlacing"),
    "an unknown critical chunk": (png_with(chunk(b"CgBI", b"abcd")), "CgBI"),
    "many scans": (made.jpeg_of_scans(600), f"more than {MOST_SCANS} scans"),
    "two frames": (JPEG[:_SOF] + _FRAME + JPEG[_SOF:], "two headers"),
    "a frame behind the scan": (JPEG[:-2] + _FRAME + JPEG[-2:], "two headers"),
    "twelve bits": (JPEG[: _SOF + 4] + b"\x0c" + JPEG[_SOF + 5 :], "12 bits"),
    "no height": (JPEG[: _SOF + 5] + b"\0\0" + JPEG[_SOF + 7 :], "pixels"),
    "lossless": (JPEG[: _SOF + 1] + b"\xc3" + JPEG[_SOF + 2 :], "lossless"),
    "two components": (JPEG[: _SOF + 9] + b"\x02" + JPEG[_SOF + 10 :], "2 components"),
    "a second picture inside": (JPEG[:-2] + JPEG, "second picture"),
    "many segments": (jpeg_with(*[segment(0xFE, b"")] * MOST_PIECES), "cannot identify"),
    "many restarts": (JPEG[:-2] + b"\xff\xd0" * 400_000 + JPEG[-2:], "restarts"),
    "fill bytes": (b"\xff\xd8" + b"\xff" * 1_000_000, "cannot identify"),
    "another canvas": (made.riff(made.canvas(4000, 4000), *made.webp_chunks(webp_with())[1:]), "its data 56x40"),
    "a small canvas": (made.riff(made.canvas(5, 4), *made.webp_chunks(webp_with())[1:]), "its data 56x40"),
    "two at once": (webp_with(made.webp_chunks(webp_with())[1]), "two pictures"),
    "many of WebP's chunks": (webp_with(*[(b"abcd", b"")] * (MOST_PIECES + 2)), "chunks"),
    "two to the 31st": (PNG[:16] + struct.pack(">II", 1 << 31, 1 << 31) + PNG[24:], "pixels"),
}


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED)
def test_what_contradicts_itself_or_is_without_bounds_is_refused_before_any_decoder(content: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        examine(content, field="init_image")
    assert caught.value.field == "init_image" and len(caught.value.message) < 250
    with pytest.raises(InvalidInput):
        pictures.decode(content)


@pytest.mark.parametrize("end", [b"\xff", b"\xff\xff", b"\xff\x00", b"\xff\xe1", b"\xff\xe1\x00", b"\xff\xe1\x00\x00"])
def test_a_jpeg_that_ends_in_half_a_marker_is_no_crash(end: bytes) -> None:
    for start in (JPEG[:_SOF], JPEG[:-2]):
        try:
            assert examine(start + end).upright == (56, 40)
        except InvalidInput as error:
            assert "cannot identify" in error.message


def test_a_thumbnail_and_scans_that_encoders_write_are_taken() -> None:
    small = made.saved(NOISE[:8, :8], "JPEG")
    content = jpeg_with(segment(0xE1, b"Exif\0\0" + exif(1) + small), progressive=True, subsampling=0)
    assert upright_size(content) == (56, 40)
    assert examine(made.jpeg_of_scans(MOST_SCANS)).width == 56


@pytest.mark.parametrize("format", STANDARD)
@pytest.mark.parametrize(
    "rest", [b"\0", b"<script>", PNG, JPEG, bytes(100_000)], ids=["0", "html", "png", "jpeg", "0s"]
)
def test_what_is_behind_the_end_is_left_out(format: str, rest: bytes) -> None:
    content = made.saved(NOISE, format)
    assert accepted(content + rest) == content
    np.testing.assert_array_equal(pictures.decode(content + rest), pictures.decode(content))


@pytest.mark.parametrize("format", STANDARD)
def test_no_metadata_reaches_a_decoder(format: str) -> None:
    secret = b"not for a decoder"
    content = {
        "PNG": png_with(chunk(b"tEXt", b"a\0" + secret), chunk(b"iCCP", b"a\0\0" + secret)),
        "JPEG": jpeg_with(segment(0xE1, secret), segment(0xE2, secret), segment(0xFE, secret)),
        "WEBP": webp_with((b"ICCP", secret), (b"EXIF", secret)),
    }[format]
    assert secret in content
    assert secret not in needed(content, examine(content))
    assert pictures.decode(content).shape == (40, 56, 3)


def test_of_an_animation_the_first_picture_is_decoded() -> None:
    frames = [Image.fromarray(np.full((40, 56, 3), value, np.uint8)) for value in (10, 200, 90)]
    for format in ("PNG", "WEBP"):
        content = made.saved(frames[0], format, save_all=True, append_images=frames[1:], duration=40, lossless=True)
        assert (pictures.decode(content) == 10).all()


def test_a_first_picture_that_does_not_cover_the_canvas_lies_on_the_ground() -> None:
    pixels = made.webp_chunks(made.saved(np.full((8, 16, 3), 50, np.uint8), "WEBP", lossless=True))[0]
    place = b"".join(value.to_bytes(3, "little") for value in (10, 4, 15, 7)) + b"\x28\0\0\0"
    body = place + pixels[0] + struct.pack("<I", len(pixels[1])) + pixels[1] + b"\0" * (len(pixels[1]) & 1)
    content = made.riff(made.canvas(56, 40, 2), (b"ANIM", bytes(6)), (b"ANMF", body))
    picture = pictures.decode(content)
    expected = np.full((40, 56, 3), 255, np.uint8)
    expected[8:16, 20:36] = 50
    np.testing.assert_array_equal(picture, expected)
    outside = made.riff(made.canvas(30, 10, 2), (b"ANIM", bytes(6)), (b"ANMF", body))
    with pytest.raises(InvalidInput, match="outside of its canvas"):
        examine(outside)
