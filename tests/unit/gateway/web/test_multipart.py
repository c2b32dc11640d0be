"""Forms of multipart/form-data that somebody made to be misread, to be slow or to be large."""

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.malformed import Malformed
from gateway.web.multipart import LONGEST_FIELD, LONGEST_HEAD, MOST_HEAD_LINES, MultipartScan, multipart
from gateway.web.urlencoded import MOST_FORM_FIELDS

TYPE = "multipart/form-data; boundary=x"
END = b"--x--\r\n"
NAMED = "Content-Disposition: form-data; name="


def part(head: str | bytes, content: bytes = b"1") -> bytes:
    head = head.encode() if isinstance(head, str) else head
    return b"--x\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def read(*parts: bytes) -> dict[str, Any]:
    return multipart(TYPE, b"".join(parts) + END)


def seconds(content_type: str, body: bytes) -> float:
    """Of the processor's, for a body that is refused or not."""
    began = time.process_time()
    with contextlib.suppress(Malformed):
        multipart(content_type, body)
    return time.process_time() - began


@pytest.mark.parametrize(
    ("head", "fields"),
    [
        (f'{NAMED}"a"', {"a": "1"}),
        (f"{NAMED}a", {"a": "1"}),
        ('content-disposition:form-data;name="a"', {"a": "1"}),
        (f'{NAMED}"böat"', {"böat": "1"}),
        (f'{NAMED}"a\\"b"', {'a"b': "1"}),
        (f'{NAMED}""', {"": "1"}),
        (f'{NAMED}"a"; filename=""', {"a": b"1"}),
        (f'{NAMED}"a"; filename="a;name=b.png"', {"a": b"1"}),
        (f"{NAMED}\"a\"; filename*=utf-8''b%C3%B6.png", {"a": b"1"}),
        (f'{NAMED}"a"; filename*0="b"; filename*1=".png"', {"a": b"1"}),
        ("Content-Disposition: form-data; name*=utf-8''b%C3%B6", {"bö": "1"}),
        ("Content-Disposition: form-data; name*=iso-8859-1''b%F6", {"bö": "1"}),
        (f'{NAMED}"a"\r\nContent-Type: text/plain; name="a.txt"', {"a": b"1"}),
        (f'{NAMED}"a"\r\nContent-Disposition: form-data; name="b"', {"a": "1"}),
        (f'{NAMED}"a"; name="b"', {"a": "1"}),
        (f'{NAMED}"a"\r\nContent-Transfer-Encoding: base64', {"a": "1"}),
    ],
)
def test_names_and_files_are_known_however_they_are_written(head: str, fields: dict[str, Any]) -> None:
    assert read(part(head)) == fields


def test_a_name_that_is_not_utf8_is_a_name_that_nobody_knows() -> None:
    assert read(part(NAMED.encode() + b'"b\xf6"')) == {"b\ufffd": "1"}


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="x"',
        "Multipart/Form-Data; charset=utf-8; Boundary=x",
        "multipart/form-data; boundary=x; boundary=y",
    ],
)
def test_the_boundary_may_be_quoted(content_type: str) -> None:
    assert multipart(content_type, part(f'{NAMED}"a"') + END) == {"a": "1"}


def test_a_quoted_boundary_may_have_blanks_and_signs() -> None:
    boundary = "a b?='()+_,-./:c"
    body = part(f'{NAMED}"a"') + END
    assert multipart(
        f'multipart/form-data; boundary="{boundary}"', body.replace(b"--x", b"--" + boundary.encode())
    ) == {"a": "1"}


def test_what_stands_around_the_parts_counts_for_nothing() -> None:
    whole = b"words\r\nand --x\r\n" + part(f'{NAMED}"a"') + b"--x--words\r\n--x\r\n"
    assert multipart(TYPE, whole) == {"a": "1"}


@pytest.mark.parametrize("content", [b"--x", b"\r\n--y\r\n", b"\r\n-x", b"\n--x\n", b"--x--", b"\r", b"\r\n", b""])
def test_near_misses_of_the_boundary_are_content(content: bytes) -> None:
    assert read(part(f'{NAMED}"a"; filename="a"', content)) == {"a": content}


def test_boundaries_in_boundaries_are_content() -> None:
    depth = 50
    inner = b"1"
    for level in range(depth):
        y = b"y%d" % level
        inner = b"--%b\r\nContent-Type: multipart/mixed; boundary=y%d\r\n\r\n%b\r\n--%b--" % (y, level - 1, inner, y)
    assert read(part(f'{NAMED}"a"\r\nContent-Type: multipart/mixed; boundary=y{depth - 1}', inner)) == {
        "a": inner.decode()
    }


@pytest.mark.parametrize(
    "body",
    [
        part(f'{NAMED}"a"'),
        part(f'{NAMED}"a"') + b"--x",
        part(f'{NAMED}"a"') + b"--x-",
        part(f'{NAMED}"a"')[:-2],
        b"--x\r\n" + f'{NAMED}"a"'.encode() + b"\r\n",
        b"--x\r\n",
        b"--x--\r\n",
        b"--x \r\n" + part(f'{NAMED}"a"')[5:] + END,
        b"--x\n" + part(f'{NAMED}"a"')[5:] + END,
        part("Content-Disposition: form-data;\r\n name=a") + END,
        part("name=a") + END,
        part("Content-Type: text/plain") + END,
        part("Content-Disposition: form-data") + END,
        part("") + END,
        part(": form-data; name=a") + END,
        part("Content-Disposition: form-data; name*=idna''" + "%C3%B6" * 400) + END,
    ],
)
def test_what_is_cut_short_or_has_no_name_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        multipart(TYPE, body)


def test_bounds_hold_to_the_last_one() -> None:
    many = [part(f"{NAMED}a{number}") for number in range(MOST_FORM_FIELDS)]
    assert len(read(*many)) == MOST_FORM_FIELDS
    lines = f"{NAMED}a" + "\r\nX: y" * (MOST_HEAD_LINES - 1)
    assert read(part(lines)) == {"a": "1"}
    longest = f"{NAMED}a\r\nZ: "
    longest += "z" * (LONGEST_HEAD - len(longest))
    assert read(part(longest)) == {"a": "1"}
    for refused in ([*many, part(f"{NAMED}b")], [part(lines + "\r\nX: y")], [part(longest + "z")]):
        with pytest.raises(Malformed):
            read(*refused)


def test_a_field_is_at_most_as_large_as_a_picture_in_text() -> None:
    content = b"0" * LONGEST_FIELD
    assert len(read(part(f"{NAMED}a", content))["a"]) == LONGEST_FIELD
    with pytest.raises(Malformed):
        read(part(f"{NAMED}a", content + b"0"))


HEADS = {
    "semicolons": "Content-Disposition: form-data" + ";" * 8000,
    "semicolons in quotes": f'{NAMED}"' + ";" * 8000,
    "quotes": f'{NAMED}"' + '";"' * 2600,
    "escapes": NAMED + '"\\";' * 2000,
    "brackets": NAMED + "(" * 8000,
    "encoded words": f'{NAMED}"' + "=?utf-8?q?b?= " * 550 + '"',
    "pieces": "Content-Disposition: form-data" + "".join(f"; a*{number}=1" for number in range(700)),
    "parameters": "Content-Disposition: form-data" + "; a=1" * 1600,
    "blanks": "Content-Disposition:" + " " * 8000 + "form-data; name=a",
    "headers": "\r\n".join(["A:"] * 2000),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_no_head_takes_long(head: str) -> None:
    assert seconds(TYPE, part(head) * MOST_FORM_FIELDS + END) < 2
    assert seconds("multipart/form-data; boundary=x; " + head * 8, part(f"{NAMED}a") + END) < 2


MEGABYTES = 24 * 1024 * 1024
BODIES = {
    "parts": part(f"{NAMED}a") * 300_000,
    "boundaries": b"\r\n--x\r\n" * (MEGABYTES // 7),
    "near misses": part(f"{NAMED}a", b"\r\n--xy" * (MEGABYTES // 6)) + END,
    "half boundaries": part(f"{NAMED}a", b"\r\n-" * (MEGABYTES // 3)) + END,
    "blanks behind a boundary": part(f"{NAMED}a") + b"--x" + b" " * MEGABYTES,
    "blanks behind the first boundary": b"--x" + b" " * MEGABYTES,
    "a head without end": b"--x\r\nA: " + b"y" * MEGABYTES,
    "a head's name without end": b"--x\r\n" + b"A" * MEGABYTES,
    "line breaks": b"\r\n" * (MEGABYTES // 2),
    "hyphens": b"\r\n" + b"-" * MEGABYTES,
    "an end without end": part(f"{NAMED}a") + END + b"\r\n--x" * 190 + b"-" * MEGABYTES,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_body_takes_long(body: bytes) -> None:
    assert seconds(TYPE, body) < 2


@given(st.binary(max_size=400))
def test_whatever_is_sent_is_a_form_or_refused(body: bytes) -> None:
    for whole in (
        body,
        part(f"{NAMED}a", body) + END,
        part(body) + END,
        b"--x" + body,
        b"--x\r\n" + body + b"\r\n--x--",
    ):
        try:
            assert multipart(TYPE, whole)
        except Malformed as error:
            assert error.status == 400


@given(st.text(max_size=200))
def test_whatever_the_content_type_it_is_read_or_refused(words: str) -> None:
    for content_type in (words, "multipart/form-data;" + words, "multipart/form-data; boundary=" + words):
        with contextlib.suppress(Malformed):
            multipart(content_type, part(f"{NAMED}a") + END)


@given(
    st.dictionaries(
        st.text("abcdefghijklmnopqrstuvwxyz_0123456789[]", max_size=12),
        st.one_of(st.text(max_size=60), st.binary(max_size=60)),
        min_size=1,
        max_size=8,
    ),
    st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'+_-.", min_size=30, max_size=70),
)
def test_what_was_written_is_read(fields: dict[str, str | bytes], boundary: str) -> None:
    body = b""
    for name, value in fields.items():
        file = '; filename="a.bin"\r\nContent-Type: application/octet-stream' if isinstance(value, bytes) else ""
        content = value if isinstance(value, bytes) else value.encode()
        body += f'--{boundary}\r\n{NAMED}"{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    assert multipart(f'multipart/form-data; boundary="{boundary}"', body + f"--{boundary}--\r\n".encode()) == fields


@pytest.mark.parametrize(
    "start",
    [b"", b"words\r\n", b"words and --x\r\n\r", b"\r\n", b"--y\r\n\r\n"],
    ids=["", "words", "near", "line", "y"],
)
def test_however_it_is_cut_the_same_is_found(start: bytes) -> None:
    parts = part(f'{NAMED}"key"; filename="k"', b"\r\n--") + part(f"{NAMED}key", b"\r\n-secret\r\n--y")
    body = (
        start + (b"\r\n" if start and not start.endswith(b"\r\n") else b"") + parts + part(f"{NAMED}a") + END + b"more"
    )
    fields = {"key": "\r\n-secret\r\n--y", "a": "1"}
    cuts = [[body[:at], body[at:]] for at in range(len(body) + 1)]
    for pieces in [*cuts, [body[at : at + 1] for at in range(len(body))], [body]]:
        scan = MultipartScan(TYPE, "key")
        for piece in pieces:
            scan.feed(piece)
        assert scan.found == fields["key"]
        assert scan.fields(body) == fields


class Searched(bytes):
    """A chunk that counts how often it is searched from end to end."""

    searches = 0

    def find(self, *arguments: Any) -> int:
        self.searches += 1
        return super().find(*arguments)

    def count(self, *arguments: Any) -> int:
        self.searches += 1
        return super().count(*arguments)

    def __contains__(self, item: object) -> bool:
        self.searches += 1
        return super().__contains__(item)  # type: ignore[operator]


@pytest.mark.parametrize("line", [b"\r\n--", b"\r\n", b"\r", b"\r\n--y", b"x"])
def test_what_resembles_boundaries_is_searched_once_before_it_is_parsed(line: bytes) -> None:
    scan = MultipartScan(TYPE, "key")
    scan.feed(b"--x\r\n" + f"{NAMED}a".encode() + b"\r\n\r\n")
    for _ in range(3):
        chunk = Searched(line * 4096)
        scan.feed(chunk)
        assert chunk.searches <= 2
