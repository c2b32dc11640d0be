"""Base of the Scenario dialect's resources."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from starlette.requests import Request

from gateway.bootstrap import Gateway
from gateway.dialects.common.dialect import Handler
from gateway.dialects.common.strict import Strict

Owner = Callable[[Request], str]
"""Returns the owner of a request's key."""

Read = Callable[[Request], Awaitable[Strict]]
"""Reads the fields of a body, as declared for its route."""

Table = tuple[tuple[str, str, Handler], ...]
"""Method, path after the version, handler."""


class Resource(ABC):
    """The routes of a resource.

    Args:
        gateway: its parts.
        owner: returns the owner of a request's key.
        fields: reads the fields of a body.
    """

    def __init__(self, gateway: Gateway, owner: Owner, fields: Read) -> None:
        self._gateway = gateway
        self._owner = owner
        self._fields = fields

    @abstractmethod
    def table(self) -> Table:
        """Method, path, handler."""


def is_dry(request: Request) -> bool:
    """Whether only the price is requested. Only the query counts: a client of the vendor's has the field in the bodies
    of real requests."""
    return request.query_params.get("dryRun", "").lower() in ("true", "api")
