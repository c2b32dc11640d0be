"""Hosts that mean harm: where pictures lie, and what they do to whoever asks for one. The trap counts connections."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from prometheus_client import REGISTRY

from gateway.egress.fetch import MOST_REDIRECTS, Fetcher
from gateway.egress.hosts import Egress
from gateway.generation.pictures import Pictures
from mesh.errors import InvalidInput

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Trap:
    """A listener on loopback that counts who connects; `behave` is what it does to them."""

    port: int = 0
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    behave: Behaviour | None = None

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.behave:
                await reader.readuntil(b"\r\n\r\n")
                await self.behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.left.set()
            writer.close()


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    trap = Trap()
    server = await asyncio.start_server(trap.meet, "127.0.0.1", 0)
    trap.port = server.sockets[0].getsockname()[1]
    yield trap
    server.close()


class Names(AbstractResolver):
    """Every name leads to the next answer of the list; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [
            ResolveResult(hostname=host, host=address, port=port, family=families[":" in address], proto=0, flags=0)
            for address in answer
        ]

    async def close(self) -> None:
        pass


# How loopback, link-local metadata and private networks are spelled by those who want to get there.
PLACES = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1",
    "127.0.0.1.", "127.8.8.8", "0.0.0.0", "0", "localhost", "LocalHost.", "name.example",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]", "[fe80::1%25lo]", "[fec0::1]", "[fd00::1]", "①②⑦.⓪.⓪.①", "１２７.0.0.1", "127。0。0。1",
    "user@127.0.0.1", "public.example@127.0.0.1", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1",
    "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
async def test_no_spelling_connects_to_a_private_address(trap: Trap, place: str) -> None:
    fetcher = Fetcher(resolver=Names(["127.0.0.1"]), ports=frozenset({trap.port}), timeout_s=2)
    with pytest.raises(InvalidInput, match="unable to fetch the picture of image"):
        await fetcher.fetch(f"http://{place}:{trap.port}/", "image")
    assert trap.connections == 0


@pytest.mark.parametrize("scheme", ["file", "gopher", "ftp", "dict", "data", "javascript", "ws", "unix"])
async def test_no_other_scheme_is_followed(trap: Trap, scheme: str) -> None:
    fetcher = Fetcher(allow=[f"127.0.0.1:{trap.port}"], timeout_s=2)
    with pytest.raises(InvalidInput, match="unable to fetch"):
        await fetcher.fetch(f"{scheme}://127.0.0.1:{trap.port}/", "image")
    assert trap.connections == 0


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:{port}/x"])
async def test_a_redirect_to_a_private_address_is_the_last_hop(hops: int, target: str) -> None:
    told: list[bytes] = []
    async with _listening() as trap, _listening() as start:

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            told.append(b"hop")
            place = f"/{len(told)}" if len(told) < hops else target.format(port=trap.port)
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()

        start.behave = redirect
        # The start is a public host, as far as the fetcher knows; private addresses at any port may be asked for.
        fetcher = Fetcher(
            allow=[f"start.example:{start.port}"],
            resolver=Names(["127.0.0.1"]),
            ports=frozenset({80, trap.port, start.port}),
            timeout_s=5,
        )
        with pytest.raises(InvalidInput, match="unable to fetch"):
            await fetcher.fetch(f"http://start.example:{start.port}/", "image")
        assert trap.connections == 0
        assert len(told) == hops


@pytest.mark.parametrize("answer", [["8.8.8.8", "127.0.0.1"], ["::1", "2001:4860:4860::8888"], ["127.0.0.1"], []])
async def test_a_name_is_resolved_once_and_refused_whole(trap: Trap, answer: list[str]) -> None:
    names = Names(answer, ["8.8.8.8"])
    with pytest.raises(InvalidInput):
        await Fetcher(resolver=names, ports=frozenset({trap.port})).fetch(f"http://a.example:{trap.port}/", "image")
    assert (names.asked, trap.connections) == (1, 0)


async def test_the_second_answer_of_a_name_is_never_asked_for(trap: Trap) -> None:
    names = Names(["8.8.8.8"], ["127.0.0.1"])
    fetcher = Fetcher(resolver=names, ports=frozenset({trap.port}), timeout_s=0.3)
    with pytest.raises(InvalidInput):
        await fetcher.fetch(f"http://rebind.example:{trap.port}/", "image")
    assert (names.asked, trap.connections) == (1, 0)


# --- what a host does that is reached ---------------------------------------------------------------------------


def _head(*lines: str) -> bytes:
    return "\r\n".join(("HTTP/1.1 200 OK", "Content-Type: image/png", *lines, "", "")).encode()


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_head())
    while True:
        writer.write(b"x")
        await writer.drain()
        if writer.transport.is_closing():
            return
        await asyncio.sleep(0.02)


async def _drip_of_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.transport.is_closing():
        writer.write(b"X-More: 1\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_head())
    while not writer.transport.is_closing():
        writer.write(bytes(65_536))
        await writer.drain()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def _once(content: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return behave


HARMFUL: dict[str, Behaviour] = {
    "drip": _drip,
    "drip of headers": _drip_of_headers,
    "endless": _endless,
    "silent": _silent,
    "declared larger than it is": _once(_head("Content-Length: 1000") + b"x" * 10),
    "declared larger than allowed": _once(_head("Content-Length: 999999999999") + b"x" * 10),
    "two lengths": _once(_head("Content-Length: 10", "Content-Length: 20") + b"x" * 10),
    "a length below zero": _once(_head("Content-Length: -1") + b"x" * 10),
    "broken chunks": _once(_head("Transfer-Encoding: chunked") + b"zz\r\nxx"),
    "an endless header": _once(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000),
    "no HTTP": _once(b"220 mail.example ESMTP\r\n"),
    "nothing": _once(b""),
    "HTML": _once(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"),
    "redirect to itself": _once(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
    "redirect to nowhere": _once(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
}


SLOW, CLOSED, BROKEN = (
    "it took longer than 0.5 seconds",
    "the host took no connection",
    "the host's answer is not valid",
)
WHY = {
    "drip": SLOW,
    "drip of headers": SLOW,
    "endless": "it is larger than 976.6 KiB",
    "silent": SLOW,
    "declared larger than it is": BROKEN,
    "declared larger than allowed": "it is larger than 976.6 KiB",
    "two lengths": BROKEN,
    "a length below zero": BROKEN,
    "broken chunks": BROKEN,
    "an endless header": BROKEN,
    "no HTTP": BROKEN,
    "nothing": CLOSED,
    "HTML": "it answered with 'text/html', which is no picture here",
    "redirect to itself": "it redirects more than 3 times",
    "redirect to nowhere": "it redirects to a URL that may not be fetched",
}


@pytest.mark.parametrize("name", HARMFUL)
async def test_a_harmful_host_gives_one_error_in_time_and_is_not_asked_again(trap: Trap, name: str) -> None:
    trap.behave = HARMFUL[name]
    fetcher = Fetcher(allow=[f"127.0.0.1:{trap.port}"], max_bytes=1_000_000, timeout_s=0.5)
    async with asyncio.timeout(10):
        with pytest.raises(InvalidInput) as caught:
            await fetcher.fetch(f"http://127.0.0.1:{trap.port}/", "image")
        # Whoever drips or hangs is hung up on.
        await trap.left.wait()
    why = caught.value.message.removeprefix("unable to fetch the picture of image: ")
    assert why.startswith(WHY[name])
    # aiohttp asks once more where a connection ended before its answer began.
    assert trap.connections == {"redirect to itself": MOST_REDIRECTS + 1, "nothing": 2}.get(name, 1)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(bytes(10_000_000)),
        b"<html><body>not found</body></html>",
        b"",
    ],
)
async def test_what_is_no_picture_is_refused_without_being_unpacked(trap: Trap, content: bytes) -> None:
    encoding = ("Content-Encoding: gzip",) if content[:2] == b"\x1f\x8b" else ()
    trap.behave = _once(_head(f"Content-Length: {len(content)}", *encoding) + content)
    fetcher = Fetcher(allow=[f"127.0.0.1:{trap.port}"], max_bytes=1_000_000)
    # Ten million zeros are ten thousand bytes: within the bound as they come, past it unpacked.
    with pytest.raises(InvalidInput, match="image") as caught:
        await Pictures(fetcher).read(f"http://127.0.0.1:{trap.port}/", "image")
    assert caught.value.field == "image"
    assert trap.connections == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1/", "address"),
        ("http://127.1/", "address"),
        ("http://8.8.8.8:6379/", "port"),
        ("file:///etc/passwd", "scheme"),
        ("http://me@8.8.8.8/", "user"),
        ("http://8.8.8.8\\x/", "spelling"),
    ],
)
async def test_what_is_refused_is_counted_by_its_reason(url: str, reason: str) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("cn_fetch_blocked_total", {"reason": reason}) or 0.0

    before = counted()
    with pytest.raises(InvalidInput):
        await Fetcher().fetch(url, "image")
    assert counted() == before + 1
    with pytest.raises(InvalidInput):
        Egress().check(url, "webhook")
    assert counted() == before + 2


class _listening:
    """A trap for as long as the context lasts."""

    async def __aenter__(self) -> Trap:
        trap = Trap()
        self._server = await asyncio.start_server(trap.meet, "127.0.0.1", 0)
        trap.port = self._server.sockets[0].getsockname()[1]
        return trap

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
