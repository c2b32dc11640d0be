"""Lenient fields: the spellings that clients send in practice."""

from typing import Any

import pytest

from families.limits import SIDE, Range
from gateway.dialects.common.declared import Field, NoEffect, Table, Type, Undeclared, sets
from gateway.dialects.common.lenient import Lenient
from gateway.dialects.enterprise.fields import PHRASES
from mesh.errors import InvalidInput

ANY = Range(-1000, 1000)


def fields_of(sent: dict[str, Any], *declared: Field) -> Lenient:
    return Lenient(sent, Table(*declared), PHRASES)


def field(name: str, type: Type, **more: Any) -> Field:
    return Field(name, type, sets(name), **more)


@pytest.mark.parametrize("sent", ["512", " 512 ", 512, 512.0, "512.0", ["512"], ["512", None, "", "null"]])
def test_whole_numbers_in_every_spelling(sent: Any) -> None:
    fields = fields_of({"width": sent}, field("width", Type.WHOLE, default=64, limits=SIDE))
    assert fields.whole("width") == 512
    assert fields.remarks == []


@pytest.mark.parametrize(
    ("sent", "used", "said"),
    [
        (["512", "256"], 512, "w has 2 values; the first one was used."),
        ([512, None, "", 256, 128], 512, "w has 3 values; the first one was used."),
        ([None, 512], 64, "w is empty in the first of its 2 places; the others were not used."),
        (["", "null", 512], 64, "w is empty in the first of its 3 places; the others were not used."),
    ],
)
def test_a_list_where_one_value_is_taken_is_said_once(sent: list[Any], used: int, said: str) -> None:
    fields = fields_of({"w": sent}, field("width", Type.WHOLE, default=64, limits=SIDE, spellings=("w",)))
    assert [fields.whole("width"), fields.whole("width")] == [used, used]
    assert fields.remarks == [said]


@pytest.mark.parametrize(("sent", "said"), [(["no", "yes"], ["not here."]), (["no", "no"], []), ([None, None], [])])
def test_any_value_of_a_list_asks_for_what_has_no_effect(sent: list[Any], said: list[str]) -> None:
    absent = Field("f", Type.FLAG, NoEffect("not here."))
    fields = fields_of({"f": sent}, absent)
    assert list(fields.unheard([absent])) == said and fields.remarks == []


def test_a_list_where_several_values_are_taken_is_none_of_one() -> None:
    fields = fields_of({"x": ["a", "b"]}, field("x", Type.WORDS))
    assert fields.says_something("x") and fields.words("x") == ["a", "b"] and fields.remarks == []


@pytest.mark.parametrize("sent", ["7.5", 7.5, " 7.5"])
def test_numbers_in_every_spelling(sent: Any) -> None:
    assert fields_of({"g": sent}, field("g", Type.NUMBER, default=1, limits=ANY)).number("g") == 7.5


@pytest.mark.parametrize("sent", [None, "", "null", "NULL", "  ", []])
def test_nothing_is_the_default(sent: Any) -> None:
    fields = fields_of(
        {"n": sent, "yes": sent, "no": sent, "t": sent},
        field("n", Type.WHOLE, default=3, limits=ANY),
        field("yes", Type.FLAG, default=True),
        field("no", Type.FLAG, default=False),
        field("t", Type.TEXT, default="x"),
    )
    assert fields.number("n") == 3 and fields.number("n", 4) == 4
    assert fields.whole("n") == 3
    assert fields.flag("yes") is True
    assert fields.flag("no") is False
    assert fields.text("t") == "x" and fields.text("t", "y") == "y"
    assert fields.words("n") == []
    with pytest.raises(InvalidInput, match=r"The t field is required\."):
        fields_of({"t": sent}, field("t", Type.TEXT)).required("t")


@pytest.mark.parametrize("sent", ["yes", "YES", "true", True, 1, "1"])
def test_yes(sent: Any) -> None:
    assert fields_of({"f": sent}, field("f", Type.FLAG)).flag("f") is True


@pytest.mark.parametrize("sent", ["no", "No", "false", False, 0, "0"])
def test_no(sent: Any) -> None:
    assert fields_of({"f": sent}, field("f", Type.FLAG, default=True)).flag("f") is False


@pytest.mark.parametrize(("sent", "kept"), [("9999", 2048), (-5, 64), (515, 512), ("63.9", 64), ("1023", 1016)])
def test_too_much_is_clamped_and_said(sent: Any, kept: int) -> None:
    fields = fields_of({"width": sent}, field("width", Type.WHOLE, default=512, limits=SIDE))
    assert fields.whole("width") == kept
    assert fields.remarks == [f"width was set to {kept}; it may be 64 to 2048, a multiple of 8."]


@pytest.mark.parametrize("sent", ["abc", "12px", True, {}, "nan", "inf", "1e999", 10**400])
def test_what_is_no_number_is_refused_by_name(sent: Any) -> None:
    with pytest.raises(InvalidInput, match=r"The controlnet scale must be a number from -1000 to 1000\.") as caught:
        fields_of({"controlnet_scale": sent}, field("controlnet_scale", Type.NUMBER, limits=ANY)).number(
            "controlnet_scale"
        )
    assert caught.value.field == "controlnet_scale"


@pytest.mark.parametrize("sent", ["maybe", 2, {}, "yess"])
def test_what_is_neither_yes_nor_no_is_refused(sent: Any) -> None:
    with pytest.raises(InvalidInput, match="must be yes or no"):
        fields_of({"f": sent}, field("f", Type.FLAG)).flag("f")


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
    assert fields_of({"list": sent}, field("list", Type.WORDS)).words("list") == parts


@pytest.mark.parametrize(
    ("sent", "listed"),
    [
        ("https://a.example/x.png", ["https://a.example/x.png"]),
        ("https://a.example/x.png, HTTP://b.example/y.png", ["https://a.example/x.png", "HTTP://b.example/y.png"]),
        ("https://a.example/w_3,h_2/x.png", ["https://a.example/w_3,h_2/x.png"]),
        ("data:image/png;base64,AAAA,data:image/png;base64,BBBB", ["data:image/png;base64,AAAA",
                                                                   "data:image/png;base64,BBBB"]),
        ("data:image/png;base64,AAAA,https://a.example/x", ["data:image/png;base64,AAAA", "https://a.example/x"]),
        ("data:image/png; base64 ,iVBORw0KGgo", ["data:image/png; base64,iVBORw0KGgo"]),
        ("data:;BASE64\t,/9j/A, iVBORw0KGgo", ["data:;BASE64,/9j/A", "iVBORw0KGgo"]),
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
    fields = fields_of({"image": sent}, field("image", Type.PICTURES))
    assert fields.pictures("image") == listed
    assert fields.picture("image") == (listed[0] if listed else None)
    told = [f"image has {len(listed)} pictures; the first one was used."] if len(listed) > 1 else []
    assert fields.remarks == told


URL = "https://a.example/x.png"


@pytest.mark.parametrize(
    ("sent", "places"),
    [
        (["", "AAAA"], [None, "AAAA"]),
        ([None, URL], [None, URL]),
        ([URL, "null"], [URL, None]),
        (f",{URL}", [None, URL]),
        (f", {URL}", [None, URL]),
        (f"null,{URL}", [None, URL]),
        (f"{URL},", [URL, None]),
        (f"{URL} , ", [URL, None]),
        (f"{URL},none", [URL, None]),
        (f"{URL},,{URL}", [URL, None, URL]),
        (f"{URL},,data:;base64,AAAA,", [URL, None, "data:;base64,AAAA", None]),
        (f"{URL},iVBORw0KGgoAAA", [URL, "iVBORw0KGgoAAA"]),
        ("data:image/png;base64,iVBORw0KGgoAAA", ["data:image/png;base64,iVBORw0KGgoAAA"]),
        ("AAAA,,BBBB", ["AAAA", None, "BBBB"]),
        ("data:image/png;base64,", ["data:image/png;base64,"]),
        ("https://a.example/w_3,h_2/x.png", ["https://a.example/w_3,h_2/x.png"]),
        (False, [None]),
    ],
)
def test_empty_places_among_pictures_are_kept(sent: Any, places: list[Any]) -> None:
    assert fields_of({"image": sent}, field("image", Type.PICTURES)).picture_places("image") == places


def test_a_thousand_commas_take_no_longer_than_their_number() -> None:
    fields = fields_of({"image": URL + ", " * 100_000 + "x"}, field("image", Type.PICTURES))
    assert len(fields.picture_places("image")) == 1


@pytest.mark.parametrize(("sent", "kept"), [(20.5, 20), ("7.9", 7)])
def test_a_fraction_is_dropped_and_said(sent: Any, kept: int) -> None:
    fields = fields_of({"n": sent}, field("n", Type.WHOLE, limits=ANY))
    assert fields.whole("n") == kept
    assert fields.remarks == [f"n was set to {kept}; it must be a whole number."]


@pytest.mark.parametrize(
    ("sent", "places"),
    [("a,,b", ["a", None, "b"]), (["", "b"], [None, "b"]), ([None, "b"], [None, "b"]), ("a,", ["a"]), (",", [])],
)
def test_empty_places_among_words_are_kept(sent: Any, places: list[Any]) -> None:
    assert fields_of({"list": sent}, field("list", Type.WORDS)).places("list") == places


@pytest.mark.parametrize(
    ("sent", "told"), [("a,", 1), (["a", None], 1), ("a, null ,", 1), ("a", 0), ("a,b", 0), (",", 0)]
)
def test_an_empty_place_at_the_end_is_told_once(sent: Any, told: int) -> None:
    fields = fields_of({"list": sent}, field("list", Type.WORDS))
    assert [fields.places("list") for _ in range(2)] == [fields.words("list")] * 2
    assert fields.remarks == ["list ends with an empty place, which does not count."] * told


def test_the_first_name_that_says_something_counts() -> None:
    scale = field("scale", Type.NUMBER, spellings=("guidance",), default=7.5, limits=ANY)
    fields = fields_of({"scale": None, "guidance": "3"}, scale)
    assert fields.number("scale") == 3
    assert fields.raw("scale") == fields.verbatim("scale") == "3"
    assert fields_of({"scale": 0}, scale).verbatim("scale") == 0


def test_text_keeps_its_blanks_and_takes_numbers() -> None:
    prompt = field("prompt", Type.TEXT)
    assert fields_of({"prompt": " a boat "}, prompt).text("prompt") == " a boat "
    assert fields_of({"prompt": 7}, prompt).text("prompt") == "7"
    with pytest.raises(InvalidInput, match="The prompt must be a string"):
        fields_of({"prompt": {}}, prompt).text("prompt")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"vae": "x"}, ["no vae"]),
        ({"vae": "None", "fast": "no", "scale": "1"}, []),
        ({"fast": "yes", "scale": 2}, ["no fast", "no scale"]),
    ],
)
def test_what_asks_for_something_that_has_no_effect_is_said(sent: dict[str, Any], told: list[str]) -> None:
    unheard = (
        Field("vae", Type.TEXT, NoEffect("no vae")),
        Field("fast", Type.FLAG, NoEffect("no fast"), default=True),
        Field("scale", Type.TEXT, NoEffect("no scale", unless=("1",))),
    )
    assert list(fields_of(sent, *unheard).unheard(unheard)) == told


def test_what_is_not_declared_can_not_be_read() -> None:
    fields = fields_of({"n": 1, "t": 1}, field("n", Type.WHOLE), field("t", Type.TEXT, default="x"))
    with pytest.raises(Undeclared, match="other is read and not declared"):
        fields.raw("other")
    with pytest.raises(Undeclared, match="declared as text and read as flag"):
        fields.flag("t")
    with pytest.raises(Undeclared, match="n has no limits"):
        fields.number("n")
    with pytest.raises(Undeclared, match="n is declared to have an effect"):
        fields.remark("n")
    with pytest.raises(ValueError, match="declared twice: t"):
        Table(field("t", Type.TEXT), field("other", Type.TEXT, spellings=("t",)))
