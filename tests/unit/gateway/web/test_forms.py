"""Forms while they arrive: one field is found without decoding the others, in whatever pieces they come."""

from itertools import pairwise
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.malformed import Malformed
from gateway.web.multipart import LONGEST_HEAD, MOST_PARAMETERS, MultipartScan, multipart
from gateway.web.urlencoded import MOST_FORM_FIELDS, UrlencodedScan, urlencoded

TYPE = "multipart/form-data; boundary=x"
NAMED = b"Content-Disposition: form-data; name="
Scan = UrlencodedScan | MultipartScan


def fed(scan: Scan, body: bytes, cuts: list[int]) -> Scan:
    for begin, end in pairwise([0, *sorted({cut % (len(body) + 1) for cut in cuts}), len(body)]):
        scan.feed(body[begin:end])
    scan.finish()
    return scan


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
pairs = st.lists(st.tuples(st.one_of(st.sampled_from(["key", "kez", "keyy"]), texts), texts, st.booleans()), max_size=6)
cuts = st.lists(st.integers(0, 5000), max_size=8)


@given(pairs, cuts)
def test_urlencoded_fields_are_read_as_the_standard_library_reads_them(
    sent: list[tuple[str, str, bool]], cuts: list[int]
) -> None:
    body = "&".join(
        f"{quote_plus(name) if plus else quote(name, safe='')}={quote(value)}" for name, value, plus in sent
    )
    fields = dict(parse_qsl(body, keep_blank_values=True))
    assert urlencoded(body.encode()) == fields
    scan = fed(UrlencodedScan("key"), body.encode(), cuts)
    assert scan.found == (fields.get("key") or None) and scan.fields(body.encode()) == fields


@given(st.binary(max_size=120), cuts)
def test_whatever_bytes_come_are_read_as_the_standard_library_reads_them(body: bytes, cuts: list[int]) -> None:
    try:
        expected = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        with pytest.raises(Malformed):
            urlencoded(body)
    else:
        if not body.startswith(b"\xef\xbb\xbf"):
            assert fed(UrlencodedScan("key"), body, cuts).fields(body) == expected


@given(pairs, cuts)
def test_the_part_is_found_in_whatever_pieces_it_comes(sent: list[tuple[str, str, bool]], cuts: list[int]) -> None:
    def part(name: str, value: str, is_file: bool) -> bytes:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').encode()
        return b'--x\r\n%b"%b"%b\r\n\r\n%b\r\n' % (NAMED, quoted, b"; filename=a" if is_file else b"", value.encode())

    sent = [(name, value, is_file) for name, value, is_file in sent if name.isprintable() and "\r\n--x" not in value]
    body = b"".join(part(*one) for one in sent) + b"--x--\r\n"
    expected = {name: value.encode() if is_file else value for name, value, is_file in sent}
    texts = [value for name, value, is_file in sent if name == "key" and not is_file]
    scan = fed(MultipartScan(TYPE, "key"), body, cuts)
    assert scan.found == ((texts or [""])[-1] or None)
    if sent:
        assert scan.fields(body) == expected == multipart(TYPE, body)


def test_a_large_field_with_many_escapes_is_decoded_whole() -> None:
    value = "+/=%ä" * 200_000
    for escaped in (quote(value, safe=""), quote_plus(value)):
        assert urlencoded(b"a=" + escaped.encode() + b"&b=1") == {"a": value, "b": "1"}


BEYOND = {
    "fields": b"a=1&" * 1_000_000,
    "empty fields": b"&" * 1_000_000,
}


@pytest.mark.parametrize("body", BEYOND.values(), ids=BEYOND)
def test_more_fields_than_a_form_has_are_refused_in_the_first_piece(body: bytes) -> None:
    scan = UrlencodedScan("key")
    with pytest.raises(Malformed, match=str(MOST_FORM_FIELDS)):
        scan.feed(body[:65_536])


def pieces_of_a_name(count: int) -> bytes:
    return b"Content-Disposition: form-data" + b"".join(b"; n*%d=%%41" % n for n in range(count)) + b"; name=x"


HEADS = {
    "pieces of a name": pieces_of_a_name(650),
    "as many as there may be": pieces_of_a_name(MOST_PARAMETERS + 1),
    "long": NAMED + b"x; filename=" + b"y" * LONGEST_HEAD,
    "many parameters": NAMED + b"x" + b"; a%d=1" * 300 % tuple(range(300)),
    "semicolons": NAMED + b"x" + b";" * 100,
    "an open quote": NAMED + b'"x',
    "lines": b"A: b\r\n" * 30 + NAMED + b"x",
}  # fmt: skip


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_head_that_no_client_sends_is_refused_with_the_bound(head: bytes) -> None:
    scan = MultipartScan(TYPE, "key")
    with pytest.raises(Malformed, match=f"{LONGEST_HEAD} bytes, 16 lines and {MOST_PARAMETERS} parameters"):
        scan.feed(b"--x\r\n" + head + b"\r\n\r\n1\r\n--x--\r\n")


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=" + "b" * 71,
        "multipart/form-data" + "; a=b" * 5000 + "; boundary=x",
        "multipart/form-data" + "".join(f"; boundary*{n}=x" for n in range(700)),
        'multipart/form-data; boundary="' + "\\x" * 4000 + '"',
        "multipart/form-data; boundary=" + " " * 8000,
        "multipart/form-data;" * 400,
    ],
)
def test_a_content_type_that_no_client_sends_is_refused(content_type: str) -> None:
    with pytest.raises(Malformed):
        MultipartScan(content_type, "key")
