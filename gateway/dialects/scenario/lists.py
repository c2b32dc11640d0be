"""The Scenario dialect's lists, page by page, filtered by what only this dialect knows."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from starlette.requests import Request

from families.limits import Range
from gateway.dialects.scenario.fields import wrong
from mesh.errors import InvalidInput

Entry = TypeVar("Entry")

PAGE_SIZE = 50
_MOST_LOOKS = 40
"""Pages of the records behind that one page of a list may be picked from."""

Look = Callable[[int, str | None], Awaitable[tuple[Sequence[Entry], str | None]]]
"""At most so many records from a cursor on, and the cursor behind them."""


def page_size(request: Request, most: int, default: int = PAGE_SIZE) -> int:
    """Entries of a page, as the query asks for.

    Raises:
        InvalidInput: no whole number from 1 to `most`.
    """
    sent = request.query_params.get("pageSize")
    if sent is None:
        return default
    limits = Range(1, most)
    if not sent.isascii() or not sent.isdigit() or len(sent) > 6 or not limits.holds(int(sent)):
        raise wrong("pageSize", f"a whole number from {limits}", sent)
    return int(sent)


def words(request: Request, *names: str) -> frozenset[str]:
    """Words of comma-separated parameters of the query; the first of `names` that is there decides."""
    sent = next((request.query_params[name] for name in names if request.query_params.get(name)), "")
    return frozenset(word.strip() for word in sent.split(",") if word.strip())


def flag(request: Request, name: str) -> bool | None:
    """A parameter of the query that is true or false; None if it is not there."""
    sent = request.query_params.get(name)
    if sent is None:
        return None
    if sent.lower() not in ("true", "false"):
        raise wrong(name, "true or false", sent)
    return sent.lower() == "true"


def after(request: Request, name: str) -> datetime | None:
    """A time of the query, ISO 8601; without a zone it is UTC. None if it is not there."""
    sent = request.query_params.get(name)
    if not sent:
        return None
    try:
        found = datetime.fromisoformat(sent)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f'"{name}" must be a date as in 2026-11-20T10:00:00.000Z', field=name) from None


async def picked(
    look: Look[Entry], fits: Callable[[Entry], bool], size: int, token: str | None
) -> tuple[list[Entry], str | None]:
    """A page of those entries that fit, and the token of the next one.

    A page may be shorter than asked for where few fit; an empty one is the last.
    """
    found: list[Entry] = []
    for looked in range(_MOST_LOOKS):
        # Never more than still fit on the page: a token stands behind a whole look.
        entries, token = await look(size - len(found), token)
        found += [entry for entry in entries if fits(entry)]
        if token is None or len(found) == size or (found and looked == _MOST_LOOKS - 1):
            return found, token
    return found, None if not found else token
