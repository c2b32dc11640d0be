"""Tolerant fields: the spellings that clients send in practice."""

from typing import Any

import pytest

from families.limits import SIDE, Range
from gateway.dialects.enterprise.fields import Fields
from mesh.errors import InvalidInput

ANY = Range(-1000, 1000)


@pytest.mark.parametrize("sent", ["512", " 512 ", 512, 512.0, "512.0", ["512", "7"]])
def test_whole_numbers_in_every_spelling(sent: Any) -> None:
    fields = Fields({"width": sent})
    assert fields.whole("width", default=64, limits=SIDE) == 512
    assert fields.remarks == []


@pytest.mark.parametrize("sent", ["7.5", 7.5, " 7.5"])
def test_numbers_in_every_spelling(sent: Any) -> None:
    assert Fields({"g": sent}).number("g", default=1, limits=ANY) == 7.5


@pytest.mark.parametrize("sent", [None, "", "null", "NULL", "  ", []])
def test_nothing_is_the_default(sent: Any) -> None:
    fields = Fields({"n": sent})
    assert fields.number("n", default=3, limits=ANY) == 3
    assert fields.whole("n", default=3, limits=ANY) == 3
    assert fields.flag("n", True) is True
    assert fields.flag("n", False) is False
    assert fields.text("n", default="x") == "x"
    assert fields.words("n") == []


@pytest.mark.parametrize("sent", ["yes", "YES", "true", True, 1, "1"])
def test_yes(sent: Any) -> None:
    assert Fields({"f": sent}).flag("f", False) is True


@pytest.mark.parametrize("sent", ["no", "No", "false", False, 0, "0"])
def test_no(sent: Any) -> None:
    assert Fields({"f": sent}).flag("f", True) is False


@pytest.mark.parametrize(("sent", "kept"), [("9999", 1024), (-5, 64), (515, 512), ("63.9", 64), ("1023", 1016)])
def test_too_much_is_clamped_and_said(sent: Any, kept: int) -> None:
    fields = Fields({"width": sent})
    assert fields.whole("width", default=512, limits=SIDE) == kept
    assert fields.remarks == [f"width was set to {kept}; it may be 64 to 1024."]


@pytest.mark.parametrize("sent", ["abc", "12px", True, {}, "nan", "inf", "1e999", 10**400])
def test_what_is_no_number_is_refused_by_name(sent: Any) -> None:
    with pytest.raises(InvalidInput, match=r"The controlnet scale must be a number\.") as caught:
        Fields({"controlnet_scale": sent}).number("controlnet_scale", default=1, limits=ANY)
    assert caught.value.field == "controlnet_scale"


@pytest.mark.parametrize("sent", ["maybe", 2, {}, "yess"])
def test_what_is_neither_yes_nor_no_is_refused(sent: Any) -> None:
    with pytest.raises(InvalidInput, match="must be yes or no"):
        Fields({"f": sent}).flag("f", False)


@pytest.mark.parametrize(
    ("sent", "parts"),
    [
        ("canny,depth", ["canny", "depth"]),
        (" canny , ,depth ", ["canny", "depth"]),
        (["a", "b"], ["a", "b"]),
        (0.5, ["0.5"]),
    ],
)
def test_comma_lists(sent: Any, parts: list[str]) -> None:
    assert Fields({"list": sent}).words("list") == parts


@pytest.mark.parametrize(
    ("sent", "listed"),
    [
        ("https://a.example/x.png", ["https://a.example/x.png"]),
        ("https://a.example/x.png, HTTP://b.example/y.png", ["https://a.example/x.png", "HTTP://b.example/y.png"]),
        ("https://a.example/w_3,h_2/x.png", ["https://a.example/w_3,h_2/x.png"]),
        ("data:image/png;base64,AAAA,data:image/png;base64,BBBB", ["data:image/png;base64,AAAA",
                                                                   "data:image/png;base64,BBBB"]),
        ("data:image/png;base64,AAAA,https://a.example/x", ["data:image/png;base64,AAAA", "https://a.example/x"]),
        ("AAAA,BBBB", ["AAAA", "BBBB"]),
        ("AAAA,https://a.example/x.png", ["AAAA", "https://a.example/x.png"]),
        (["AAAA", None, "", "https://a.example/x.png"], ["AAAA", "https://a.example/x.png"]),
        (b"file", [b"file"]),
        ([7, {}], [7, {}]),
        ([], []),
        *((nothing, []) for nothing in (None, "", " ", "null", "None", "no", "false", False, ",,,", [None], ["none"])),
    ],
)  # fmt: skip
def test_lists_of_pictures(sent: Any, listed: list[Any]) -> None:
    fields = Fields({"image": sent})
    assert fields.pictures("image") == listed
    assert fields.picture("image") == (listed[0] if listed else None)


def test_the_first_name_that_says_something_counts() -> None:
    fields = Fields({"guidance_scale": None, "guidance": "3"})
    assert fields.number("guidance_scale", "guidance", default=7.5, limits=ANY) == 3


def test_text_keeps_its_blanks_and_takes_numbers() -> None:
    assert Fields({"prompt": " a boat "}).text("prompt") == " a boat "
    assert Fields({"prompt": 7}).text("prompt") == "7"
    with pytest.raises(InvalidInput, match="The prompt must be a string"):
        Fields({"prompt": {}}).text("prompt")
