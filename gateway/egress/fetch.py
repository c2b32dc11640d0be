"""Fetches pictures that clients name by URL: from public hosts only, with few redirects, each checked from scratch."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from gateway.egress.hosts import FAILURES, PORTS, Egress, EgressRefused, count, parsed
from mesh.containers import MAX_BYTES, sniff
from mesh.errors import InvalidInput
from mesh.quantities import sized
from mesh.telemetry import log

MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


SETTING = "CN_GATEWAY_FETCH_ALLOW"
"""Lists the hosts that may be private."""


class Unfit(EgressRefused):
    """A host that may be asked has no picture at the URL.

    Args:
        reason, detail: as in EgressRefused.
        why: a sentence about the URL, for the caller: "it answered with status 404".
    """

    def __init__(self, reason: str, why: str, detail: str = "") -> None:
        super().__init__(reason, detail or why)
        self.why = why


@dataclass
class _Trail:
    """How far a fetch came.

    Attributes:
        redirects: how many were followed.
        is_open: whether the host of the last URL may be asked: it is public, or allowed. Before that, nothing may be
            told about it, not even whether it exists.
    """

    redirects: int = 0
    is_open: bool = False


class Fetcher:
    """Fetches pictures from the public internet.

    Args:
        allow: host:port pairs that may be private, as written in URLs; host:* is any port of that host. A function is
            asked each time.
        timeout_s: timeout in seconds for a picture, redirects included.
        resolver: resolves host names.
        max_bytes: size of the largest picture.
        ports: allowed ports of public hosts.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str] | Callable[[], Iterable[str]] = (),
        timeout_s: float = 10.0,
        resolver: AbstractResolver | None = None,
        max_bytes: int = MAX_BYTES,
        ports: frozenset[int] = PORTS,
    ) -> None:
        self._egress = Egress(allow=allow, resolver=resolver, ports=ports)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        *most, last = sorted(ports)
        self._ports = f"{', '.join(map(str, most))} or {last}" if most else str(last)

    async def fetch(self, url: str, field: str) -> bytes:
        """Fetch the bytes at `url`, whose beginning is a picture's.

        Raises:
            InvalidInput: it says why if the host is public or allowed, and otherwise the same for every host and
                failure, so that nobody can map a network with it.
        """
        trail = _Trail()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url, trail)
        except FAILURES as error:
            count(error)
            log.info("picture not fetched", field=field, reason=f"{type(error).__name__}: {error}"[:200])
            raise InvalidInput(
                f"unable to fetch the picture of {field}: {self._why(error, trail)}", field=field
            ) from None

    def session(
        self, url: URL, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
        """See Egress.session."""
        return self._egress.session(url, headers)

    async def body(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body; Unfit if it is larger than the limit."""
        if (response.content_length or 0) > self._max_bytes:
            raise self._too_large("Content-Length too large")
        body = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large("too large")
        return bytes(body)

    def _too_large(self, detail: str) -> Unfit:
        return Unfit("size", f"it is larger than {sized(self._max_bytes)}", detail)

    def _why(self, error: Exception, trail: _Trail) -> str:
        """What the caller may know of a failure."""
        if isinstance(error, Unfit):
            return error.why
        if not trail.is_open:
            subject = "it redirects to a URL that may not be fetched; it" if trail.redirects else "its URL"
            return (
                f"{subject} must name a public http or https host at port {self._ports}, without a user name "
                f"(the operator can allow others with {SETTING})"
            )
        if isinstance(error, TimeoutError):
            return f"it took longer than {self._timeout_s:g} seconds"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return "the host's certificate is not valid"
        if isinstance(error, aiohttp.ClientConnectionError | OSError):
            return "the host took no connection, or closed it"
        return "the host's answer is not valid HTTP"

    async def _follow(self, url: str, trail: _Trail) -> bytes:
        at = parsed(url)
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._get(at, trail)
            if isinstance(answer, bytes):
                return answer
            trail.redirects, trail.is_open = trail.redirects + 1, False
            at = parsed(answer, at)
        raise Unfit("redirects", f"it redirects more than {MOST_REDIRECTS} times")

    async def _get(self, url: URL, trail: _Trail) -> bytes | str:
        """The body, or the URL that it redirects to."""
        async with self.session(url, {"Accept": "image/png, image/jpeg, image/webp"}) as session:
            trail.is_open = True
            async with session.get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS:
                    return response.headers.get("Location", "")
                if response.status != 200:
                    raise Unfit("status", f"it answered with status {response.status}")
                body = await self.body(response)
                if sniff(body) is None:
                    raise Unfit("content", f"it answered with {_described(body, response)}, which is no picture here")
                return body


def _described(body: bytes, response: aiohttp.ClientResponse) -> str:
    """What an answer is by its headers."""
    if not body:
        return "an empty body"
    encoding = response.headers.get("Content-Encoding", "identity")
    packed = "" if encoding.lower() in ("", "identity") else f", compressed although not asked to ({encoding[:20]!r})"
    return f"{response.content_type[:80]!r}{packed}"
