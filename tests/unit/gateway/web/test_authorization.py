"""Keys of the clients."""

import pytest

from gateway.keys.keys import ANYBODY, Keys
from gateway.web.authorization import bearer
from mesh.errors import Unauthenticated


def test_without_keys_nobody_is_asked() -> None:
    assert Keys([]).owner(None) == Keys([]).owner("anything") == ANYBODY


def test_each_key_is_an_owner_of_its_own_and_does_not_show() -> None:
    keys = Keys(["first", "second"])
    assert keys.owner("first") == keys.owner("first") != keys.owner("second")
    assert "first" not in keys.owner("first")


@pytest.mark.parametrize("sent", [None, "", "First", "first ", "firs", "firstx", "\0", "é"])
def test_another_key_or_none_is_refused(sent: str | None) -> None:
    with pytest.raises(Unauthenticated):
        Keys(["first", "second"]).owner(sent)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("  Bearer   abc  ", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("abc", None),
        ("", None),
        (None, None),
    ],
)
def test_bearer(header: str | None, token: str | None) -> None:
    assert bearer(header) == token
