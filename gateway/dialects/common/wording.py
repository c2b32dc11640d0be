"""Words of the canonical request in a dialect's own: names of fields, and numbers that it counts differently."""

import re
from collections.abc import Mapping

from mesh.errors import MeshError

_NUMBER = re.compile(r"(?<![\w.-])[0-9]+(?![\w]|\.[0-9])")
# A control's field, or a name between backticks; both are never English words.
_NAMED = re.compile(r"(?<!\w)controls\[[0-9]\]\.\w+|(?<=`)\w+(?=`)")


def renamed(error: MeshError, names: Mapping[str, str], counts: Mapping[str, int] | None = None) -> MeshError:
    """`error` in the dialect's words.

    Args:
        error: its field and message have canonical names.
        names: canonical name of a field -> the dialect's.
        counts: dialect's name of a field -> how much larger its numbers are there than in the canonical request.
    """
    field = error.field
    message = _NAMED.sub(lambda found: names.get(found[0], found[0]), error.message)
    if field is None or field not in names:
        # Another field's name may still have been in the message.
        return error if message == error.message else _like(error, message, field)
    name = names[field]
    # Messages begin or end with the field's name; "image" may also occur in the middle, as an English word.
    begins = message.startswith(field)
    places = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(field)}(?!\w)", message)]
    if places:
        begin, end = places[0] if begins else places[-1]
        message = message[:begin] + name + message[end:]
    # A message of the dialect's own does not begin with the canonical name, and has its numbers already.
    more = 0 if not begins or getattr(error, "is_counted", False) else (counts or {}).get(name, 0)
    if more:
        message = _NUMBER.sub(lambda found: str(int(found[0]) + more), message)
    return _like(error, message, name, is_counted=more != 0)


def note(text: str, names: Mapping[str, str]) -> str:
    """A note of a service's, which begins with the canonical name of what it is about or has it in another's place."""
    text = _NAMED.sub(lambda found: names.get(found[0], found[0]), text)
    found = re.match(r"(?:weights in )?(controls\[[0-9]\]|\w+)", text)
    if found is None or found[1] not in names:
        return text
    return text[: found.start(1)] + names[found[1]] + text[found.end(1) :]


def _like(error: MeshError, message: str, field: str | None, is_counted: bool = False) -> MeshError:
    copy = type(error).__new__(type(error))
    # An error may come by twice on its way: its numbers must not be changed again.
    copy.__dict__.update(error.__dict__, is_counted=is_counted or getattr(error, "is_counted", False))
    Exception.__init__(copy, message)
    copy.message, copy.field = message, field
    return copy
