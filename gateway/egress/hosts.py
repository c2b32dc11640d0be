"""Connections to hosts that clients name, guarded against server-side request forgery (SSRF).

The URL is parsed once, by the library that also connects; its host is resolved once, all addresses are checked, and the
connection is made to exactly those addresses. Redirects are never followed here.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from prometheus_client import Counter
from yarl import URL

from mesh.errors import InvalidInput
from mesh.telemetry import log

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
RESOLVE_S = 2.0
"""Seconds for which the host of a URL is looked up when the URL is named."""
DOCUMENTATION = ("example.com", "example.net", "example.org")
"""Reserved for documents (RFC 2606), whose examples are taken even where the name server knows no public names."""
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
# Scheme and host, as browsers split a URL; a relative one has none.
_ORIGIN = re.compile(r"(?:[^/?#]*//[^/?#]*)?")
# Left as it is when a URL is encoded; what is not safe among it is refused afterwards.
_ASCII = "".join(map(chr, range(0x80))).replace(" ", "")
USER_AGENT = "ControlMesh/1"
"""The name under which hosts that clients name are asked, unless a caller has one of its own."""
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

    Blanks and line breaks around it are left out; behind the host, blanks and characters beyond ASCII are encoded, as
    browsers do.

    Raises:
        EgressRefused: it has characters that parsers disagree about, or a user name.
    """
    text = text.strip("\t\n\r\f ")
    origin = _ORIGIN.match(text)
    assert origin is not None
    # Header lines have bytes that are no UTF-8 as surrogates.
    text = origin[0] + quote(text[origin.end() :], _ASCII, errors="surrogateescape")
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
        allow: host:port pairs that may be private, as written in URLs; host:* is any port of that host. A function is
            asked each time.
        resolver: resolves host names.
        ports: allowed ports of public hosts.
        setting: name of the setting that allows others, for errors.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str] | Callable[[], Iterable[str]] = (),
        resolver: AbstractResolver | None = None,
        ports: frozenset[int] = PORTS,
        setting: str = "",
    ) -> None:
        pairs = () if callable(allow) else frozenset(allow)
        self._allow: Callable[[], Iterable[str]] = allow if callable(allow) else lambda: pairs
        self._setting = setting
        self._resolver = resolver or aiohttp.ThreadedResolver()
        self._ports = ports

    def check(self, text: str, field: str) -> str:
        """`text`, if it is a URL that may be requested; no name is resolved.

        Raises:
            InvalidInput: it never may: another scheme or port, user information, or a private address.
        """
        try:
            self._literal_host(text)
        except (EgressRefused, ValueError) as error:
            raise self._refusal(error, field) from None
        return text

    async def named(self, text: str, field: str) -> str:
        """`text`, if it is a URL whose host may be requested now: its name is resolved, within RESOLVE_S seconds.

        A name server that does not answer in time, or can't at the moment, refuses nothing: each connection checks the
        host again.

        Raises:
            InvalidInput: as `check`, and if the name does not exist or has an address outside the public internet; the
                same message for all, so that nobody can map a network with it.
        """
        try:
            url = self._literal_host(text)
            await self._resolvable(url)
        except (EgressRefused, ValueError) as error:
            raise self._refusal(error, field) from None
        return text

    def _literal_host(self, text: str) -> URL:
        if len(text.encode()) > LONGEST_URL:
            raise EgressRefused("spelling", "length")
        url = parsed(text)
        self._host(url, self._allowed(url))
        return url

    async def _resolvable(self, url: URL) -> None:
        try:
            async with asyncio.timeout(RESOLVE_S):
                await self._addresses(url, self._allowed(url))
        except OSError as error:
            if isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME and not _is_documentation(url):
                raise EgressRefused("name", "does not exist") from None
            log.info("name not resolved", host=url.host, reason=str(error)[:200] or "no answer in time")

    def _refusal(self, error: Exception, field: str) -> InvalidInput:
        count(error)
        log.info("URL refused", field=field, reason=str(error)[:200])
        ports = ", ".join(map(str, sorted(self._ports)))
        others = f"; the operator of this server can allow others in {self._setting}" if self._setting else ""
        return InvalidInput(
            f"{field} must be an http or https URL of a public host that exists, on port {ports}, of at most "
            f"{LONGEST_URL} bytes, without user name and password{others}",
            field=field,
        )

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
            headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT, **(headers or {})},
        ) as session:
            yield session

    def is_mapped(self, url: URL) -> bool:
        """Whether the operator allows the host of `url` at every port, and not at this one by name."""
        allow = frozenset(self._allow())
        return f"{url.host}:*" in allow and f"{url.host}:{url.port}" not in allow

    def _allowed(self, url: URL) -> bool:
        return not {f"{url.host}:{url.port}", f"{url.host}:*"}.isdisjoint(self._allow())

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


def _is_documentation(url: URL) -> bool:
    return any(f".{url.host}".endswith(f".{name}") for name in DOCUMENTATION)


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
