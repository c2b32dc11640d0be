"""Picture fields: base64 in the spellings that clients send, refused before anything decodes a pixel."""

import base64
import struct
import zlib

import numpy as np
import pytest

from gateway.egress.fetch import Fetcher
from gateway.generation.pictures import Pictures, decode_base64
from mesh.errors import InvalidInput
from mesh.pictures import MAX_BYTES, encode

PNG = encode(np.zeros((8, 16, 3), np.uint8))
TEXT = base64.b64encode(PNG).decode()


@pytest.fixture
async def pictures() -> Pictures:
    return Pictures(Fetcher())


@pytest.mark.parametrize(
    "sent",
    [
        TEXT,
        f"data:image/png;base64,{TEXT}",
        f"DATA:IMAGE/PNG;BASE64,{TEXT}",
        f"data:image/png;charset=utf-8;base64,{TEXT}",
        f"data:;base64,{TEXT}",
        base64.encodebytes(PNG).decode(),
        f" {TEXT}\r\n",
    ],
)
async def test_every_spelling_of_base64_gives_the_file(pictures: Pictures, sent: str) -> None:
    assert await pictures.read(sent, "image") == PNG


async def test_the_file_itself_is_taken(pictures: Pictures) -> None:
    assert await pictures.read(PNG, "image") == PNG


@pytest.mark.parametrize(
    "sent",
    [
        TEXT[:-3] + "*" + TEXT[-2:],
        TEXT + "A",
        TEXT[:40] + " " + TEXT[40:],
        TEXT.replace("+", "-").replace("/", "_")[:40] + "_-_-",
        "data:image/png," + TEXT,
        "ftp://example.org/a.png",
        "file:///etc/passwd",
        "é" * 64,
    ],
)
async def test_broken_spellings_are_refused(pictures: Pictures, sent: str) -> None:
    with pytest.raises(InvalidInput, match="init_image") as caught:
        await pictures.read(sent, "init_image")
    assert caught.value.field == "init_image"


@pytest.mark.parametrize("sent", [None, "", 7, [], {}, True])
async def test_what_is_no_text_is_refused(pictures: Pictures, sent: object) -> None:
    with pytest.raises(InvalidInput, match="must be a picture"):
        await pictures.read(sent, "image")


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(64), b"<svg/>", b"<html>", PNG[:10], b"%!PS-Adobe-3.0 EPSF"])
async def test_what_is_no_picture_is_refused_with_one_text(pictures: Pictures, content: bytes) -> None:
    with pytest.raises(InvalidInput, match="cannot identify image file in image"):
        await pictures.read(base64.b64encode(content).decode(), "image")


async def test_a_small_file_that_declares_a_hundred_megapixels_is_refused(pictures: Pictures) -> None:
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    with pytest.raises(InvalidInput, match="10000x10000"):
        await pictures.read(base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk).decode(), "image")


def test_too_long_text_is_refused_before_it_is_decoded() -> None:
    # Not even base64: had it been decoded, that would have been the complaint.
    with pytest.raises(InvalidInput, match="larger than"):
        decode_base64("*" * ((MAX_BYTES + 3) // 3 * 4 + 4), "image")


def test_a_file_of_the_largest_size_passes() -> None:
    content = bytes(MAX_BYTES)
    assert decode_base64(base64.b64encode(content).decode(), "image") == content
