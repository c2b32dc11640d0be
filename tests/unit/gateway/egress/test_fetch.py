"""Pictures named by URL: nothing that a client can write makes this process talk to a private network."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.egress.fetch import Fetcher
from mesh.errors import InvalidInput
from mesh.pictures import encode

PICTURE = encode(np.zeros((8, 16, 3), np.uint8))


@dataclass
class Trap:
    """A server on loopback that must not be reached, and what reached it."""

    port: int = 0
    paths: list[str] = field(default_factory=list)
    answers: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(default_factory=dict)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(request.path_qs)
        if request.path in self.answers:
            return await self.answers[request.path](request)
        return web.Response(body=PICTURE)


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    trap = Trap()
    runner = web.ServerRunner(web.Server(trap.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1)
    await site.start()
    trap.port = runner.addresses[0][1]
    yield trap
    await runner.cleanup()


class Names(AbstractResolver):
    """Answers from a table; each list in it is one answer, the last one stays."""

    def __init__(self, table: dict[str, list[list[str]]]) -> None:
        self.table = table
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.table:
            raise OSError("no such host")
        answers = self.table[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in answer
        ]

    async def close(self) -> None:
        pass


LOCAL = {"localhost": [["127.0.0.1"]], "private.example": [["127.0.0.1"]], "metadata.example": [["169.254.169.254"]]}

SPELLINGS = [
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.1:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://１２７.0.0.1:{port}/",
    "http://127。0。0。1:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://private.example:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://user@127.0.0.1:{port}/",
    "http://public.example@127.0.0.1:{port}/",
    "http://public.example:80@127.0.0.1:{port}/",
    "http://:@public.example/",
    "http://127.0.0.1:{port}\\@public.example/",
    "http://public.example\\@127.0.0.1:{port}/",
    "http://public.example#@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\r\nHost: x",
    "http://127.0.0.1 :{port}/",
    "http://\t127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.example/",
    "http://10.0.0.1/",
    "http://[fd00::1]/",
    "http://",
    "http://:80/",
    "http://[",
    "http://unknown.example/",
    "",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_of_a_private_address_is_connected_to(trap: Trap, spelling: str) -> None:
    # The port is allowed, so that the address alone decides.
    fetcher = Fetcher(resolver=Names(LOCAL), ports=frozenset({80, 443, trap.port}), timeout_s=2)
    with pytest.raises(InvalidInput) as caught:
        await fetcher.fetch(spelling.format(port=trap.port), "init_image")
    assert caught.value.field == "init_image"
    assert trap.paths == []
    # One text for everything: what is refused and what is not there look the same.
    assert caught.value.message == (
        f"unable to fetch the picture of init_image: its URL must name a public http or https host at port "
        f"{_ports(80, 443, trap.port)}, without a user name (the operator can allow others with CN_GATEWAY_FETCH_ALLOW)"
    )


def _ports(*ports: int) -> str:
    first, second, third = sorted(ports)
    return f"{first}, {second} or {third}"


async def test_the_systems_own_resolver_is_checked_as_well(trap: Trap) -> None:
    fetcher = Fetcher(ports=frozenset({trap.port}), timeout_s=2)
    with pytest.raises(InvalidInput):
        await fetcher.fetch(f"http://localhost:{trap.port}/", "image")
    assert trap.paths == []


async def test_a_private_address_that_the_operator_allows_is_fetched(trap: Trap) -> None:
    fetcher = Fetcher(allow=[f"127.0.0.1:{trap.port}"])
    assert await fetcher.fetch(f"http://127.0.0.1:{trap.port}/a.png?size=1", "image") == PICTURE
    assert trap.paths == ["/a.png?size=1"]


async def test_what_is_allowed_is_that_host_at_that_port(trap: Trap) -> None:
    for allow in (f"127.0.0.1:{trap.port + 1}", f"127.0.0.2:{trap.port}", "127.0.0.1"):
        fetcher = Fetcher(allow=[allow], resolver=Names(LOCAL), ports=frozenset({trap.port}))
        with pytest.raises(InvalidInput):
            await fetcher.fetch(f"http://127.0.0.1:{trap.port}/", "image")
    assert trap.paths == []


async def test_any_port_of_a_host_may_be_allowed_and_of_that_host_only(trap: Trap) -> None:
    fetcher = Fetcher(allow=["127.0.0.1:*"], resolver=Names(LOCAL), ports=frozenset({trap.port}))
    assert await fetcher.fetch(f"http://127.0.0.1:{trap.port}/", "image") == PICTURE
    for host in ("localhost", "private.example", "[::1]", "127.1", "2130706433"):
        with pytest.raises(InvalidInput):
            await fetcher.fetch(f"http://{host}:{trap.port}/other", "image")
    assert trap.paths == ["/"]


async def test_only_the_ports_of_web_servers_are_asked(trap: Trap) -> None:
    names = Names({"public.example": [["8.8.8.8"]]})
    with pytest.raises(InvalidInput):
        await Fetcher(resolver=names).fetch("http://public.example:6379/", "image")
    assert names.asked == []


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/secret", "http://private.example:{port}/secret", "file:///etc/passwd"]
)
async def test_a_redirect_is_checked_like_the_first_url(trap: Trap, hops: int, target: str) -> None:
    async def redirect(request: web.Request) -> web.Response:
        number = int(request.path[1:])
        place = f"/{number + 1}" if number < hops else target.format(port=trap.port)
        return web.Response(status=302, headers={"Location": place})

    trap.answers = {f"/{number}": redirect for number in range(1, 4)}
    # The starting host is allowed; where it leads is not.
    start = f"start.example:{trap.port}"
    names = Names({**LOCAL, "start.example": [["127.0.0.1"]]})
    fetcher = Fetcher(allow=[start], resolver=names, ports=frozenset({trap.port}))
    with pytest.raises(InvalidInput):
        await fetcher.fetch(f"http://{start}/1", "image")
    assert trap.paths == [f"/{number}" for number in range(1, hops + 1)]


async def test_three_redirects_are_followed_and_four_are_not(trap: Trap) -> None:
    async def redirect(request: web.Request) -> web.Response:
        left = int(request.path[1:])
        return web.Response(status=307, headers={"Location": f"/{left - 1}" if left > 1 else "/picture"})

    trap.answers = {f"/{number}": redirect for number in range(1, 5)}
    fetcher = Fetcher(allow=[f"127.0.0.1:{trap.port}"])
    assert await fetcher.fetch(f"http://127.0.0.1:{trap.port}/3", "image") == PICTURE
    with pytest.raises(InvalidInput):
        await fetcher.fetch(f"http://127.0.0.1:{trap.port}/4", "image")
    assert trap.paths[4:] == ["/4", "/3", "/2", "/1"]


async def test_a_name_that_changes_its_mind_is_asked_once(trap: Trap) -> None:
    # First a public answer, then loopback: had it been resolved twice, the trap would have been reached.
    names = Names({"rebind.example": [["192.0.0.170"], ["127.0.0.1"]]})
    with pytest.raises(InvalidInput):
        await Fetcher(resolver=names, ports=frozenset({trap.port}), timeout_s=1).fetch(
            f"http://rebind.example:{trap.port}/", "image"
        )
    assert names.asked == ["rebind.example"]
    # A public first answer is connected to as it was, whatever is said later.
    names = Names({"rebind.example": [["8.8.8.8"], ["127.0.0.1"]]})
    with pytest.raises(InvalidInput):
        await Fetcher(resolver=names, ports=frozenset({trap.port}), timeout_s=0.3).fetch(
            f"http://rebind.example:{trap.port}/", "image"
        )
    assert names.asked == ["rebind.example"]
    assert trap.paths == []


@pytest.mark.parametrize("mixed", [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["2001:4860:4860::8888", "::1"]])
async def test_a_name_with_one_private_address_is_refused_whole(trap: Trap, mixed: list[str]) -> None:
    names = Names({"mixed.example": [mixed]})
    with pytest.raises(InvalidInput):
        await Fetcher(resolver=names, ports=frozenset({trap.port})).fetch(f"http://mixed.example:{trap.port}/", "image")
    assert trap.paths == []


async def test_a_body_without_end_is_cut(trap: Trap) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 64:
            await response.write(bytes(65_536))
            sent += 1
        return response

    trap.answers = {"/": endless}
    fetcher = Fetcher(allow=[f"127.0.0.1:{trap.port}"], max_bytes=100_000)
    with pytest.raises(InvalidInput, match=r"it is larger than 97\.7 KiB"):
        await fetcher.fetch(f"http://127.0.0.1:{trap.port}/", "image")


async def test_a_dripping_server_is_left_in_time(trap: Trap) -> None:
    left = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            await response.write(b"x")
            await asyncio.Event().wait()
        finally:
            left.set()
        return response

    trap.answers = {"/": drip}
    began = asyncio.get_running_loop().time()
    with pytest.raises(InvalidInput):
        await Fetcher(allow=[f"127.0.0.1:{trap.port}"], timeout_s=0.3).fetch(f"http://127.0.0.1:{trap.port}/", "image")
    assert asyncio.get_running_loop().time() - began < 2


async def test_a_compressed_body_is_not_unpacked(trap: Trap) -> None:
    async def bomb(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=b"\x1f\x8b as it is", headers={"Content-Encoding": "gzip"}, content_type="image/png")

    trap.answers = {"/": bomb}
    fetcher = Fetcher(allow=[f"127.0.0.1:{trap.port}"])
    with pytest.raises(InvalidInput, match=r"'image/png', compressed although not asked to \('gzip'\)"):
        await fetcher.fetch(f"http://127.0.0.1:{trap.port}/", "image")


@pytest.mark.parametrize("status", [201, 204, 304, 404, 500])
async def test_another_status_than_200_is_refused_and_said(trap: Trap, status: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status)

    trap.answers = {"/": answer}
    with pytest.raises(InvalidInput, match=f"of image: it answered with status {status}$"):
        await Fetcher(allow=[f"127.0.0.1:{trap.port}"]).fetch(f"http://127.0.0.1:{trap.port}/", "image")


async def test_a_web_page_is_said_to_be_none_and_a_picture_under_a_wrong_label_is_one(trap: Trap) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>sign in</html>", content_type="text/html")

    async def mislabelled(request: web.Request) -> web.Response:
        return web.Response(body=PICTURE, content_type="text/html")

    trap.answers = {"/page": page, "/picture": mislabelled}
    fetcher = Fetcher(allow=[f"127.0.0.1:{trap.port}"])
    with pytest.raises(InvalidInput, match="it answered with 'text/html', which is no picture here"):
        await fetcher.fetch(f"http://127.0.0.1:{trap.port}/page", "image")
    assert await fetcher.fetch(f"http://127.0.0.1:{trap.port}/picture", "image") == PICTURE


async def test_a_redirect_to_a_forbidden_host_says_the_same_whatever_is_there(trap: Trap) -> None:
    places = {
        "/name": "http://private.example/x",
        "/nothing": "http://unknown.example/x",
        "/port": "http://public.example:22/",
        "/address": "http://10.0.0.1/",
        "/file": "file:///etc/passwd",
    }

    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": places[request.path]})

    trap.answers = dict.fromkeys(places, redirect)
    fetcher = Fetcher(allow=[f"127.0.0.1:{trap.port}"], resolver=Names(LOCAL))
    told = set()
    for path in places:
        with pytest.raises(InvalidInput) as caught:
            await fetcher.fetch(f"http://127.0.0.1:{trap.port}{path}", "image")
        told.add(caught.value.message)
    (message,) = told
    assert "it redirects to a URL that may not be fetched; it must name a public" in message


async def test_a_closed_port_of_an_allowed_host_and_one_that_is_silent_are_told_apart(trap: Trap) -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    trap.answers = {"/": silent}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = (trap.port, closed.getsockname()[1])
        fetcher = Fetcher(allow=[f"127.0.0.1:{port}" for port in ports], timeout_s=0.3)
        for port, why in zip(ports, (r"it took longer than 0\.3 seconds", "the host took no connection"), strict=True):
            with pytest.raises(InvalidInput, match=why):
                await fetcher.fetch(f"http://127.0.0.1:{port}/", "image")
        # Where every port is allowed, answers that differ would map them.
        mapped = Fetcher(allow=["127.0.0.1:*"], timeout_s=0.3)
        for port in ports:
            with pytest.raises(InvalidInput, match="there is no picture at this URL that could be read in time"):
                await mapped.fetch(f"http://127.0.0.1:{port}/", "image")


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ("/my picture.png", "/my%20picture.png"),
        ("/my%20picture.png", "/my%20picture.png"),
        ("/a.png?name=b c", "/a.png?name=b%20c"),
        ("/é/ü.png?q=ä", "/%C3%A9/%C3%BC.png?q=%C3%A4"),
        ("/a.png\r\n", "/a.png"),
        ("/a.png \t", "/a.png"),
        ("/a.png#part one", "/a.png"),
    ],
)
async def test_urls_are_asked_for_as_browsers_do(trap: Trap, sent: str, asked: str) -> None:
    agents = []

    async def moved(request: web.Request) -> web.Response:
        agents.append(request.headers["User-Agent"])
        return web.Response(status=302, headers={"Location": sent.strip()})

    trap.answers = {"/moved": moved}
    fetcher, base = Fetcher(allow=[f"127.0.0.1:{trap.port}"]), f"http://127.0.0.1:{trap.port}"
    assert await fetcher.fetch(f"\n {base}{sent}", "image") == PICTURE
    assert await fetcher.fetch(f"{base}/moved", "image") == PICTURE
    assert trap.paths == [asked, "/moved", asked]
    assert agents == ["ControlMesh/1"]


async def test_a_place_whose_bytes_are_no_utf_8_is_asked_for_by_its_bytes(trap: Trap) -> None:
    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        place = f"http://127.0.0.1:{trap.port}/r".encode() + b"\xe9.png"
        writer.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + place + b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(told, "127.0.0.1", 0)
    async with server:
        fetcher = Fetcher(allow=["127.0.0.1:*"])
        assert await fetcher.fetch(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", "image") == PICTURE
    assert trap.paths == ["/r%E9.png"]
