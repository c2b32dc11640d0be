"""Names of files: their format, what they encode, and the paths in the store."""

import re
import secrets
from collections.abc import Iterable

from mesh.errors import NotFound

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
"""By the extension of a name. No other type is stored or served."""
KEPT = "kept/"
"""Folder of the private files."""
PARTS = "parts/"
"""Folder of the parts of incomplete uploads, at most PART_S seconds old."""
PART_S = 86_400.0

_NAME = re.compile(r"[0-9a-f]{32}\.(?:png|jpeg|webp)")
_STEM = re.compile(r"[0-9a-f]{32}")
# The first bit of a name says whether the file is private.
_PRIVATE = re.compile(r"[89a-f]")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def new_name(format: str, *, private: bool = False) -> str:
    """An unguessable name. Unless the file is private, knowing the name is the permission to read it."""
    first = secrets.randbelow(8) + 8 * private
    return f"{first:x}{secrets.token_hex(16)[1:]}.{format}"


def is_name(text: str) -> bool:
    """Whether `text` is a well-formed name; nothing else reaches a store or a database."""
    return _NAME.fullmatch(text) is not None


def is_private(name: str) -> bool:
    """Whether the file can be read only through signed links."""
    return _PRIVATE.match(name) is not None


def names(ids: Iterable[str]) -> list[str]:
    """The well-formed names among `ids`; 32 hex digits alone stand for that name with every extension."""
    spelled: list[str] = []
    for id in ids:
        spelled += [f"{id}.{ending}" for ending in MEDIA_TYPES] if _STEM.fullmatch(id) else [id] if is_name(id) else []
    return spelled


def media_type(name: str) -> str:
    """The media type for the name's extension."""
    return MEDIA_TYPES[name.rpartition(".")[2]]


def path_of(name: str) -> str:
    """The file's path in the store."""
    return KEPT + name if is_private(name) else name


def label(text: str) -> str:
    """A client's file name as it is stored: the last part of the path, without control characters."""
    return _UNFIT.sub("", re.split(r"[/\\]", text)[-1])[:255]


def is_fit(text: str) -> bool:
    """Whether a database accepts `text`: no control characters or surrogates."""
    return _UNFIT.search(text) is None


def unknown() -> NotFound:
    """The error for a file that does not exist, and for another owner's file."""
    return NotFound("unknown file, or it has expired")
