"""Connections to hosts that clients name, guarded against server-side request forgery (SSRF).

The URL is parsed once, by the library that also connects; its host is resolved once, all addresses are checked, and the
connection is made to exactly those addresses. Redirects are never followed here.
"""

import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from prometheus_client import Counter
from yarl import URL

from mesh.errors import InvalidInput

BLOCKED = Counter("cn_fetch_blocked_total", "Failed requests to hosts named by clients, by reason.", ["reason"])

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Everything that is not the public internet: IANA's registries of special-purpose addresses, multicast, what is
# reserved, and a cloud's platform service at a public address. Written out, because the standard library's is_global
# accepts NAT64, 6to4 and site-local spellings of loopback. The network policy of components/fetch-urls lists the same.
DENIED = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
        "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
        "240.0.0.0/4",
        # All but 2000::/3, the only block of global unicast: with it IPv4 addresses in IPv6 spelling, NAT64, segment
        # routing, private, link-local, site-local and multicast addresses.
        "::/3", "4000::/2", "8000::/1",
        # Inside it: Teredo, ORCHID and other protocols, documentation twice, 6to4, AS112.
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip
PORTS = frozenset({80, 443, 8080, 8443})
LONGEST_URL = 2048
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_NUMERIC = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)


class EgressRefused(Exception):
    """A host was refused. For the log, never for the caller, who could learn about the network from it.

    Args:
        reason: one word, the label of the metric.
        detail: details for the log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


FAILURES = (EgressRefused, aiohttp.ClientError, OSError, TimeoutError, ValueError)
"""Everything that a request to a host can raise."""


def count(error: Exception) -> None:
    """Count one of FAILURES in the metrics."""
    kind = "time" if isinstance(error, TimeoutError) else "connection"
    BLOCKED.labels(error.reason if isinstance(error, EgressRefused) else kind).inc()


def is_denied(address: str) -> bool:
    """Whether `address`, an IP address, lies outside the public internet."""
    parsed = ipaddress.ip_address(address)
    return any(parsed.version == block.version and parsed in block for block in DENIED)


def parsed(text: str, base: URL | None = None) -> URL:
    """Parse a URL that a client names.

    Raises:
        EgressRefused: it has characters that parsers disagree about, or a user name.
    """
    if not text or _UNSAFE.search(text):
        raise EgressRefused("spelling", "characters that parsers disagree about")
    url = URL(text) if base is None else base.join(URL(text))
    if url.scheme not in ("http", "https") or not url.host:
        raise EgressRefused("scheme", repr(url.scheme))
    if url.user is not None or url.password is not None:
        raise EgressRefused("user", "user information")
    return url.with_fragment(None)


class Egress:
    """Access to the public internet, and to the private addresses that the operator allows.

    Args:
        allow: host:port pairs that may be private, as written in URLs; host:* is any port of that host.
        resolver: resolves host names.
        ports: allowed ports of public hosts.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        resolver: AbstractResolver | None = None,
        ports: frozenset[int] = PORTS,
    ) -> None:
        self._allow = frozenset(allow)
        self._resolver = resolver or aiohttp.ThreadedResolver()
        self._ports = ports

    def check(self, text: str, field: str) -> str:
        """`text`, if it is a URL that may be requested; no name is resolved.

        Raises:
            InvalidInput: it never may: another scheme or port, user information, or a private address.
        """
        try:
            if len(text.encode()) > LONGEST_URL:
                raise EgressRefused("spelling", "length")
            url = parsed(text)
            self._host(url, self._allowed(url))
        except (EgressRefused, ValueError) as error:
            count(error)
            raise InvalidInput(
                f"{field} must be an http or https URL of a public host, of at most {LONGEST_URL} bytes, "
                "without user name and password",
                field=field,
            ) from None
        return text

    @asynccontextmanager
    async def session(self, url: URL, headers: Mapping[str, str] | None = None) -> AsyncIterator[aiohttp.ClientSession]:
        """Open a session for `url` whose connections go only to the addresses that were checked.

        The caller must refuse redirects or check them from scratch: pass allow_redirects=False.

        Raises:
            EgressRefused: the host is neither public nor allowed.
        """
        allowed = self._allowed(url)
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(await self._addresses(url, allowed)),
            use_dns_cache=False,
            force_close=True,
            socket_factory=_open if allowed else _open_public,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Compressed bodies are not decompressed: it would gain nothing, and could be a decompression bomb.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", **(headers or {})},
        ) as session:
            yield session

    def _allowed(self, url: URL) -> bool:
        return not self._allow.isdisjoint((f"{url.host}:{url.port}", f"{url.host}:*"))

    def _host(self, url: URL, allowed: bool) -> Address | None:
        """The IP address that `url` has as its host; None for a name. EgressRefused if it is not allowed."""
        if not allowed and url.port not in self._ports:
            raise EgressRefused("port", str(url.port))
        host = url.host or ""
        if literal := _literal(host):
            if not allowed and is_denied(str(literal)):
                raise EgressRefused("address", "not a public host")
            return literal
        if _NUMERIC.fullmatch(host):
            # 2130706433, 0x7f.1 and 127.1 are an address to some resolvers and a name to others.
            raise EgressRefused("address", "in an unusual spelling")
        return None

    async def _addresses(self, url: URL, allowed: bool) -> list[ResolveResult]:
        literal, host, port = self._host(url, allowed), url.host or "", url.port or 0
        if literal:
            family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
            return [ResolveResult(hostname=host, host=str(literal), port=port, family=family, proto=0, flags=0)]
        found = await self._resolver.resolve(host, port, socket.AF_UNSPEC)
        if not found or (not allowed and any(is_denied(entry["host"]) for entry in found)):
            raise EgressRefused("address", "not a public host")
        return found


class _Pinned(AbstractResolver):
    """Resolves to the addresses that were checked, whatever the name server says the second time."""

    def __init__(self, addresses: list[ResolveResult]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return self._addresses

    async def close(self) -> None:
        pass


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _open(info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    family, kind, proto, _, _ = info
    return socket.socket(family, kind, proto)


def _open_public(info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    # The final check: this is the address that the socket will connect to.
    if is_denied(str(info[4][0])):
        raise OSError("not a public address")
    return _open(info)
