"""Paginated lists of the Scenario dialect, with filters that only this dialect has."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from starlette.requests import Request

from families.limits import Range
from gateway.dialects.scenario.fields import wrong
from gateway.generation import numbers
from mesh.errors import InvalidInput

Entry = TypeVar("Entry")

PAGE_SIZE = 50
_MOST_LOOKS = 40
"""Maximum number of pages of records that are read to fill one filtered page."""

Look = Callable[[int, str | None], Awaitable[tuple[Sequence[Entry], str | None]]]
"""Reads at most so many records after a cursor; returns them and the next cursor."""


def page_size(request: Request, most: int, default: int = PAGE_SIZE) -> int:
    """The page size in the query.

    Raises:
        InvalidInput: not a whole number from 1 to `most`.
    """
    sent = request.query_params.get("pageSize")
    if sent is None:
        return default
    limits = Range(1, most)
    number = numbers.whole(numbers.written(sent))
    if number is None or not limits.holds(number):
        raise wrong("pageSize", f"a whole number from {limits}", sent)
    return number


def words(request: Request, *names: str) -> frozenset[str]:
    """The words of a comma-separated query parameter: the first of `names` that is set."""
    sent = next((request.query_params[name] for name in names if request.query_params.get(name)), "")
    return frozenset(word.strip() for word in sent.split(",") if word.strip())


def flag(request: Request, name: str) -> bool | None:
    """A boolean query parameter; None if not set. InvalidInput."""
    sent = request.query_params.get(name)
    if sent is None:
        return None
    if sent.lower() not in ("true", "false"):
        raise wrong(name, "true or false", sent)
    return sent.lower() == "true"


def after(request: Request, name: str) -> datetime | None:
    """A time in the query, ISO 8601, UTC without a time zone; None if not set."""
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
    """A page of the entries that match the filter, and the token of the next page.

    A page may be shorter than requested if few entries match; an empty page is the last.
    """
    found: list[Entry] = []
    for looked in range(_MOST_LOOKS):
        # Never more than still fit on the page: a token can only point after a whole batch.
        entries, token = await look(size - len(found), token)
        found += [entry for entry in entries if fits(entry)]
        if token is None or len(found) == size or (found and looked == _MOST_LOOKS - 1):
            return found, token
    return found, None if not found else token
