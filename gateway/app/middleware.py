"""The outermost middleware: request id, metrics, access log, headers of every answer, HEAD."""

import re
import time
import uuid

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.app.head import as_get, without_content
from gateway.keys.limits import CALLER, Caller
from mesh.telemetry import log, request_id

REQUESTS = Counter("cn_http_requests_total", "HTTP requests answered.", ["route", "method", "code"])
SECONDS = Histogram(
    "cn_http_request_duration_seconds",
    "Seconds from a request's arrival to the end of its answer.",
    ["route"],
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 20, 60, 120, 300),
)

_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SLASHES = re.compile(r"/{2,}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Attributes of a request's span, by OpenTelemetry's older and newer names.
_URLS = ("http.url", "http.target", "url.full", "url.query")
# Probes and scrapes come every few seconds; they are counted but not logged.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


def hide_query(span: Span, scope: Scope) -> None:
    """Remove the query from the URL attributes of a request's span: one vendor's API has the key there."""
    if not isinstance(span, ReadableSpan):  # A span that is not recorded.
        return
    for name in set(_URLS) & set(span.attributes or ()):
        span.set_attribute(name, str((span.attributes or {})[name]).partition("?")[0] if name != "url.query" else "")


class RequestObserver:
    """ASGI middleware around the whole application: request id, metrics, access log, headers of every answer.

    HEAD of a path is handled as its GET, and counted as HEAD.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = _SLASHES.sub("/", scope["path"]).rstrip("/") or "/"
        sent = Headers(scope=scope).get("x-request-id", "")
        call_id = sent if _ID.fullmatch(sent) else uuid.uuid4().hex
        token = request_id.set(call_id)
        # By now the server has taken the client's own address from the proxy in front.
        calling = CALLER.set(Caller((scope.get("client") or ("",))[0]))
        is_head = scope["method"] == "HEAD"
        handled = as_get(scope) if is_head else scope
        status = 499
        began = time.monotonic()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = call_id
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            await (
                without_content(self._app, handled, receive, answer) if is_head else self._app(handled, receive, answer)
            )
        finally:
            seconds = time.monotonic() - began
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            # Route templates, not paths, which clients could make up without end.
            route = getattr(handled.get("route"), "path", "unknown")
            REQUESTS.labels(route, method, str(status)).inc()
            SECONDS.labels(route).observe(seconds)
            if route not in _QUIET:
                log.info("http", route=route, method=method, code=status, seconds=round(seconds, 4))
            CALLER.reset(calling)
            request_id.reset(token)
