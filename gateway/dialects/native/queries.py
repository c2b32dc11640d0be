"""Query parameters of the native API: those that a route's documentation names, and no others."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.dialects.common.dialect import Handler
from gateway.generation.foreign import choices
from mesh.errors import InvalidInput

_LONGEST_SHOWN = 80


def refusing_unknown(
    handler: Handler, documentation: Mapping[str, Any], owner: Callable[[Request], str] | None
) -> Handler:
    """`handler`, which refuses query parameters that its route does not take, as bodies' unknown fields are refused.

    Args:
        handler: of the route.
        documentation: the route's options, as of `docs.routes.documented`.
        owner: returns the owner of the request's key, without which nothing else is said; None: the route needs no key.
    """
    parameters = documentation["openapi_extra"].get("parameters", ())
    known = sorted(parameter["name"] for parameter in parameters if parameter["in"] == "query")

    @wraps(handler)
    async def checked(request: Request) -> Response:
        for name in request.query_params:
            if name not in known:
                if owner is not None:
                    owner(request)
                shown = repr(name if len(name) <= _LONGEST_SHOWN else name[: _LONGEST_SHOWN - 3] + "...")
                raise InvalidInput(
                    f"{shown} is not a query parameter of this request{choices('query parameter', name, known)}",
                    field=name,
                )
        return await handler(request)

    return checked
