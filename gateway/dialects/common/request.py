"""What every dialect asks of a request before it reads it: whose it is, and its body."""

from typing import Any

from starlette.requests import Request

from gateway.bootstrap import Gateway
from gateway.web import bodies
from gateway.web.authorization import bearer


def owner_of(gateway: Gateway, request: Request) -> str:
    """Holder of the key that the request carries as a Bearer token.

    Raises:
        MeshError: the key is wrong, may not ask for pictures, or was used too often.
    """
    return gateway.keys.owner(bearer(request.headers.get("authorization")))


async def body_of(gateway: Gateway, request: Request) -> bytes:
    """The whole body, as far as the deployment takes one.

    Raises:
        Malformed: it is too large, or compressed.
    """
    return await bodies.read(request, gateway.settings.max_body_bytes)


async def json_of(gateway: Gateway, request: Request) -> dict[str, Any]:
    """The body as a JSON object; null counts as a value.

    Raises:
        Malformed: it is none, too large, or compressed.
    """
    return bodies.json_object(await body_of(gateway, request))
