"""Parameters of MIME headers, in every form of RFC 2231, which older clients use for names of files."""

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

LONGEST_HEADER = 2048
"""Most bytes of one header."""
MOST_PARAMETERS = 16
"""Most parameters of one header."""
_MOST_SEMICOLONS = 64
# A parameter, or something without a value.
_PARAMETER = re.compile(r';\s*+(?:([^\s;="]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"\s*+|([^;"]*+))|[^;="]*+)')
# RFC 2231: name*=charset'language'value, name*0=value, name*0*=charset'language'value.
_EXTENDED = re.compile(r"([^*]++)(?:\*(\d{1,2}))?+(\*)?+")
_CHARSETS = {"iso-8859-1": "latin-1", "latin-1": "latin-1"}

# The pieces of a parameter by their number, and whether each is encoded: RFC 2231's forms, or a single plain one.
Pieces = dict[int, tuple[str, bool]]


def parameters(header: str) -> Mapping[str, Pieces]:
    """The parameters of a header by name in lower case; of repeated ones the first counts.

    Raises:
        ValueError: too many or too long, or written in a way that can't be read.
    """
    at = header.find(";")
    if len(header) > LONGEST_HEADER or header.count(";") > _MOST_SEMICOLONS:
        raise ValueError("parameters")
    plain: dict[str, Pieces] = {}
    extended: dict[str, Pieces] = {}
    count = 0
    while 0 <= at < len(header):
        found = _PARAMETER.match(header, at)
        if found is None:
            raise ValueError("parameters")
        at = found.end()
        if found[1] is None:
            continue
        count += 1
        if count > MOST_PARAMETERS:
            raise ValueError("parameters")
        name = found[1].lower()
        written = found[3].strip() if found[2] is None else re.sub(r"\\([\\\"])", r"\1", found[2])
        form = _EXTENDED.fullmatch(name)
        if form is None or (form[2] is None and form[3] is None):
            plain.setdefault(name, {0: (written, False)})
        else:
            extended.setdefault(form[1], {}).setdefault(int(form[2] or 0), (written, bool(form[3])))
    # The longer form has every character, so it counts for more.
    return plain | extended


def joined(pieces: Pieces) -> str:
    """The value of a parameter in RFC 2231's forms; of a character set that is not known, as UTF-8."""
    charset, whole = "utf-8", b""
    for index, (number, (written, is_encoded)) in enumerate(sorted(pieces.items())):
        if number != index:
            break
        if is_encoded and not index:
            named, _, rest = written.partition("'")
            charset, written = _CHARSETS.get(named.lower(), "utf-8"), rest.partition("'")[2]
        whole += unquote_to_bytes(written) if is_encoded else written.encode()
    return whole.decode(charset, "replace")
