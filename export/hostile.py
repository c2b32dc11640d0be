"""Read files of a stranger's folder: nothing in one may hang, flood or break the exporter, whatever it holds."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from export.errors import ExportError, SourceRefused

MOST_BYTES = 64 << 20
"""Largest JSON file that is read; a tokenizer of two hundred thousand tokens has 20 MiB."""
LONGEST_MESSAGE = 1_000

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlist = _short.maxdict = 8
_short.maxlevel = 2


def shown(value: object) -> str:
    """`repr` of a value from a file, short whatever the value is."""
    return _short.repr(value)


def read_object(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        what: the part of the model that it belongs to, for messages.

    Raises:
        SourceRefused: no regular file, larger than MOST_BYTES, nested too deeply, no JSON, or no object.
        FileNotFoundError: it is missing.
    """
    try:
        # A pipe would wait for ever, a device never end.
        if path.exists() and not path.is_file():
            raise SourceRefused(f"{what}: {path.name} is not a regular file")
        with path.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise SourceRefused(f"{what}: {path.name} is larger than {MOST_BYTES >> 20} MiB")
        found = json.loads(content.decode("utf-8"), parse_constant=_not_json)
    except FileNotFoundError:
        raise
    except (ValueError, OSError, RecursionError, MemoryError) as error:
        raise SourceRefused(f"{what}: {path.name} is not readable JSON ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise SourceRefused(f"{what}: {path.name} is not a JSON object")
    return found


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def require_plain_files(folder: Path, what: str) -> None:
    """Raise SourceRefused if a folder that a library will read holds a pipe, a device or a socket, or a link to one."""
    for path in folder.iterdir():
        if path.exists() and not path.is_file() and not path.is_dir():
            raise SourceRefused(f"{what}: {path.name} is not a regular file")


@contextmanager
def refusing(what: str, *passing: type[Exception]) -> Iterator[None]:
    """Turn whatever a library or a check of ours raises inside about the source's files into SourceRefused.

    Args:
        what: the start of the sentence: the part of the model.
        passing: errors that are left as they are, as every ExportError is.
    """
    try:
        yield
    except (ExportError, *passing):
        raise
    except Exception as error:
        raise SourceRefused(f"{what}: its files can't be understood ({type(error).__name__})") from error
    except BaseException as error:
        # Rust's panics, which safetensors and tokenizers may raise, are no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise SourceRefused(f"{what}: its files can't be understood (a library gave up)") from error


def one_line(message: str) -> str:
    """`message` as one line of printable characters: names in a folder may hold any character."""
    text = "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in message)
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}..."
