"""Middleware for requests of web pages: foreign ones are refused where no key is asked for, listed origins may call."""

from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.dialects.common.notes import HEADER as NOTES_HEADER
from gateway.dialects.native.docs.routes import ANNOTATOR_HEADER, EXTRACTOR_HEADER
from gateway.web.pages import Refused, check_host, check_page

CORS: Mapping[str, Any] = {
    "allow_methods": ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    # Whatever a listed origin asks for: vendors' clients send headers of their own.
    "allow_headers": ("*",),
    "expose_headers": (
        *("Allow", "Content-Disposition", "Link", "Location", "Preference-Applied", "Retry-After", "Server-Timing"),
        *("WWW-Authenticate", "X-Request-Id", ANNOTATOR_HEADER, EXTRACTOR_HEADER, NOTES_HEADER),
    ),
    # A public page asks whether it may reach an address on loopback or in a private network.
    "allow_private_network": True,
}
"""Arguments of Starlette's CORSMiddleware for the listed origins."""

Refuse = Callable[[Request, Refused], Response]


class ForeignPages:
    """ASGI middleware that refuses requests of foreign pages while no key is asked for.

    Whoever can reach the gateway then may use it, and any page in a browser on this machine can reach it.

    Args:
        app: what is protected.
        keyless: whether no key is asked for, now.
        public_url: base of the URLs in answers, whose host is the server's own; "" for none.
        origins: whose pages may call.
        refuse: renders the error for the route that was asked for.
    """

    def __init__(
        self, app: ASGIApp, keyless: Callable[[], bool], public_url: str, origins: Collection[str], refuse: Refuse
    ) -> None:
        self._app = app
        self._keyless = keyless
        public = urlsplit(public_url.lower())
        self._names = frozenset({public.hostname} if public.hostname else ())
        self._hosts = frozenset({public.netloc} if public.netloc else ())
        self._origins = frozenset(origins)
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._keyless():
            headers = Headers(scope=scope)
            named = [host.lower() for host in headers.getlist("host")]
            try:
                check_host(named, self._names)
                check_page(scope["method"], headers, self._hosts.union(named), self._origins)
            except Refused as error:
                await self._refuse(Request(scope), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
