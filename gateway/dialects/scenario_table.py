"""What the rooms of the Scenario dialect have in common."""

from collections.abc import Callable

from starlette.requests import Request

from gateway.dialects.dialect import Handler

Owner = Callable[[Request], str]
"""Whose request it is."""

Table = tuple[tuple[str, str, Handler], ...]
"""Method, path behind the version, handler."""


def is_dry(request: Request) -> bool:
    """Whether only the price is asked for. The URL alone says so: a client of the vendor's has the word in bodies of
    requests that it means."""
    return request.query_params.get("dryRun", "").lower() in ("true", "api")
