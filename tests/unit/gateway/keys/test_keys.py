"""Keys in a snapshot: who is let in, what for, how often, and what wrong keys lead to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from opentelemetry.instrumentation.asgi import collect_request_attributes
from opentelemetry.sdk.trace import TracerProvider

from gateway.app.middleware import hide_query
from gateway.generation.generation import Generation
from gateway.jobs.job import Order
from gateway.keys.keys import ADMIN, ANYBODY, GENERATE, UNGUESSABLE, Holder, Keys, digest_of
from gateway.keys.limits import CALLER, WRONG_KEYS_PER_MINUTE, Caller
from gateway.web.authorization import basic
from mesh.errors import Forbidden, TooOften, Unauthenticated

KEY = "cm_" + 43 * "a"
OTHER = "cm_" + 43 * "b"
ACME = Holder("acme", "k_1")


@contextmanager
def calling(address: str = "192.0.2.1") -> Iterator[None]:
    """One request from `address`."""
    token = CALLER.set(Caller(address))
    try:
        yield
    finally:
        CALLER.reset(token)


def known(*holders: Holder, configured: tuple[str, ...] = ()) -> Keys:
    """Keys where the first of `holders` has KEY, the second OTHER."""
    keys = Keys(configured)
    keys.learn({digest_of(key): holder for key, holder in zip((KEY, OTHER), holders, strict=False)}, len(holders))
    return keys


def guess(keys: Keys, wrong: str, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Unauthenticated):
            keys.holder(wrong)


def test_recorded_and_configured_keys_stand_side_by_side() -> None:
    keys = known(ACME, configured=("from the environment",))
    assert keys.holder(KEY) == ACME and keys.owner(KEY) == "acme"
    assert keys.holder("from the environment").scopes == {GENERATE, ADMIN}
    # What a deployment has recorded under its configured keys stays theirs.
    assert keys.owner("from the environment") == "deec02e037be94f3"
    assert keys.take_used() == {"k_1"} and keys.take_used() == set()


@pytest.mark.parametrize("sent", [None, "", OTHER, KEY[:-1], KEY + "a", " " + KEY, digest_of(KEY).hex(), "\ud800", "é"])
def test_no_other_key_opens(sent: str | None) -> None:
    with pytest.raises(Unauthenticated):
        known(ACME).holder(sent)


def test_a_key_of_a_megabyte_is_refused_and_not_even_hashed() -> None:
    long = "x" * 1_000_000
    with pytest.raises(Unauthenticated):
        known(ACME, configured=(long,)).holder(long)


def test_scopes_are_asked_for_by_name() -> None:
    keys = known(ACME, replace(ACME, scopes=frozenset({GENERATE, ADMIN})))
    assert keys.holder(OTHER, ADMIN).owner == "acme"
    with pytest.raises(Forbidden, match=r"scope 'admin'.*--scope admin"):
        keys.holder(KEY, ADMIN)


def test_without_keys_everybody_generates_and_nobody_administers() -> None:
    keys = Keys()
    assert keys.holder("whatever") == Holder(ANYBODY) and not keys.asked_for and not keys.any
    with pytest.raises(Forbidden):
        keys.holder(None, ADMIN)


def test_where_others_reach_the_gateway_a_key_is_always_asked_for() -> None:
    with pytest.raises(Unauthenticated):
        Keys(always=True).holder(None)


def test_with_the_last_key_revoked_nobody_is_let_in() -> None:
    keys = known(ACME)
    keys.learn({}, ever=1)
    assert not keys.any
    for sent in (KEY, None):
        with pytest.raises(Unauthenticated):
            keys.holder(sent)
    keys.learn({}, ever=0)
    with pytest.raises(Unauthenticated):
        keys.holder(None)


def test_a_key_makes_its_requests_a_minute_and_is_told_when_to_come_back() -> None:
    keys = known(replace(ACME, requests_per_minute=20), replace(ACME, key_id="k_2"))
    # The minute may turn in between, and the window with it: then one more is let through.
    taken = 0
    with pytest.raises(TooOften, match="20 requests per minute") as refused:
        for taken in range(25):  # noqa: B007
            keys.holder(KEY)
    assert taken in (20, 21) and 1 <= (refused.value.retry_after_s or 0) <= 60
    assert keys.holder(OTHER).key_id == "k_2", "another key of the same owner has a bound of its own"


def test_a_request_that_asks_for_its_key_twice_is_one_request() -> None:
    keys = known(replace(ACME, requests_per_minute=1))
    with calling():
        assert keys.holder(KEY) == keys.holder(KEY)


def test_guesses_from_one_address_are_stopped() -> None:
    short = "short and easy"
    assert len(short) < UNGUESSABLE <= len(KEY)
    keys = known(ACME, configured=(short,))
    with calling("192.0.2.1"), pytest.raises(TooOften, match="wrong API keys") as refused:
        guess(keys, "easy and short", WRONG_KEYS_PER_MINUTE + 2)
    assert 1 <= (refused.value.retry_after_s or 0) <= 60
    with calling("192.0.2.1"):
        for sent in (short, "another", OTHER):
            with pytest.raises(TooOften):
                keys.holder(sent)
        assert keys.owner(KEY) == "acme", "its holder may share the address of somebody who guesses"
        with pytest.raises(Unauthenticated, match="required"):
            keys.holder(None)
    with calling("192.0.2.2"):
        assert keys.owner(short)
        guess(keys, "another")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
    ],
)
def test_addresses_that_one_client_has_count_as_one(first: str, second: str, same: bool) -> None:
    keys = known(ACME)
    with calling(first), pytest.raises(TooOften):
        guess(keys, "wrong", WRONG_KEYS_PER_MINUTE + 2)
    with calling(second), pytest.raises(TooOften if same else Unauthenticated):
        keys.holder("wrong")


def test_of_several_keys_of_an_owner_the_lowest_bounds_hold() -> None:
    keys = known(
        replace(ACME, most_waiting=5, most_priority=7, options={"enterprise": {"strict": True}}),
        Holder("acme", "k_2", frozenset({GENERATE, ADMIN}), most_waiting=3),
    )
    together = keys.settings_of("acme")
    assert (together.most_waiting, together.most_priority, together.options) == (3, 7, {})
    assert together.scopes == {GENERATE, ADMIN}
    assert keys.settings_of("nobody") == Holder("nobody")
    order = keys.bounded(Order(Generation(prompt="a boat"), "acme", priority=9))
    assert (order.most_waiting, order.priority) == (3, 7)
    free = Order(Generation(prompt="a boat"), "else", priority=9)
    assert keys.bounded(free) == free


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("Basic Y21feDpzZWNyZXQ=", ("cm_x", "secret")),
        ("basic Y21feDphOmI=", ("cm_x", "a:b")),
        ("Basic Y21feDo=", ("cm_x", "")),
        ("Basic Y21feA==", None),
        ("Basic !", None),
        ("Basic gICA", None),
        ("Basic", None),
        ("Bearer Y21feDpzZWNyZXQ=", None),
        (None, None),
    ],
)
def test_basic(header: str | None, told: tuple[str, str] | None) -> None:
    assert basic(header) == told


def test_a_span_says_nothing_of_a_query() -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "path": "/api/v6/images/fetch/7",
        "query_string": b"key=" + KEY.encode(),
        "headers": [],
    }
    told = {**collect_request_attributes(scope), "url.query": f"key={KEY}"}
    assert KEY in str(told)
    span = TracerProvider().get_tracer("test").start_span("poll", attributes=told)
    hide_query(span, scope)
    assert KEY not in str(dict(span.attributes or {}))
    assert span.attributes["http.url"] == "http://127.0.0.1/api/v6/images/fetch/7"
