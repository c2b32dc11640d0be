"""JSON bodies while they arrive: what bounds them, and the one field that is found without building the others."""

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.json_bodies import DEEPEST, MOST_FIELDS, MOST_MARKS, MOST_OUTSIDE, JsonScan, json_object
from gateway.web.malformed import Malformed

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(-1e9, 1e9), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["key", "a", ""]), inner)),
    max_leaves=6,
)  # fmt: skip
names = st.one_of(st.sampled_from(["key", "ke", "keyy", "kéy", "\\", '"', "{"]), texts)


def scanned(body: bytes, *cuts: int) -> JsonScan:
    """What was found of `body` that arrives in pieces."""
    scan = JsonScan("key")
    for begin, end in pairwise([0, *sorted({cut % (len(body) + 1) for cut in cuts}), len(body)]):
        scan.feed(body[begin:end])
    return scan


def spelled(name: str, escaped: bool) -> str:
    return "".join(f"\\u{ord(one):04x}" for one in name) if escaped and name.isascii() else json.dumps(name)[1:-1]


@given(
    st.lists(st.tuples(names, values, st.booleans()), max_size=5),
    st.lists(st.integers(0, 10_000), max_size=8),
    st.sampled_from(["", " ", "\n\t"]),
    st.booleans(),
)
def test_the_field_is_found_as_a_parser_finds_it(
    pairs: list[tuple[str, Any, bool]], cuts: list[int], blank: str, ascii: bool
) -> None:
    fields = (
        f'{blank}"{spelled(name, escaped)}"{blank}:{blank}{json.dumps(value, ensure_ascii=ascii)}{blank}'
        for name, value, escaped in pairs
    )
    body = "{" + ",".join(fields) + blank + "}"
    for whole in (body.encode(), b"\xef\xbb\xbf" + body.encode()):
        value = json_object(whole).get("key")
        expected = str(value) if value and not isinstance(value, list | dict) else None
        assert scanned(whole, *cuts).found == expected
        assert scanned(whole, *range(1, len(whole))).found == expected


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_whatever_arrives_is_looked_over_or_refused(body: bytes, cuts: list[int]) -> None:
    for whole in (body, b'{"' + body, b'{"key":"' + body + b'"}', b'{"key":' + body + b"}"):
        try:
            in_pieces: str | None = scanned(whole, *cuts).found
        except Malformed:
            with pytest.raises(Malformed):
                scanned(whole)
        else:
            assert in_pieces == scanned(whole).found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"key": "a", "key": "b"}', "b"),
        (b'{"key": "a", "key": ""}', None),
        (b'{"key": "a", "key": null}', None),
        (b'{"a": {"key": "x"}, "b": [{"key": "y"}]}', None),
        (b'[{"key": "x"}]', None),
        (b'{"\\u006bey": "\\u0061"}', "a"),
        (b'{"key": 7}', "7"),
        (b'{"a": "\\\\", "key": "b"}', "b"),
        (b'{"a": "key", "b": ":", "c": "\\"key\\":\\"x\\""}', None),
        (b'{"KEY": "x", "key ": "y"}', None),
    ],
)
def test_only_the_object_s_own_field_counts_and_the_last_of_its_name(body: bytes, found: str | None) -> None:
    assert scanned(body).found == found
    assert scanned(body, *range(len(body))).found == found


PICTURE = b"A" * (8 << 20)
PROMPT = "[{(" * 5000 + 'a boat, {blue|red}: "big" \\ [very:1.2], ' * 200


def test_real_bodies_have_room() -> None:
    """Several pictures, long prompts full of brackets, hundreds of fields and of ids."""
    body = {
        "key": "k",
        "prompt": PROMPT,
        "controls": [{"image": PICTURE.decode(), "parameters": {f"p{n}": n for n in range(200)}}] * 2,
        "assetIds": [f"asset_{n}" for n in range(3000)],
    }  # fmt: skip
    for written in (json.dumps(body), json.dumps(body, indent=8)):
        assert json_object(written.encode()) == body


BEYOND = {
    "arrays": (b'{"a":[' + b"[]," * (8 << 20), f"more than {MOST_MARKS}"),
    "objects": (b'{"a":[' + b'{"a":1},' * (1 << 20), f"more than {MOST_MARKS}"),
    "numbers": (b'{"a":[' + b"1," * 1_000_000 + b"1]}", f"more than {MOST_MARKS}"),
    "names": (b"{" + b'"a":1,' * 1_000_000 + b'"a":1}', f"more than {MOST_FIELDS} fields"),
    "names further in": (b'{"a":{' + b'"a":1,' * 1_000_000 + b'"a":1}}', f"more than {MOST_MARKS}"),
    "depth": (b"[" * 100_000, f"more than {DEEPEST}"),
    "depth of objects": (b'{"a":' * 100_000, f"more than {DEEPEST}"),
    "a number": (b'{"a":' + b"9" * (8 << 20), f"more than {MOST_OUTSIDE}"),
    "blanks": (b'{"a":' + b" " * (8 << 20), f"more than {MOST_OUTSIDE}"),
    "texts": (b'"' * (8 << 20), "not valid JSON"),
    "ends": (b"]" * (8 << 20), "not valid JSON"),
}


@pytest.mark.parametrize(("body", "words"), BEYOND.values(), ids=BEYOND)
def test_what_is_beyond_a_bound_is_refused_before_it_was_read(body: bytes, words: str) -> None:
    scan, piece, fed = JsonScan("key"), 1 << 16, 0
    with pytest.raises(Malformed, match=words):
        for begin in range(0, len(body), piece):
            fed += piece
            scan.feed(body[begin : begin + piece])
    assert fed <= MOST_OUTSIDE + 2 * piece
    with pytest.raises(Malformed, match=words):
        json_object(body)


def test_a_byte_order_mark_is_passed_over_and_other_encodings_are_not_json() -> None:
    assert json_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    for body in (b'\xef\xbb\xbf\xef\xbb\xbf{"a": 1}', '{"a": 1}'.encode("utf-16"), b"\xef\xbb\xbf"):
        with pytest.raises(Malformed):
            json_object(body)


def test_a_key_too_long_for_any_is_not_kept() -> None:
    scan = JsonScan("key")
    scan.feed(b'{"key": "')
    for _ in range(100):
        scan.feed(b"k" * 65_536)
    scan.feed(b'"}')
    assert scan.found is not None and len(scan.found) < 10_000


def test_texts_that_are_cut_anywhere_stay_whole() -> None:
    rng = random.Random(1)
    body = b'{"a": "' + b'\\\\\\"' * 50 + b'", "key": "\\"\\\\x"}'
    for _ in range(200):
        assert scanned(body, *(rng.randrange(len(body)) for _ in range(5))).found == '"\\x'
