"""Helpers of all dialects to authenticate a request and to read its body."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request

from gateway.bootstrap import Gateway
from gateway.jobs import idempotency
from gateway.web import bodies
from gateway.web.authorization import bearer
from gateway.web.bodies import Sender
from gateway.web.json_bodies import JsonScan
from gateway.web.malformed import Malformed
from gateway.web.pages import check_json
from gateway.web.scan import Scan

# The first bytes of PNG, JPEG and WebP, with which no JSON can begin.
_MAGIC = (b"\x89", b"\xff", b"R")


def owner_of(gateway: Gateway, request: Request) -> str:
    """The owner of the request's Bearer token.

    Raises:
        MeshError: the key is missing or wrong, lacks the scope, or its rate limit is reached.
    """
    return gateway.keys.owner(bearer(request.headers.get("authorization")))


async def body_of(
    gateway: Gateway,
    request: Request,
    scan: Scan | None = None,
    *,
    header_key: str | None = None,
    is_known: bool = True,
) -> bytes:
    """The whole body, up to the deployment's limit.

    Args:
        gateway: its parts.
        request: whose key was checked, unless `is_known` says that it was not.
        scan: looks over the body as it arrives; it may find the key.
        header_key: a key beside the body that was not checked.
        is_known: whether the key was checked.

    Raises:
        MeshError: it is too large, compressed, too slow, refused by `scan`, or there is no room for it.
    """
    keys = gateway.keys
    sender = Sender(is_known or keys.knows(header_key), counts=keys.asked_for, knows=keys.knows)
    body = await bodies.read(request, gateway.bodies, sender=sender, scan=scan)
    if idempotency.HEADER in request.headers:
        request.state.body = body
    return body


async def json_of(gateway: Gateway, request: Request) -> dict[str, Any]:
    """The body as a JSON object; fields that are null are kept.

    Raises:
        MeshError: it is not a JSON object, or not declared as JSON where no key is asked for, or as body_of.
    """
    scan = JsonScan()
    with naming_label(request):
        sent = await fields_of(scan, await body_of(gateway, request, scan))
    declared_json(gateway, request)
    return sent


def media_type_of(request: Request) -> str:
    """The Content-Type without its parameters, in lower case; "" for none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@contextmanager
def naming_label(request: Request) -> Iterator[None]:
    """Name the Content-Type in an error about what is no JSON, if it is not JSON's: JSON is read under every label."""
    try:
        yield
    except Malformed as error:
        label = media_type_of(request)
        if label.endswith("json") or error.status != Malformed.status:
            raise
        sent = f"with the Content-Type {label[:80]!r}" if label else "without a Content-Type"
        raise Malformed(f"{error.message}; it was sent {sent}: send a JSON object as application/json") from None


class FileOrJson:
    """Looks over a body that is a file or JSON, which its beginning tells.

    Args:
        label: its media type; decides only where the beginning does not.

    Attributes:
        is_file: whether it is no JSON, as far as it was read.
    """

    found = None
    # It is read only of senders whose key was checked.
    work = 0

    def __init__(self, label: str) -> None:
        self._labelled = not label or label.endswith("json")
        self._scan = JsonScan()
        self._begun = False
        self.is_file = not self._labelled

    @property
    def is_json(self) -> bool:
        """See Scan.is_json."""
        return not self.is_file

    def feed(self, chunk: bytes) -> None:
        """See Scan.feed."""
        if chunk and not self._begun:
            self._begun = True
            begins = chunk.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
            self.is_file = chunk.startswith(_MAGIC) or not (self._labelled or begins == b"{")
        if not self.is_file:
            self._scan.feed(chunk)

    def finish(self) -> None:
        """See Scan.finish."""

    def fields(self, body: bytes) -> dict[str, Any]:
        """See Scan.fields."""
        return self._scan.fields(body)


async def fields_of(scan: Scan, body: bytes) -> dict[str, Any]:
    """The fields of a body that was looked over. Malformed."""
    return await bodies.off_loop(len(body), scan.fields, body)


async def fingerprint_of(request: Request) -> str:
    """The fingerprint of a request with an idempotency key, whose body was read; the body is not kept any longer."""
    body: bytes = getattr(request.state, "body", b"")
    request.state.body = b""
    content_type = request.headers.get("content-type", "")
    path = request.url.path
    return await bodies.off_loop(len(body), idempotency.fingerprint, request.method, path, content_type, body)


def declared_json(gateway: Gateway, request: Request) -> None:
    """Check, where no key is asked for, that the body is declared as JSON: any web page could send it as plain text.

    Raises:
        NotJson: it is declared as something else, or as nothing.
    """
    if not gateway.keys.asked_for:
        check_json(request.headers.get("content-type", ""))
