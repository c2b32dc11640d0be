"""Request bodies: JSON that is none, forms in both spellings."""

import time

import pytest

from gateway.web.json_bodies import json_object
from gateway.web.malformed import Malformed
from gateway.web.multipart import multipart
from gateway.web.urlencoded import urlencoded

BOUNDARY = "multipart/form-data; boundary=x"


def part(head: str, content: bytes) -> bytes:
    return b"--x\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + content + b"\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        json_object(body)


def test_of_repeated_names_the_last_one_counts() -> None:
    assert json_object(b'{"a": 1, "a": 2}') == {"a": 2}
    assert urlencoded(b"a=1&a=2&b=&c=%20x+y") == {"a": "2", "b": "", "c": " x y"}


@pytest.mark.parametrize("body", [b"\xff", b"a=%ff", b"&".join(b"a%d=1" % number for number in range(300))])
def test_forms_that_can_not_be_read_are_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        urlencoded(body)


def test_a_multipart_form_has_text_and_files() -> None:
    file = bytes(range(256)) + b"\r\n--not the end"
    body = (
        part('name="prompt"', "a böat".encode())
        + part('name="init_image"; filename="a.png"', file)
        + part('name="prompt"', b"later")
        + b"--x--\r\n"
    )
    assert multipart(BOUNDARY, body) == {"prompt": "later", "init_image": file}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", part('name="a"', b"1") + b"--x--"),
        (BOUNDARY, b"nothing of the kind"),
        (BOUNDARY, b""),
        (BOUNDARY, part("filename=a", b"1") + b"--x--"),
        (BOUNDARY, part('name="a"', b"\xff") + b"--x--"),
        (BOUNDARY, part('name="a"', b"1") * 201 + b"--x--"),
        (BOUNDARY, part('name="a"', b"1")),
        (BOUNDARY, b"--x\r\nX: " + b"y" * 9000 + b"\r\n" + part('name="a"', b"1") + b"--x--"),
        ("multipart/form-data; boundary=" + "b" * 71, b"--" + b"b" * 71 + b"--"),
    ],
)
def test_multipart_forms_that_can_not_be_read_are_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(Malformed):
        multipart(content_type, body)


def test_a_form_in_a_form_is_a_field_like_any_other() -> None:
    inner = b"--y\r\n\r\n1\r\n--y--"
    body = part('name="a"\r\nContent-Type: multipart/mixed; boundary=y', inner) + b"--x--"
    assert multipart(BOUNDARY, body) == {"a": inner.decode()}


def test_millions_of_lines_take_no_longer_than_one() -> None:
    lines = b"\r\n" * 4_000_000
    began = time.process_time()
    assert multipart(BOUNDARY, part('name="a"', lines) + b"--x--")["a"] == lines.decode()
    assert time.process_time() - began < 2
