"""Bodies that are too large, packed or slow, and requests that mean two things, at the edge: others don't notice."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hyperframe.frame import DataFrame

from tests.contract.conftest import Running, running
from tests.rigs.enterprise_client import PATH as ENTERPRISE
from tests.rigs.enterprise_client import SAMPLE
from tests.rigs.envoy import manager
from tests.rigs.envoy_site import Site, running_site, shorten
from tests.rigs.http2 import MOST_OF_A_FRAME, attacking
from tests.rigs.huggingface_client import PAYLOAD
from tests.rigs.scenario_client import BODY, GENERATE

MIB = 1 << 20
LIMIT = 24 * MIB
SENT = 64 * MIB
SLOW = 150
"""Clients that are slow at once."""
PIECE = bytes(256 * 1024)


def curt(bootstrap: dict[str, Any]) -> None:
    """After an answer that ends a connection, the edge waits a second for its client to leave; here it need not."""
    manager(bootstrap, "edge")["delayed_close_timeout"] = "0.1s"


def curt_and_hasty(bootstrap: dict[str, Any]) -> None:
    """With short timeouts as well."""
    curt(bootstrap)
    shorten(bootstrap)


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The edge as it is."""
    async with running_site(tmp_path_factory.mktemp("edge"), curt) as running:
        yield running


@pytest.fixture(scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The edge with short timeouts."""
    async with running_site(tmp_path_factory.mktemp("hasty"), curt_and_hasty) as running:
        yield running


def reached(site: Site, path: str) -> list[dict[str, Any]]:
    """What the gateway has seen of that path."""
    return [record for record in site.gateway.seen if record["path"] == path]


async def answer_to(port: int, content: bytes, more: bytes = b"", pieces: int = 0, last: bytes = b"") -> bytes:
    """All that is answered to `content`, so many `pieces` of `more`, and `last`; b"" if the connection was cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        try:
            writer.write(content)
            for _ in range(pieces):
                writer.write(more)
                await writer.drain()
            writer.write(last)
        except ConnectionError:
            pass

    sending = asyncio.create_task(send())
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        sending.cancel()
        writer.transport.abort()


DECLARED = f"POST /declared HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {SENT}\r\n\r\n".encode()
CHUNKED = b"POST /chunked HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%s\r\n" % (len(PIECE), PIECE)
TINY = b"1\r\nx\r\n" * 20_000


async def test_64_mib_of_known_length_are_refused_unseen(site: Site) -> None:
    answer = await answer_to(site.envoy.edge, DECLARED, PIECE, SENT // len(PIECE))
    head, _, body = answer.partition(b"\r\n\r\n")
    # A client that is still writing when the connection closes may see only that.
    assert not answer or (head.startswith(b"HTTP/1.1 413") and "24 MiB" in json.loads(body)["error"])
    assert reached(site, "/declared") == []


async def test_of_64_mib_of_unknown_length_no_more_than_the_limit_passes(site: Site) -> None:
    answer = await answer_to(site.envoy.edge, CHUNKED, CHUNK, SENT // len(PIECE))
    assert not answer or answer.startswith(b"HTTP/1.1 413")
    (record,) = reached(site, "/chunked")
    assert record["body"] <= LIMIT and not record["whole"]


async def test_a_body_in_pieces_of_one_byte_is_as_long_as_its_bytes(site: Site) -> None:
    """Three hundred thousand chunks: what breaks servers that keep something for each."""
    head = CHUNKED.replace(b"/chunked", b"/tiny")
    answer = await answer_to(site.envoy.edge, head, TINY, 15, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    (record,) = reached(site, "/tiny")
    assert record["whole"] and record["body"] == 300_000


@pytest.mark.parametrize("length", [[("content-length", str(SENT))], []], ids=["of known length", "of unknown length"])
async def test_64_mib_over_http2_are_refused_likewise(site: Site, length: list[tuple[str, str]]) -> None:
    path = f"/http2-{len(length)}"
    async with attacking(site.envoy.edge) as client:
        await client.send(client.open(1, client.head(path, "POST", length), ended=False))
        frame = DataFrame(1, bytes(MOST_OF_A_FRAME)).serialize()
        # No client library would write past the window; this one does.
        await client.flood(frame for _ in range(SENT // MOST_OF_A_FRAME))
        await client.until(lambda: client.closed.is_set() or bool(client.answered or client.resets))
    for record in reached(site, path):
        assert not length and record["body"] <= LIMIT and not record["whole"]


DOORS: dict[str, tuple[str, dict[str, Any], str]] = {
    "native": ("/controlmesh/v1/generations", {"prompt": "a boat"}, "application/json"),
    "native hints": ("/controlmesh/v1/hints", {"control": {"kind": "canny"}}, "application/json"),
    "native files": ("/controlmesh/v1/assets", {}, "image/png"),
    "enterprise": (ENTERPRISE, SAMPLE, "application/json"),
    "enterprise form": (ENTERPRISE, SAMPLE, "multipart/form-data; boundary=x"),
    "enterprise polling": ("/api/v7/images/fetch", {"request_id": "1"}, "application/json"),
    "huggingface": ("/", PAYLOAD, "application/json"),
    "scenario": (f"{GENERATE}/controlnet", BODY, "application/json"),
}
PACKINGS = ("gzip", "x-gzip", "GZip", " gzip ", "deflate", "br", "zstd", "identity, gzip", "gzip, gzip")


async def test_a_packed_body_is_refused_at_every_door_and_never_unpacked() -> None:
    async with running(default_model="demo") as mesh:
        # A thousand times as large once unpacked.
        bomb = gzip.compress(b" " * (16 * MIB) + b"{}")
        for door, (path, body, kind) in DOORS.items():
            for packing in PACKINGS:
                content = bomb if packing == "gzip" else gzip.compress(json.dumps(body).encode())
                headers = {"Content-Encoding": packing, "Content-Type": kind}
                async with mesh.http.post(path, data=content, headers=headers) as reply:
                    # One vendor's API knows no other status.
                    assert reply.status == (400 if door == "huggingface" else 415), (door, packing)
                    assert "compressed" in await reply.text(), (door, packing)
        await _nothing_began(mesh)


async def test_chunks_that_are_packed_on_the_way_are_refused(site: Site) -> None:
    before = len(site.gateway.seen)
    head = CHUNKED.replace(b"chunked\r\n\r\n", b"gzip, chunked\r\n\r\n")
    packed = gzip.compress(b"{}")
    answer = await answer_to(site.envoy.edge, head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed))
    assert answer.split(b" ")[1] in (b"400", b"501")
    assert len(site.gateway.seen) == before


async def _nothing_began(mesh: Running) -> None:
    assert await mesh.gateway.jobs.load() == (0, 0)
    assert not mesh.rooms.seen.prepared


SLOW_HEAD = b"GET /slow HTTP/1.1\r\nhost: x\r\nx-slow: "
SLOW_BODY = b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"


async def test_many_slow_clients_are_cut_and_others_are_served(hasty: Site) -> None:
    async def slow(content: bytes) -> bytes:
        """Goes on sending a byte at a time, which is no reason for patience."""
        reader, writer = await asyncio.open_connection("127.0.0.1", hasty.envoy.edge)
        writer.write(content)
        reading = asyncio.create_task(reader.read())
        try:
            while not (await asyncio.wait({reading}, timeout=0.1))[0]:
                writer.write(b"x")
            return await reading
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()

    async with asyncio.timeout(20), asyncio.TaskGroup() as clients:
        slow_ones = [clients.create_task(slow(kind)) for kind in (SLOW_HEAD, SLOW_BODY) for _ in range(SLOW // 2)]
        served = 0
        while not all(task.done() for task in slow_ones):
            async with hasty.client.get(hasty.url("/quick")) as reply:
                assert reply.status == 200
            served += 1
    assert served >= 3
    assert all(answer == b"" or answer.startswith(b"HTTP/1.1 408") for answer in (one.result() for one in slow_ones))
    assert not any(record["whole"] for record in reached(hasty, "/slow"))


async def test_slow_heads_and_bodies_over_http2_are_cut(hasty: Site) -> None:
    before = len(hasty.gateway.seen)
    async with attacking(hasty.envoy.edge) as head, attacking(hasty.envoy.edge) as body:
        await head.send(head.open(1, head.head("/slow-head"), whole=False))
        await body.send(body.open(1, body.head("/slow-body", "POST"), ended=False) + DataFrame(1, b"x").serialize())
        for client in (head, body):
            await client.until(lambda client=client: client.closed.is_set() or bool(client.resets or client.answered))
    assert [record["path"] for record in hasty.gateway.seen[before:]] in ([], ["/slow-body"])
    assert not any(record["whole"] for record in hasty.gateway.seen[before:])


TWO_MEANINGS = {
    "both lengths": b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n",
    "two lengths": b"content-length: 0\r\ncontent-length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\n",
    "a length of a list": b"content-length: 0, 30\r\n\r\nGET /smuggled HTTP/1.1\r\n",
    "a length below zero": b"content-length: -1\r\n\r\nGET /smuggled HTTP/1.1\r\n",
    "a length with a sign": b"content-length: +0\r\n\r\n",
    "chunked with a blank": b"transfer-encoding : chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n",
    "chunked spelled otherwise": b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n",
    "chunked twice": b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "a bare line feed": b"x: 1\ncontent-length: 0\r\n\r\n",
    "a folded line": b"x: 1\r\n content-length: 5\r\n\r\n",
    "a NUL in a header": b"x: a\0b\r\n\r\n",
}


ONE_MEANING = ("a bare line feed", "a folded line")
"""Of these, which are taken."""


async def test_no_request_has_another_one_in_it(site: Site) -> None:
    head = b"POST /outer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    answers = await asyncio.gather(
        *(answer_to(site.envoy.edge, head + rest + b"host: x\r\n\r\n") for rest in TWO_MEANINGS.values())
    )
    assert reached(site, "/smuggled") == []
    for name, answer in zip(TWO_MEANINGS, answers, strict=True):
        taken = answer.startswith(b"HTTP/1.1 200") and name in ONE_MEANING
        assert taken or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), (name, answer)
    # Of each that was taken, it was this request alone.
    assert len(reached(site, "/outer")) <= len(ONE_MEANING)


LONG = "x" * 8192
PATHS: dict[bytes, tuple[int, str]] = {
    b"/plain": (200, "/plain"),
    b"/a%00b": (400, ""),
    b"/a\0c": (400, ""),
    b"/" + LONG.encode(): (200, f"/{LONG}"),
    b"/" + b"y" * 40_000: (431, ""),
    b"/../1": (200, "/1"),
    b"/../../etc/passwd": (200, "/etc/passwd"),
    b"/%2e%2e/%2E./2": (200, "/2"),
    b"/a;b=c/d": (200, "/a;b=c/d"),
    b"/a%5c..%5cb": (307, ""),
    b"/a%2fb": (307, ""),
    b"//3": (200, "/3"),
    b"http://other.example/4": (200, "/4"),
    b"/a b": (400, ""),
    b"*": (400, ""),
}
"""What is asked for -> the status, and the path that the gateway sees."""


async def test_a_path_has_one_meaning_or_none(site: Site) -> None:
    before = len(site.gateway.seen)
    answers = await asyncio.gather(
        *(
            answer_to(site.envoy.edge, b"GET " + path + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            for path in PATHS
        )
    )
    for answer, (path, (status, _)) in zip(answers, PATHS.items(), strict=True):
        assert answer.startswith(b"HTTP/1.1 %d" % status), (path[:40], answer)
    # httptools has unescaped what was left to unescape.
    seen = {record["path"] for record in site.gateway.seen[before:]}
    assert seen == {path for _, path in PATHS.values() if path}
