"""The allowance of unkeyed work: what counts, for whom, how long, and what is remembered."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from gateway.web import bodies
from gateway.web.bodies import Bounds, Sender
from gateway.web.budget import ByteBudget
from gateway.web.malformed import Malformed
from gateway.web.scan import scan_of
from gateway.web.unkeyed import MOST_ADDRESSES, Allowance, UnkeyedTooOften

MIB = 1 << 20
STRANGER = Sender(False, knows=lambda key: key == "valid")
JSON, FORM, PARTS = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
HEAD = b'--x\r\nContent-Disposition: form-data; name="init_image"\r\n\r\n'


class Clock:
    """Seconds that pass when they are told to."""

    now = 6000.0

    def __call__(self) -> float:
        return self.now


def bounds(per_minute: int = 2 * MIB) -> Bounds:
    return Bounds(ByteBudget(64 * MIB, 8 * MIB), 8 * MIB, 60.0, Allowance(per_minute, 8 * MIB, Clock()))


class Sent:
    """A request whose body is `body`; counts what was taken of it."""

    def __init__(self, body: bytes, address: str = "192.0.2.1") -> None:
        self._pieces = [body[begin : begin + (1 << 14)] for begin in range(0, len(body), 1 << 14)]
        self.taken = 0
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "client": (address, 1)}
        self.request = Request(scope, self._receive)

    async def _receive(self) -> Any:
        chunk = self._pieces.pop(0) if self._pieces else b""
        self.taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def read(self, within: Bounds, content_type: str = JSON, sender: Sender = STRANGER) -> None:
        """Read it as a dialect does; a key in the body that is found at last is admitted."""
        scan = scan_of(content_type, "key")
        try:
            await bodies.read(self.request, within, sender=sender, scan=scan)
            if scan.found == "valid":
                bodies.admit(self.request)
        finally:
            bodies.release(self.request)


def json_of(size: int, key: bytes = b"wrong") -> bytes:
    return b'{"a": "' + b"x" * size + b'", "key": "' + key + b'"}'


async def test_once_the_allowance_is_spent_nothing_more_is_read_of_what_has_no_key_in_a_header() -> None:
    within = bounds()
    for _ in range(2):
        await Sent(json_of(MIB)).read(within)
    late = Sent(json_of(10, b"valid"))
    with pytest.raises(UnkeyedTooOften, match="send the key in a header") as refusal:
        await late.read(within)
    assert late.taken == 0 and refusal.value.retry_after_s and 60 <= refusal.value.retry_after_s <= 62
    await Sent(json_of(MIB)).read(within, sender=Sender(True))
    await Sent(json_of(MIB)).read(within, sender=Sender(False, counts=False))
    await Sent(json_of(MIB), "192.0.2.2").read(within)


@pytest.mark.parametrize("size", [0, 4 * MIB])
@pytest.mark.parametrize("before", [b"", b'"key": "wrong", ', b'"key": "valid", '])
async def test_a_body_with_a_valid_key_costs_nothing_wherever_it_stands(size: int, before: bytes) -> None:
    within = bounds()
    for _ in range(3):
        await Sent(b"{" + before + json_of(size, b"valid")[1:]).read(within)
    assert within.unkeyed.spent("192.0.2.1") == 0 and len(within.unkeyed) == 0


async def test_bodies_of_a_holder_that_arrive_together_do_not_keep_each_other_out() -> None:
    within = bounds()
    await asyncio.gather(*(Sent(json_of(2 * MIB, b"valid")).read(within) for _ in range(3)))
    assert within.unkeyed.spent("192.0.2.1") == 0


async def test_a_network_of_ipv6_is_one_address() -> None:
    within = bounds()
    await Sent(json_of(2 * MIB), "2001:db8::1").read(within)
    with pytest.raises(UnkeyedTooOften):
        await Sent(b"{}", "2001:db8::ffff:1").read(within)
    await Sent(b"{}", "2001:db8:0:1::1").read(within)


WEIGHTS = {
    "a text": (JSON, json_of(MIB), 1, 1.1),
    "escapes": (JSON, json_of(0) + b'{"a": "' + b'\\"' * (MIB // 2), 4, 4.1),
    "numbers": (JSON, b'{"a": [' + b"1" * (MIB // 2), 4, 4.1),
    "values": (JSON, b'{"a":[' + b'{"":""},' * 1600 + b"1]}", 80, 120),
    "keys": (JSON, b"{" + b'"key":"wrong",' * 1000 + b'"a":1}', 80, 130),
    "lines": (PARTS, HEAD + b"\r\n--" * (MIB // 4), 2, 2.1),
    "parts": (PARTS, b"".join([HEAD + b"\r\n"] * 199) + b"--x--", 40, 80),
    "decoded": (FORM, b"key=" + b"%41" * 2000, 20, 22),
    "decoded once": (FORM, b"&".join([b"key=" + b"%41" * 2000] * 100), 1, 1.5),
    "not decoded": (FORM, b"&".join([b"a=" + b"%41" * 20_000] * 100), 1, 1.1),
}


@pytest.mark.parametrize(("content_type", "body", "least", "most"), WEIGHTS.values(), ids=WEIGHTS)
async def test_what_takes_longer_than_plain_text_counts_for_more(
    content_type: str, body: bytes, least: float, most: float
) -> None:
    within = bounds(64 * MIB)
    await Sent(body).read(within, content_type)
    assert least <= within.unkeyed.spent("192.0.2.1") / len(body) <= most


async def test_a_body_that_is_refused_on_the_way_has_cost_what_it_had_cost() -> None:
    within, body = bounds(), b'{"a":[' + b"[]," * MIB
    with pytest.raises(Malformed):
        await Sent(body).read(within)
    assert within.unkeyed.spent("192.0.2.1") > 8192 * 200


async def test_bodies_that_are_held_back_are_bounded_too() -> None:
    allowance = Allowance(MIB, MIB)
    open_now = [allowance.begin("a") for _ in range(9)]
    for work in open_now[:8]:
        work.reach(MIB)
    with pytest.raises(UnkeyedTooOften):
        open_now[8].reach(1)
    allowance.begin("b").reach(MIB)
    for work in open_now:
        work.end()
        work.end()
    assert allowance.spent("a") == 8 * MIB + 1


def test_the_minute_slides() -> None:
    clock = Clock()
    allowance = Allowance(100, clock=clock)
    clock.now += 30
    allowance.spend("a", 200)
    for passed, spent in ((0, 200), (30, 200), (30, 100), (29, 103 - 100 + 0.333), (2, 0)):
        clock.now += passed
        assert allowance.spent("a") == pytest.approx(spent, abs=0.1)
    allowance.spend("a", 100)
    clock.now += 600
    assert allowance.spent("a") == 0


@pytest.mark.parametrize("at", [0.0, 10.0, 59.0])
@pytest.mark.parametrize("spent", [100, 150, 400])
def test_who_waits_as_long_as_told_is_read(at: float, spent: int) -> None:
    clock = Clock()
    clock.now += at
    allowance = Allowance(100, clock=clock)
    allowance.spend("a", spent)
    for _ in range(2):
        with pytest.raises(UnkeyedTooOften) as refusal:
            allowance.begin("a")
        assert refusal.value.retry_after_s is not None and 1 <= refusal.value.retry_after_s <= 120
    clock.now += refusal.value.retry_after_s + 0.01
    allowance.begin("a")


def test_no_more_than_so_many_addresses_are_remembered() -> None:
    allowance = Allowance(1)
    for number in range(MOST_ADDRESSES):
        allowance.spend(str(number), 1)
    allowance.spend("0", 1)
    allowance.spend("one more", 1)
    assert len(allowance) == MOST_ADDRESSES
    assert allowance.spent("1") == 0 and allowance.spent("0") > 0


def test_without_an_allowance_nothing_is_counted() -> None:
    allowance = Allowance(0)
    for _ in range(3):
        work = allowance.begin("a")
        work.reach(1 << 40)
        work.end()
    assert len(allowance) == 0
