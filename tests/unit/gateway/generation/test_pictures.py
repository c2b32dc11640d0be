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
        *(
            f"data:image/png{parameters};base64,{TEXT}"
            for parameters in (
                ";name=photo.png",
                ";name=my_photo(1).png",
                ";name=a%20b.png",
                ';name="a b.png"',
                ';name="a, b; c.png"',
                r';name="a\"b.png"',
                ';name=a"b.png',
                ";filename=r%C3%A9sum%C3%A9.png",
                ";filename*=UTF-8''r%C3%A9sum%C3%A9.png",
                ";name=résumé.png",
                ";charset=utf-8;name=a.png",
                "; name=a.png ",
                ";name=" + "%E4%BD%A0" * 80 + ".png",
            )
        ),
        f"data:image/png; base64 ,{TEXT}",
        f"\n data:application/octet-stream;base64,{TEXT}",
        f"data:image/jpg;BASE64,{TEXT}",
        f"data:image/png;base64,\n{base64.encodebytes(PNG).decode()}",
        TEXT.rstrip("="),
        TEXT + "==",
        f"data:image/png;base64,{TEXT.rstrip('=')}",
        TEXT.replace("+", "-").replace("/", "_").rstrip("="),
        TEXT.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
        TEXT[:40] + " " + TEXT[40:],
        " ".join(TEXT[at : at + 16] for at in range(0, len(TEXT), 16)),
        "\t" + "\n\t".join(TEXT[at : at + 20] for at in range(0, len(TEXT), 20)),
    ],
)
async def test_every_spelling_of_base64_gives_the_file(pictures: Pictures, sent: str) -> None:
    assert await pictures.read(sent, "image") == PNG


class _Recording(Fetcher):
    """Records the URLs that it is asked for, and has a picture at each."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def fetch(self, url: str, field: str) -> bytes:
        self.asked.append(url)
        return PNG


@pytest.mark.parametrize("around", ["", " ", "\r\n", "\u00a0", "\u2003\u3000", "\u2028\t"])
async def test_blanks_of_every_kind_around_a_url_are_no_part_of_it(around: str) -> None:
    fetcher = _Recording()
    assert await Pictures(fetcher).read(f"{around}https://a.example/x.png{around}", "image") == PNG
    assert fetcher.asked == ["https://a.example/x.png"]


async def test_the_file_itself_is_taken(pictures: Pictures) -> None:
    assert await pictures.read(PNG, "image") == PNG


@pytest.mark.parametrize(
    "sent",
    [
        TEXT[:-3] + "*" + TEXT[-2:],
        TEXT + "A",
        "data:image/png," + TEXT,
        'data:image/svg+xml,<svg href="data:image/png;base64,' + TEXT,
        "data:" + ";a=b" * 2000 + ";base64," + TEXT,
        "ftp://example.org/a.png",
        "file:///etc/passwd",
        "é" * 64,
    ],
)
async def test_broken_spellings_are_refused(pictures: Pictures, sent: str) -> None:
    with pytest.raises(InvalidInput, match="init_image") as caught:
        await pictures.read(sent, "init_image")
    assert caught.value.field == "init_image"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("blob:https://app.example/1", "a URL of the scheme 'blob'; pictures are read from http, https and data URLs"),
        ("http:example.org/a.png", "a URL without a host; it must begin with http:// and the host's name"),
        ("HTTPS:/example.org/a.png", "a URL without a host; it must begin with https://"),
        ("iVBO*w0K", "neither an http(s) URL, a data URL nor valid base64"),
        ("/home/me/a.png", "looks like the path of a file"),
        (r"C:\Users\me\a.png", "looks like the path of a file"),
        ("photo.jpg", "looks like the path of a file"),
        ("data:image/png,%89PNG", "a data URL without `;base64`"),
        ("iVBO*w0K", "character 5 is '*'"),
        ("iVBOR", "it has 5 characters, one too many or several too few"),
    ],
)
async def test_what_is_wrong_is_said(pictures: Pictures, sent: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await pictures.read(sent, "image")
    assert caught.value.message.startswith("image ") and said in caught.value.message


@pytest.mark.parametrize("sent", ["http://example.org/a.png", " https://example.org/a.png", "http:a", "ftp://a/b.png"])
def test_a_field_of_base64_alone_does_not_offer_urls(sent: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_base64(sent, "image")
    scheme = sent.strip().partition(":")[0]
    assert f"a URL of the scheme {scheme!r}, and URLs are not fetched for it; send the" in caught.value.message
    assert "read from" not in caught.value.message
    with pytest.raises(InvalidInput, match="image is neither a data URL nor valid base64: character 5"):
        decode_base64("iVBO*w0K", "image")


def test_plus_signs_that_a_form_has_turned_into_blanks_are_plus_signs_again() -> None:
    content = b"\x00" + bytes.fromhex("00fbefbe") * 9 + b"\x00"
    text = base64.b64encode(content).decode()
    assert text.count("+") > 8
    assert decode_base64(text.replace("+", " "), "image") == content


def test_the_head_of_a_data_url_takes_no_longer_than_its_length() -> None:
    with pytest.raises(InvalidInput):
        decode_base64("data:" + ';a="' * 1_000_000, "image")


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
