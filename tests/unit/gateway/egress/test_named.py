"""Hosts of webhooks are looked up when they are named."""

import asyncio
import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.egress.hosts import RESOLVE_S, Egress
from mesh.errors import InvalidInput

ALLOW = "CN_GATEWAY_WEBHOOK_ALLOW"


class Names(AbstractResolver):
    """A name server that answers with addresses, or fails."""

    def __init__(self, *answer: str, error: OSError | None = None, silent: bool = False) -> None:
        self.asked = 0
        self._answer, self._error, self._silent = answer, error, silent

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        self.asked += 1
        if self._silent:
            await asyncio.Event().wait()
        if self._error:
            raise self._error
        return [
            ResolveResult(hostname=host, host=one, port=port, family=socket.AF_INET, proto=0, flags=0)
            for one in self._answer
        ]

    async def close(self) -> None:
        pass


def refused(number: int) -> OSError:
    return socket.gaierror(number, "as told")


async def test_a_public_host_is_taken() -> None:
    names = Names("93.184.216.34", "2606:2800:220:1::1")
    assert await Egress(resolver=names).named("https://hooks.test/a?b=c", "webhook") == "https://hooks.test/a?b=c"
    assert names.asked == 1


@pytest.mark.parametrize(
    "names",
    [
        Names("127.0.0.1"),
        Names("::1"),
        Names("169.254.169.254"),
        Names("10.0.0.1", "192.168.0.1"),
        # As at each delivery: one address that is not public is enough.
        Names("93.184.216.34", "10.0.0.1"),
        Names(),
        Names(error=refused(socket.EAI_NONAME)),
        Names(error=refused(socket.EAI_NODATA)),
    ],
)
async def test_a_host_that_is_not_public_or_does_not_exist_is_refused_in_the_same_words(names: Names) -> None:
    with pytest.raises(InvalidInput) as caught:
        await Egress(resolver=names, setting=ALLOW).named("http://metadata.google.internal/x", "webhook")
    with pytest.raises(InvalidInput) as literal:
        await Egress(resolver=names, setting=ALLOW).named("http://10.0.0.1/x", "webhook")
    assert str(caught.value) == str(literal.value)
    assert caught.value.field == "webhook"
    for word in (ALLOW, "80", "443", "8080", "8443"):
        assert word in caught.value.message


@pytest.mark.parametrize(
    "error", [refused(socket.EAI_AGAIN), refused(socket.EAI_FAIL), OSError("no name server"), TimeoutError()]
)
async def test_a_name_server_that_fails_loses_no_job(error: OSError) -> None:
    assert await Egress(resolver=Names(error=error)).named("https://hooks.test/", "webhook")


async def test_a_name_server_that_hangs_is_waited_for_a_bounded_time() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await Egress(resolver=Names(silent=True)).named("https://hooks.test/", "webhook")
    assert RESOLVE_S * 0.9 < loop.time() - began < RESOLVE_S + 5


@pytest.mark.parametrize("host", ["example.org", "hooks.example.com", "example.net"])
async def test_names_of_documents_are_taken_where_nothing_public_is_known(host: str) -> None:
    """The documents' examples can be sent as they stand."""
    unknown = Names(error=refused(socket.EAI_NONAME))
    assert await Egress(resolver=unknown).named(f"https://{host}/hook", "webhook")
    with pytest.raises(InvalidInput):
        await Egress(resolver=unknown).named("https://notexample.org/hook", "webhook")
    with pytest.raises(InvalidInput):
        await Egress(resolver=Names("127.0.0.1")).named(f"https://{host}/hook", "webhook")


async def test_an_allowed_host_may_be_private_and_must_exist() -> None:
    url = "http://receiver.internal:9000/hook"
    allow = ("receiver.internal:9000",)
    assert await Egress(allow=allow, resolver=Names("10.0.0.1")).named(url, "webhook") == url
    with pytest.raises(InvalidInput):
        await Egress(allow=allow, resolver=Names(error=refused(socket.EAI_NONAME))).named(url, "webhook")


async def test_what_never_may_be_is_not_looked_up() -> None:
    names = Names("93.184.216.34")
    for url in (
        "ftp://hooks.test/",
        "http://hooks.test:6379/",
        "http://a:b@hooks.test/",
        "http://2130706433/",
        "x" * 9,
    ):
        with pytest.raises(InvalidInput):
            await Egress(resolver=names).named(url, "webhook")
    assert names.asked == 0
