"""Reading of bodies: what is counted, when it is refused, and how much was read by then."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.requests import Request

from gateway.web import bodies
from gateway.web.bodies import Bounds, Sender
from gateway.web.budget import PORTION, STALLED_S, BodiesFull, ByteBudget
from gateway.web.json_bodies import JsonScan
from gateway.web.malformed import BodyCompressed, BodyTooLarge, BodyTooSlow, Malformed
from gateway.web.scan import Scan, scan_of
from mesh.errors import Cancelled

MIB = 1 << 20
STRANGER = Sender(False, knows=lambda key: key == "valid")


@dataclass
class Client:
    """A client that sends `chunks` and then leaves, or waits for ever; it counts what was taken of them."""

    chunks: Iterable[bytes]
    stays: bool = False
    leaves: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    taken: int = 0
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    def request(self) -> Request:
        sent = self._sent()
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "client": ("192.0.2.1", 1)}
        return Request(scope, sent.__anext__)

    async def _sent(self) -> AsyncIterator[Any]:
        for chunk in self.chunks:
            self.taken += len(chunk)
            yield {"type": "http.request", "body": chunk, "more_body": True}
        self.waiting.set()
        if self.stays:
            await asyncio.Event().wait()
        if self.leaves:
            yield {"type": "http.disconnect"}
        yield {"type": "http.request", "body": b"", "more_body": False}


def bounds(portion_s: float = 60.0) -> Bounds:
    return Bounds(ByteBudget(64 * MIB, 8 * MIB), 8 * MIB, portion_s)


def announced(body: bytes | int, **headers: str) -> dict[str, str]:
    return {"content-length": str(body if isinstance(body, int) else len(body)), **headers}


def pieces(body: bytes, size: int = 1 << 14) -> list[bytes]:
    return [body[begin : begin + size] for begin in range(0, len(body), size)]


async def test_a_body_is_whole_and_its_bytes_are_held_until_they_are_given_back() -> None:
    body, within = b"x" * (3 * MIB), bounds()
    request = Client(pieces(body), headers=announced(body)).request()
    assert await bodies.read(request, within) == body
    assert within.budget.held == len(body)
    bodies.release(request)
    bodies.release(request)
    assert within.budget.held == 0
    chunked = Client(pieces(body)).request()
    assert await bodies.read(chunked, within) == body and within.budget.held == len(body)


async def test_a_body_whose_length_does_not_fit_is_refused_before_its_first_byte() -> None:
    within = bounds()
    within.budget.hold("198.51.100.1", keyed=True).cover(32 * MIB)
    within.budget.hold("198.51.100.2", keyed=True).cover(15 * MIB)
    client = Client(pieces(b"x" * (2 * MIB)), headers=announced(2 * MIB))
    request = client.request()
    with pytest.raises(BodiesFull):
        await bodies.read(request, within)
    assert client.taken == 0
    bodies.release(request)
    chunked = Client(pieces(b"x" * (2 * MIB)))
    request = chunked.request()
    with pytest.raises(BodiesFull):
        await bodies.read(request, within)
    assert chunked.taken <= MIB + 4 * PORTION
    bodies.release(request)
    assert within.budget.held == 47 * MIB


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        (announced(9 * MIB), BodyTooLarge),
        (announced(10, **{"content-encoding": "gzip"}), BodyCompressed),
    ],
)
async def test_what_its_head_rules_out_is_not_read(headers: dict[str, str], refusal: type[Malformed]) -> None:
    client = Client(pieces(b"x" * MIB), headers=headers)
    with pytest.raises(refusal):
        await bodies.read(client.request(), bounds())
    assert client.taken == 0


@pytest.mark.parametrize("length", ["", "-5", "+5", "x", "1e3", "９", "9" * 5000])
async def test_a_length_that_is_none_is_not_believed(length: str) -> None:
    headers = {"content-length": length} if length.isascii() else {}
    client = Client(pieces(b"x" * (9 * MIB)), headers=headers)
    with pytest.raises(BodyTooLarge):
        await bodies.read(client.request(), bounds())
    assert client.taken <= 8 * MIB + (1 << 14)


async def test_a_stranger_s_body_counts_against_the_smaller_share_until_its_key_is_found() -> None:
    within = bounds()
    filler = b'"a": "' + b"x" * (4 * MIB) + b'"'
    for body, keyed in (
        (b'{"key": "valid", ' + filler + b"}", True),
        (b"{" + filler + b', "key": "valid"}', True),
        (b"{" + filler + b', "key": "wrong"}', False),
        (b"{" + filler + b"}", False),
    ):
        scan = JsonScan("key")
        request = Client(pieces(body), headers=announced(body)).request()
        assert await bodies.read(request, within, sender=STRANGER, scan=scan) == body
        assert request.state.body_hold.keyed is keyed
        bodies.release(request)


async def test_a_stranger_is_refused_after_a_portion_where_the_smaller_share_is_full() -> None:
    within = bounds()
    within.budget.hold("192.0.2.1", keyed=False).cover(7 * MIB + PORTION)
    rest = b'"a": "' + b"x" * (4 * MIB) + b'"}'
    early = b'{"key": "valid", ' + rest
    assert await bodies.read(
        Client(pieces(early), headers=announced(early)).request(), within, sender=STRANGER, scan=JsonScan("key")
    )
    late = b"{" + rest
    client = Client(pieces(late), headers=announced(late))
    with pytest.raises(BodiesFull):
        await bodies.read(client.request(), within, sender=STRANGER, scan=JsonScan("key"))
    assert client.taken <= PORTION + (1 << 14)


async def test_a_body_asks_for_one_key_only_however_many_it_has() -> None:
    asked: list[str] = []

    def knows(key: str) -> bool:
        asked.append(key)
        return False

    body = b"{" + b",".join(b'"key": "%d"' % number for number in range(1000)) + b"}"
    scan = JsonScan("key")
    request = Client(pieces(body, 100), headers=announced(body)).request()
    await bodies.read(request, bounds(), sender=Sender(False, knows=knows), scan=scan)
    assert len(asked) == 1 and scan.found == "999"


@pytest.mark.parametrize("sent", [0, 10, PORTION, 3 * MIB])
async def test_a_stranger_who_stops_is_not_waited_for(sent: int) -> None:
    within = bounds(portion_s=0.05)
    client = Client(pieces(b'"' + b"x" * (sent - 1) if sent else b""), stays=True, headers=announced(4 * MIB))
    request = client.request()
    with pytest.raises(BodyTooSlow):
        await asyncio.wait_for(bodies.read(request, within, sender=STRANGER, scan=scan_of("image/png")), 30)
    bodies.release(request)
    assert within.budget.held == 0


async def test_who_drips_does_not_keep_a_place() -> None:
    class Dripping(Client):
        async def _sent(self) -> AsyncIterator[Any]:
            while True:
                self.taken += 1
                yield {"type": "http.request", "body": b" ", "more_body": True}
                await asyncio.sleep(0)

    client = Dripping((), headers=announced(4 * MIB))
    with pytest.raises(BodyTooSlow):
        await asyncio.wait_for(bodies.read(client.request(), bounds(portion_s=0.05), sender=STRANGER), 30)
    assert client.taken > 1


async def test_a_holder_of_a_key_may_be_slow() -> None:
    client = Client([b"{}"], stays=True, headers=announced(4 * MIB))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bodies.read(client.request(), bounds(portion_s=0.0)), 0.05)


async def test_but_not_where_others_need_the_room() -> None:
    now = 0.0
    within = Bounds(ByteBudget(8 * MIB, 8 * MIB, clock=lambda: now), 8 * MIB, 60.0)
    client = Client([b"{}"], stays=True, headers=announced(8 * MIB))
    slow = client.request()
    reading = asyncio.create_task(bodies.read(slow, within))
    await client.waiting.wait()
    body = b"x" * MIB
    with pytest.raises(BodiesFull):
        await bodies.read(Client(pieces(body), headers=announced(body)).request(), within)
    now += STALLED_S
    assert await bodies.read(Client(pieces(body), headers=announced(body)).request(), within) == body
    with pytest.raises(BodiesFull, match="others needed its room"):
        await asyncio.wait_for(reading, 30)
    bodies.release(slow)
    assert within.budget.held == MIB


async def test_a_client_that_leaves_is_no_fault_of_ours() -> None:
    with pytest.raises(Cancelled):
        await bodies.read(Client([b"{"], leaves=True, headers=announced(4 * MIB)).request(), bounds())


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"a": "x", "key": "valid"}'),
        ("text/plain", b'{"a": "x", "key": "valid"}'),
        ("", b'{"a": "x", "key": "valid"}'),
        ("application/x-www-form-urlencoded", b"a=x&key=valid"),
        ("APPLICATION/X-WWW-FORM-URLENCODED; charset=utf-8", b"a=x&%6bE%59=no&%6bey=valid"),
        ("application/x-www-form-urlencoded", b' \n{"a": "x", "key": "valid"}'),
        ("application/x-www-form-urlencoded", b'\xef\xbb\xbf\n{"a": "x", "key": "valid"}'),
        ("application/x-www-form-urlencoded", b"\xef\xbb\xbfkey=valid&a=x"),
        ("application/json", b'\xef\xbb\xbf{"a": "x", "key": "valid"}'),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n"
            b"--x\r\nContent-Disposition: form-data; name=key\r\n\r\nvalid\r\n--x--\r\n",
        ),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_the_key_is_found_in_every_kind_of_body(content_type: str, body: bytes, size: int) -> None:
    scan: Scan = scan_of(content_type, "key")
    request = Client(pieces(body, size)).request()
    whole = await bodies.read(request, bounds(), sender=STRANGER, scan=scan)
    assert request.state.body_hold.keyed and scan.found == "valid"
    fields = scan.fields(whole)
    assert (fields["a"], fields["key"]) == ("x", "valid")
