"""Helpers of all dialects to authenticate a request and to read its body."""

from typing import Any

from starlette.requests import Request

from gateway.bootstrap import Gateway
from gateway.web import bodies
from gateway.web.authorization import bearer


def owner_of(gateway: Gateway, request: Request) -> str:
    """The owner of the request's Bearer token.

    Raises:
        MeshError: the key is missing or wrong, lacks the scope, or its rate limit is reached.
    """
    return gateway.keys.owner(bearer(request.headers.get("authorization")))


async def body_of(gateway: Gateway, request: Request) -> bytes:
    """The whole body, up to the deployment's limit.

    Raises:
        Malformed: it is too large, or compressed.
    """
    return await bodies.read(request, gateway.settings.max_body_bytes)


async def json_of(gateway: Gateway, request: Request) -> dict[str, Any]:
    """The body as a JSON object; fields that are null are kept.

    Raises:
        Malformed: it is not a JSON object, too large, or compressed.
    """
    return json_body(request, await body_of(gateway, request))


def media_type_of(request: Request) -> str:
    """The Content-Type without its parameters, in lower case; "" for none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def json_body(request: Request, body: bytes) -> dict[str, Any]:
    """Parse the body as a JSON object, whatever its label; an error names a label that is not JSON's.

    Raises:
        Malformed: it is not a JSON object.
    """
    try:
        return bodies.json_object(body)
    except bodies.Malformed as error:
        label = media_type_of(request)
        if label.endswith("json"):
            raise
        sent = f"with the Content-Type {label[:80]!r}" if label else "without a Content-Type"
        raise type(error)(f"{error.message}; it was sent {sent}: send a JSON object as application/json") from None
