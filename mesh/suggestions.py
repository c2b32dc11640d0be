"""Suggestions for misspelled names: "did you mean canny?"."""

import difflib
import re
from collections.abc import Iterable, Mapping

_LONGEST = 64
_CUTOFF = 0.7
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_OTHER = re.compile(r"[^a-z0-9]+")


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in any case style: maxSteps, max_steps and max-steps have two."""
    return tuple(filter(None, _OTHER.split(_HUMP.sub("_", name).lower())))


def closest(sent: str, known: Iterable[str], meanings: Mapping[str, str] | None = None) -> str | None:
    """The one of `known` that `sent` most likely means; None if there is no likely one.

    Args:
        sent: a name that is not known; only short ones are looked at.
        known: the names that exist.
        meanings: other programs' names, as `plain` has them -> names that may be in `known`.
    """
    names = list(known)
    if not 0 < len(sent) <= _LONGEST:
        return None
    if (meant := (meanings or {}).get(plain(sent))) in names:
        return meant
    spelled = {plain(name): name for name in names}
    wanted = plain(sent)
    if wanted in spelled:
        return spelled[wanted]
    if near := difflib.get_close_matches(wanted, spelled, n=1, cutoff=_CUTOFF):
        return spelled[near[0]]
    # A longer name for the same, or a shorter one: num_steps and steps, Euler and EulerDiscreteScheduler.
    sent_words = set(words_of(sent))
    within = [name for name in names if (own := set(words_of(name))) and (own <= sent_words or sent_words <= own)]
    return min(within, key=len) if within and sent_words else None


def listed(names: Iterable[str], most: int = 32) -> str:
    """`names` with commas between them; of more than `most` the first ones and how many there are besides."""
    known = list(names)
    if len(known) <= most:
        return ", ".join(known) or "none"
    return f"{', '.join(known[:most])} and {len(known) - most} more"


def did_you_mean(sent: str, known: Iterable[str]) -> str:
    """The question to append to a message, "; did you mean canny?", or "" if there is nothing to suggest."""
    found = closest(sent, known)
    return "" if found is None else f"; did you mean {found}?"


def plain(name: str) -> str:
    """`name` in lower case, its words joined by single blanks."""
    return " ".join(words_of(name))
