"""What the rooms of the Scenario dialect have in common."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from starlette.requests import Request

from gateway.bootstrap import Gateway
from gateway.dialects.common.dialect import Handler
from gateway.dialects.common.strict import Strict

Owner = Callable[[Request], str]
"""Whose request it is."""

Read = Callable[[Request], Awaitable[Strict]]
"""The fields of its body, as they are declared for its route."""

Table = tuple[tuple[str, str, Handler], ...]
"""Method, path behind the version, handler."""


class Resource(ABC):
    """The routes around one kind of thing.

    Args:
        gateway: its parts.
        owner: says whose request it is.
        fields: reads the fields of its body.
    """

    def __init__(self, gateway: Gateway, owner: Owner, fields: Read) -> None:
        self._gateway = gateway
        self._owner = owner
        self._fields = fields

    @abstractmethod
    def table(self) -> Table:
        """Method, path, handler."""


def is_dry(request: Request) -> bool:
    """Whether only the price is asked for. The URL alone says so: a client of the vendor's has the word in bodies of
    requests that it means."""
    return request.query_params.get("dryRun", "").lower() in ("true", "api")
