"""Fetches pictures that clients name by URL, without becoming their way into private networks.

The URL is parsed once, by the library that also connects; its host is resolved once, all answers are checked, and the
connection goes to those very addresses. Redirects are followed by hand, each one from the start.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from mesh.errors import InvalidInput
from mesh.pictures import MAX_BYTES
from mesh.telemetry import log

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Everything that is not the public internet. The standard library's is_global lets NAT64, 6to4 and site-local
# spellings of loopback pass, so the list is written out.
DENIED = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "::/128", "::1/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23",
        "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
PORTS = frozenset({80, 443, 8080, 8443})
MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_NUMERIC = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)


class Refused(Exception):
    """Why a URL is not fetched; for the log, never for the caller, who would learn about the network from it."""


def is_denied(address: str) -> bool:
    """Whether `address`, an IP address, lies outside the public internet."""
    parsed = ipaddress.ip_address(address)
    return any(parsed.version == block.version and parsed in block for block in DENIED)


class Fetcher:
    """Gets pictures from the public internet.

    Args:
        allow: host:port pairs that may be private, as written in URLs; host:* is any port of that host.
        timeout_s: seconds in which a picture must have arrived, redirects included.
        resolver: turns names into addresses.
        max_bytes: size of the largest picture.
        ports: those of public hosts that may be asked.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        timeout_s: float = 10.0,
        resolver: AbstractResolver | None = None,
        max_bytes: int = MAX_BYTES,
        ports: frozenset[int] = PORTS,
    ) -> None:
        self._allow = frozenset(allow)
        self._timeout_s = timeout_s
        self._resolver = resolver or aiohttp.ThreadedResolver()
        self._max_bytes = max_bytes
        self._ports = ports

    async def fetch(self, url: str, field: str) -> bytes:
        """The bytes behind `url`.

        Raises:
            InvalidInput: one text for everything that can go wrong, so that nobody maps a network with it.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url)
        except (Refused, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            log.info("picture not fetched", field=field, reason=f"{type(error).__name__}: {error}"[:200])
            raise InvalidInput(
                f"unable to fetch the picture of {field}: its URL must lead to a picture of at most "
                f"{self._max_bytes} bytes on a public http or https host",
                field=field,
            ) from None

    async def _follow(self, url: str) -> bytes:
        at = parsed(url)
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._get(at)
            if isinstance(answer, bytes):
                return answer
            at = parsed(answer, at)
        raise Refused(f"more than {MOST_REDIRECTS} redirects")

    @asynccontextmanager
    async def session(self, url: URL, headers: Mapping[str, str] | None = None) -> AsyncIterator[aiohttp.ClientSession]:
        """A session for `url`, whose connections reach the addresses that were checked and no others.

        Redirects are for the caller to refuse or to check from the start: ask with allow_redirects=False.

        Raises:
            Refused: the URL is not one of a public host, and not an allowed one.
        """
        allowed = not self._allow.isdisjoint((f"{url.host}:{url.port}", f"{url.host}:*"))
        if not allowed and url.port not in self._ports:
            raise Refused(f"port {url.port}")
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(await self._addresses(url, allowed)),
            use_dns_cache=False,
            force_close=True,
            socket_factory=_open if allowed else _open_public,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Compressed bodies are not unpacked: a picture gains nothing from it and a bomb loses everything.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", **(headers or {})},
        ) as session:
            yield session

    async def _get(self, url: URL) -> bytes | str:
        """The body, or the place that it redirects to."""
        async with (
            self.session(url, {"Accept": "image/png, image/jpeg, image/webp"}) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status in _REDIRECTS:
                return response.headers.get("Location", "")
            if response.status != 200:
                raise Refused(f"status {response.status}")
            return await self.body(response)

    async def body(self, response: aiohttp.ClientResponse) -> bytes:
        """All that is answered; Refused past the bound."""
        if (response.content_length or 0) > self._max_bytes:
            raise Refused("declared too large")
        body = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            body += chunk
            if len(body) > self._max_bytes:
                raise Refused("too large")
        return bytes(body)

    async def _addresses(self, url: URL, allowed: bool) -> list[ResolveResult]:
        host, port = url.host or "", url.port or 0
        if literal := _literal(host):
            family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
            found = [ResolveResult(hostname=host, host=str(literal), port=port, family=family, proto=0, flags=0)]
        elif _NUMERIC.fullmatch(host):
            # 2130706433, 0x7f.1 and 127.1 mean an address to some resolvers and a name to others.
            raise Refused("an address in an unusual spelling")
        else:
            found = await self._resolver.resolve(host, port, socket.AF_UNSPEC)
        if not found or (not allowed and any(is_denied(entry["host"]) for entry in found)):
            raise Refused("not a public host")
        return found


class _Pinned(AbstractResolver):
    """Answers with the addresses that were checked, whatever the name server says the second time."""

    def __init__(self, addresses: list[ResolveResult]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return self._addresses

    async def close(self) -> None:
        pass


def parsed(text: str, base: URL | None = None) -> URL:
    """The one reading of a URL that a client names; Refused for what parsers disagree about, and for user names."""
    if not text or _UNSAFE.search(text):
        raise Refused("characters that parsers disagree about")
    url = URL(text) if base is None else base.join(URL(text))
    if url.scheme not in ("http", "https") or not url.host:
        raise Refused(f"scheme {url.scheme!r}")
    if url.user is not None or url.password is not None:
        raise Refused("user information")
    return url.with_fragment(None)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _open(info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    family, kind, proto, _, _ = info
    return socket.socket(family, kind, proto)


def _open_public(info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    # The last look: this is the address that the socket will be connected to.
    if is_denied(str(info[4][0])):
        raise OSError("not a public address")
    return _open(info)
