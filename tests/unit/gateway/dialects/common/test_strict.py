"""Strict fields: JSON's own types within their limits, an echo of what counted, text of a query as JSON's values."""

from typing import Any

import pytest

from families.limits import Range
from gateway.dialects.common.declared import Field, NoEffect, Table, Type, Undeclared, sets, spoken
from gateway.dialects.common.strict import Strict, typed
from gateway.dialects.scenario.fields import PHRASES
from mesh.errors import InvalidInput

SMALL = Range(1, 10)
TABLE = Table(
    Field("n", Type.WHOLE, sets("steps"), limits=SMALL, default=3),
    Field("x", Type.NUMBER, sets("controls.weight"), limits=SMALL, default=0.5, spellings=("ex",)),
    Field("t", Type.TEXT, sets("prompt")),
    Field("f", Type.FLAG, sets("guess_mode")),
    Field("list", Type.WORDS, sets("events"), limits=Range(1, 2)),
    Field("open", Type.NUMBER, sets("height")),
    Field("old", Type.ANY, NoEffect("old was not applied")),
)


def fields_of(**sent: Any) -> Strict:
    return Strict(sent, TABLE, PHRASES)


def test_what_is_null_is_the_default() -> None:
    fields = fields_of(n=None, x=None, t=None, f=None)
    assert (fields.whole("n"), fields.number("x"), fields.text("t"), fields.flag("f")) == (3, 0.5, None, False)
    assert fields.number("x", 7) == 7 and fields.echo() == {}
    assert fields.was_sent("t") and not fields.was_sent("list")


def test_what_counted_is_echoed_in_the_order_of_sending() -> None:
    fields = fields_of(t="a", n=4.0, f=True, ex=2, list=["b"], unknown=1)
    assert (fields.flag("f"), fields.whole("n"), fields.text("t"), fields.texts("list")) == (True, 4, "a", ["b"])
    assert fields.number("x") == 2
    assert list(fields.echo().items()) == [("t", "a"), ("n", 4), ("f", True), ("list", ["b"])]


@pytest.mark.parametrize(
    ("method", "name", "sent", "words"),
    [
        ("whole", "n", "4", "\"n\" must be a whole number from 1 to 10, not '4'"),
        ("whole", "n", 4.5, '"n" must be a whole number from 1 to 10, not 4.5'),
        ("whole", "n", True, '"n" must be a whole number from 1 to 10, not true'),
        ("number", "x", 11, '"x" must be a number from 1 to 10, not 11'),
        ("flag", "f", "yes", "\"f\" must be a boolean, not 'yes'"),
        ("text", "t", 7, '"t" must be a string, not 7'),
        ("required", "t", None, '"t" must be a string'),
        ("required", "t", " ", '"t" is not allowed to be empty'),
        ("texts", "list", [], '"list" must be an array of 1 to 2 strings, not a list of 0'),
        ("texts", "list", ["a", 1], '"list" must be an array of 1 to 2 strings, not a list of 2'),
        ("texts", "list", "a", "\"list\" must be an array of 1 to 2 strings, not 'a'"),
    ],
)
def test_what_can_not_be_taken_is_refused_by_name(method: str, name: str, sent: Any, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        getattr(fields_of(**{name: sent}), method)(name)
    assert (caught.value.message, caught.value.field) == (words, name)


def test_what_is_not_declared_can_not_be_read() -> None:
    with pytest.raises(Undeclared, match="other is read and not declared"):
        fields_of(other=1).raw("other")
    with pytest.raises(Undeclared, match="n is declared as whole and read as number"):
        fields_of(n=1).number("n")
    with pytest.raises(Undeclared, match="open has no limits"):
        fields_of(open=1).number("open")
    with pytest.raises(Undeclared, match="open has no default"):
        fields_of().number("open")
    assert fields_of(open=1).number("open", 2, SMALL) == 1


def test_what_has_no_effect_is_said_if_it_holds_anything() -> None:
    assert list(fields_of(old=[1]).unheard([TABLE["old"]])) == ["old was not applied"]
    assert not list(fields_of(old=[]).unheard([TABLE["old"]]))


def test_values_are_passed_on_by_their_canonical_names() -> None:
    assert fields_of(n=99, x="y").passed([TABLE["n"], TABLE["x"], TABLE["t"]]) == {"steps": 99, "weight": "y"}
    names = spoken(tuple(TABLE.values()))
    assert (names["steps"], names["controls[4].weight"], names["prompt"]) == ("n", "x", "t")


def test_a_query_is_read_as_json_would_have_it() -> None:
    query = {"n": "4", "x": "0.5", "f": "TRUE", "t": "4", "unknown": "5"}
    assert typed(query, TABLE, PHRASES) == {"n": 4, "x": 0.5, "f": True, "t": "4", "unknown": "5"}
    for name, sent, expected in (("n", "4.5", "a whole number"), ("x", "y", "a number"), ("f", "yes", "true or false")):
        with pytest.raises(InvalidInput, match=f'"{name}" must be {expected}'):
            typed({name: sent}, TABLE, PHRASES)
