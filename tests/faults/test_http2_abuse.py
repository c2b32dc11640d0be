"""Known attacks on HTTP/2 against Envoy's listeners for clients: they are borne, ended, and others are served."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import chain, repeat

import psutil
import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, PingFrame, PriorityFrame, RstStreamFrame, SettingsFrame
from hyperframe.frame import WindowUpdateFrame as Window

from tests.rigs.envoy_site import Site, running_site
from tests.rigs.http2 import MOST_OF_A_FRAME, Attacker, attacking

Flood = Callable[[Attacker], Iterable[bytes]]

MOST_STREAMS = 100
"""At once of one connection, as the edge's configuration says."""
MOST_MEMORY = 64 << 20
"""That an attack may take from Envoy, in bytes. What the bombs here would unpack to is 4 GiB."""


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The edge as it is."""
    async with running_site(tmp_path_factory.mktemp("edge")) as running:
        # Whatever it does for the first time has its memory.
        for _ in range(3):
            await _served(running)
        yield running


def envoy_of(site: Site) -> psutil.Process:
    """The process of the site's Envoy."""
    return next(
        child for child in psutil.Process().children() if str(site.envoy.log.with_name("envoy.yaml")) in child.cmdline()
    )


async def _served(site: Site) -> None:
    async with site.client.get(site.url("/other")) as reply:
        assert reply.status == 200


@asynccontextmanager
async def others(site: Site) -> AsyncIterator[None]:
    """Other clients ask all the time; every one of them must be served, and Envoy must stay the process that it is."""
    envoy = envoy_of(site)
    before, served, over = envoy.memory_info().rss, 0, asyncio.Event()

    async def asking() -> int:
        nonlocal served
        while not over.is_set():
            await _served(site)
            served += 1
        return served

    task = asyncio.create_task(asking())
    try:
        yield
    finally:
        over.set()
        await task
    await _served(site)
    assert served and envoy.is_running()
    assert envoy.memory_info().rss - before < MOST_MEMORY


def paths(site: Site, path: str) -> int:
    """How many requests with that path have reached the gateway."""
    return sum(record["path"] == path for record in site.gateway.seen)


def rapid_resets(attacker: Attacker) -> Iterable[bytes]:
    """Streams that are reset as soon as they are opened, so that they never count as open."""
    block = attacker.head("/reset")
    for stream in range(1, 40_000, 2):
        yield attacker.open(stream, block) + RstStreamFrame(stream, 8).serialize()


def continuations(attacker: Attacker) -> Iterable[bytes]:
    """A header block without end: every frame says that more is to come."""
    block = attacker.head("/continued", extra=[("x-long", "x" * 1000)])
    first = attacker.open(1, block, whole=False)
    more = attacker.encoder.encode([("x-longer", "y" * 8000)], huffman=False)
    return chain([first], repeat(ContinuationFrame(1, more[:MOST_OF_A_FRAME]).serialize(), 500))


def empty_continuations(attacker: Attacker) -> Iterable[bytes]:
    """The same of frames that hold nothing: no size is ever reached."""
    return chain(
        [attacker.open(1, attacker.head("/continued"), whole=False)],
        repeat(ContinuationFrame(1, b"").serialize() * 100, 500),
    )


def header_bombs(attacker: Attacker) -> Iterable[bytes]:
    """Four kilobytes put into the table once, and named in one byte each three thousand times in every request."""
    first = attacker.head("/bomb", extra=[("x-bomb", "b" * 3900)])
    yield attacker.open(1, first)
    # Index 62 is the newest entry of the dynamic table.
    bomb = attacker.head("/bomb") + b"\xbe" * 3000
    for stream in range(3, 801, 2):
        yield attacker.open(stream, bomb)


def cookie_bombs(attacker: Attacker) -> Iterable[bytes]:
    """The same of crumbs of a cookie, which are joined into one header and may not be counted one by one."""
    yield attacker.open(1, attacker.head("/bomb", extra=[("cookie", "c" * 3900)]))
    bomb = attacker.head("/bomb") + b"\xbe" * 3000
    for stream in range(3, 801, 2):
        yield attacker.open(stream, bomb)


def pings(attacker: Attacker) -> Iterable[bytes]:
    """Each of which wants an answer, of a client that does not read them."""
    return repeat(PingFrame(0, b"12345678").serialize() * 200, 200)


def settings(attacker: Attacker) -> Iterable[bytes]:
    """The same of settings, each of which is acknowledged."""
    return repeat(SettingsFrame(0, settings={3: 100}).serialize() * 200, 200)


def empty_data(attacker: Attacker) -> Iterable[bytes]:
    """A body of frames that hold nothing and never end it."""
    return chain(
        [attacker.open(1, attacker.head("/empty", "POST"), ended=False)],
        repeat(DataFrame(1, b"").serialize() * 50, 100),
    )


def priorities(attacker: Attacker) -> Iterable[bytes]:
    """Streams that depend on one another, shuffled all the time."""
    frames = [PriorityFrame(n, depends_on=0, stream_weight=n % 250).serialize() for n in range(1, 400, 2)]
    return repeat(b"".join(frames), 100)


def windows(attacker: Attacker) -> Iterable[bytes]:
    """Room for answers, one byte at a time."""
    return chain(
        [attacker.open(1, attacker.head("/stuck", "POST"), ended=False)],
        repeat(Window(1, window_increment=1).serialize() * 200, 200),
    )


FLOODS: Mapping[str, Flood] = {
    "rapid resets": rapid_resets,
    "an empty header block without end": empty_continuations,
    "pings": pings,
    "settings": settings,
    "empty pieces of a body": empty_data,
    "priorities": priorities,
    "windows": windows,
}
BORNE = frozenset({"pings", "settings", "empty pieces of a body"})
"""Floods that Envoy ends only if their answers pile up, or their stream is still open: else they cost it nothing."""
DOORS = ("edge", "mesh")
"""Listeners that clients reach: of HTTP, and of gRPC."""
BOMBS: Mapping[str, Flood] = {"headers": header_bombs, "cookies": cookie_bombs}


@pytest.mark.parametrize("door", DOORS)
async def test_floods_are_ended_and_others_are_served(site: Site, door: str) -> None:
    """All at once: each on a connection of its own, which Envoy closes, or bears."""

    async def attack(name: str) -> None:
        async with attacking(getattr(site.envoy, door)) as attacker:
            await attacker.flood(FLOODS[name](attacker))
            if name in BORNE:
                return
            try:
                await asyncio.wait_for(attacker.closed.wait(), 15)
            except TimeoutError:
                raise AssertionError(f"{name}: the connection is still open") from None

    before = paths(site, "/reset")
    async with others(site), asyncio.TaskGroup() as attacks:
        for name in FLOODS:
            attacks.create_task(attack(name))
    # Resets are stopped before they have become work for the gateway.
    assert paths(site, "/reset") - before <= MOST_STREAMS


@pytest.mark.parametrize("door", DOORS)
async def test_a_header_block_without_end_is_given_up_at_its_limit(site: Site, door: str) -> None:
    async with others(site), attacking(getattr(site.envoy, door)) as attacker:
        await attacker.flood(continuations(attacker))
        await attacker.until(lambda: 1 in attacker.resets)
    assert paths(site, "/continued") == 0


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("door", DOORS)
async def test_headers_count_by_what_they_unpack_to(site: Site, door: str, name: str) -> None:
    before = paths(site, "/bomb")
    async with others(site), attacking(getattr(site.envoy, door)) as attacker:
        await attacker.flood(BOMBS[name](attacker))
        await attacker.until(lambda: len(attacker.resets) >= MOST_STREAMS or attacker.closed.is_set())
        # The first one only filled the table.
        assert attacker.answered <= {1}
    assert paths(site, "/bomb") - before <= 1


async def test_of_a_thousand_streams_a_hundred_are_open(site: Site) -> None:
    before = paths(site, "/stuck")
    async with others(site), attacking(site.envoy.edge) as attacker:
        block = attacker.head("/stuck")
        await attacker.flood(attacker.open(stream, block) for stream in range(1, 2001, 2))
        await attacker.until(lambda: len(attacker.resets) >= 1000 - MOST_STREAMS or attacker.closed.is_set())
    assert 0 < paths(site, "/stuck") - before <= MOST_STREAMS
