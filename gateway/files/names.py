"""Names of files: what they look like, what they say, where under them a file lies."""

import re
import secrets
from collections.abc import Iterable

from mesh.errors import NotFound

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
"""By the ending of a name: nothing else is kept, and nothing is served as anything else."""
KEPT = "kept/"
"""Folder of the private files."""
PARTS = "parts/"
"""Folder of what uploads consist of before they are complete, at most PART_S seconds old."""
PART_S = 86_400.0

_NAME = re.compile(r"[0-9a-f]{32}\.(?:png|jpeg|webp)")
_STEM = re.compile(r"[0-9a-f]{32}")
# The first bit of a name says whether it alone is enough to read the file.
_PRIVATE = re.compile(r"[89a-f]")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def new_name(format: str, *, private: bool = False) -> str:
    """A name that nobody can guess. It is all that is needed to read the file, unless it is a private one."""
    first = secrets.randbelow(8) + 8 * private
    return f"{first:x}{secrets.token_hex(16)[1:]}.{format}"


def is_name(text: str) -> bool:
    """Whether it could be a file's name; nothing else reaches a store or a database."""
    return _NAME.fullmatch(text) is not None


def is_private(name: str) -> bool:
    """Whether the file is read through signed links alone."""
    return _PRIVATE.match(name) is not None


def names(ids: Iterable[str]) -> list[str]:
    """Those of `ids` that could be names; 32 hex digits alone stand for every ending."""
    spelled: list[str] = []
    for id in ids:
        spelled += [f"{id}.{ending}" for ending in MEDIA_TYPES] if _STEM.fullmatch(id) else [id] if is_name(id) else []
    return spelled


def media_type(name: str) -> str:
    """By the name's ending."""
    return MEDIA_TYPES[name.rpartition(".")[2]]


def path_of(name: str) -> str:
    """Where the file lies in the store."""
    return KEPT + name if is_private(name) else name


def label(text: str) -> str:
    """What a client calls a file, fit for a record: the last part of a path, without control characters."""
    return _UNFIT.sub("", re.split(r"[/\\]", text)[-1])[:255]


def is_fit(text: str) -> bool:
    """Whether a database takes it."""
    return _UNFIT.search(text) is None


def unknown() -> NotFound:
    """What is said of files that are not there, and of others' alike."""
    return NotFound("there is no such file, or it was kept long enough")
