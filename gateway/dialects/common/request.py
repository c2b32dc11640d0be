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
    return bodies.json_object(await body_of(gateway, request))
