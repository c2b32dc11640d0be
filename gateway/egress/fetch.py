"""Fetches pictures that clients name by URL: from public hosts only, with few redirects, each checked from scratch."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from gateway.egress.hosts import FAILURES, PORTS, Egress, EgressRefused, count, parsed
from mesh.errors import InvalidInput
from mesh.pictures import MAX_BYTES
from mesh.telemetry import log

MOST_REDIRECTS = 3
# The first bytes of PNG, JPEG, WebP, GIF and TIFF.
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"II*\0", b"MM\0*")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


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

    async def fetch(self, url: str, field: str, *, only_pictures: bool = False) -> bytes:
        """Fetch the bytes at `url`.

        Args:
            url: named by a client.
            field: name of the request's field, for the error.
            only_pictures: whether what does not begin like a picture is a failure, too, at hosts that may be private:
                a service that listens there and sends no picture is not to be told from a closed port.

        Raises:
            InvalidInput: the same message for every failure, so that nobody can map a network with it.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                at, content = await self._follow(url)
                if only_pictures and self._egress.is_private(at) and not content.startswith(_SIGNATURES):
                    raise EgressRefused("content", "no picture")
                return content
        except FAILURES as error:
            count(error)
            log.info("picture not fetched", field=field, reason=f"{type(error).__name__}: {error}"[:200])
            raise InvalidInput(
                f"unable to fetch the picture of {field}: its URL must return a picture of at most "
                f"{self._max_bytes} bytes on a public http or https host",
                field=field,
            ) from None

    def session(
        self, url: URL, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
        """See Egress.session."""
        return self._egress.session(url, headers)

    async def body(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body; EgressRefused if it is larger than the limit."""
        if (response.content_length or 0) > self._max_bytes:
            raise EgressRefused("size", "Content-Length too large")
        body = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            body += chunk
            if len(body) > self._max_bytes:
                raise EgressRefused("size", "too large")
        return bytes(body)

    async def _follow(self, url: str) -> tuple[URL, bytes]:
        at = parsed(url)
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._get(at)
            if isinstance(answer, bytes):
                return at, answer
            at = parsed(answer, at)
        raise EgressRefused("redirects", f"more than {MOST_REDIRECTS}")

    async def _get(self, url: URL) -> bytes | str:
        """The body, or the URL that it redirects to."""
        async with (
            self.session(url, {"Accept": "image/png, image/jpeg, image/webp"}) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status in _REDIRECTS:
                return response.headers.get("Location", "")
            if response.status != 200:
                raise EgressRefused("status", str(response.status))
            if response.content_type == "text/html":
                raise EgressRefused("content", response.content_type)
            return await self.body(response)
