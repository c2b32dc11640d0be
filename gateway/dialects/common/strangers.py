"""Remarks about what was sent and is not read."""

from collections.abc import Callable, Collection, Iterator, Sequence

from starlette.requests import Request

_MOST_TOLD, _LONGEST_TOLD = 5, 40


def not_used(names: Sequence[str], advice: Callable[[str], str], kind: str) -> Iterator[str]:
    """A sentence for each of the first names, and one for the others.

    Args:
        names: of what was not read.
        advice: what to do about one, a sentence.
        kind: what they are, in the plural.
    """
    for name in names[:_MOST_TOLD]:
        shown = name if len(name) <= _LONGEST_TOLD else f"{name[: _LONGEST_TOLD - 3]}..."
        yield f"{shown} was not used; {advice(name)}"
    if (more := len(names) - _MOST_TOLD) > 0:
        yield f"{more} more {kind} were not used; this request has no such ones."


def query_not_used(request: Request, advice: Callable[[str], str], known: Collection[str] = ()) -> Iterator[str]:
    """As `not_used`, for the parameters of the query that say something and are not `known`."""
    names = [name for name, value in request.query_params.items() if name not in known and value]
    return not_used(names, advice, "query parameters")
