"""What the rooms of the Scenario dialect have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from starlette.requests import Request

from gateway.bootstrap import Gateway
from gateway.dialects.common.dialect import Handler
from gateway.dialects.scenario.fields import Fields
from gateway.web import bodies

Owner = Callable[[Request], str]
"""Whose request it is."""

Table = tuple[tuple[str, str, Handler], ...]
"""Method, path behind the version, handler."""


class Resource(ABC):
    """The routes around one kind of thing.

    Args:
        gateway: its parts.
        owner: says whose request it is.
    """

    def __init__(self, gateway: Gateway, owner: Owner) -> None:
        self._gateway = gateway
        self._owner = owner

    @abstractmethod
    def table(self) -> Table:
        """Method, path, handler."""

    async def _fields(self, request: Request) -> Fields:
        """What the body says."""
        return Fields(bodies.json_object(await bodies.read(request, self._gateway.settings.max_body_bytes)))


def is_dry(request: Request) -> bool:
    """Whether only the price is asked for. The URL alone says so: a client of the vendor's has the word in bodies of
    requests that it means."""
    return request.query_params.get("dryRun", "").lower() in ("true", "api")
