"""Find the annotator to export, a folder, a file, a hub id or the shipped one, and recognise its architecture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from export import hub
from export.annotators import demo_folder, table, transformers_folder
from export.annotators.architecture import Architecture, Groups
from export.errors import SourceRefused
from export.hostile import one_line, refusing
from export.source import DEMO

_FILE = re.compile(r"[A-Za-z0-9][\w-]*(?:[./][\w-]+)*")


@dataclass(frozen=True, slots=True)
class Source:
    """A recognised source. `label` names it without any path."""

    label: str
    path: Path
    """A folder or one file."""
    architecture: Architecture
    heads: Groups
    """Heads of each graph to write."""
    files: tuple[Path, ...]
    """Every file that affects the export, in a fixed order."""


def open_source(kind: str, source: str | None = None, offline: bool = False) -> Source:
    """Recognise `source` (a folder, a file, a hub id, `owner/name:file`; none for `demo`) as an annotator of `kind`.

    Raises SourceRefused for an unknown kind or a source that no row of the table supports, HubUnreachable if the hub
    does not answer.
    """
    rows = table.kinds().get(kind)
    if rows is None:
        raise SourceRefused(f"KIND {kind!r} is unknown; use one of {', '.join(table.kinds())}")
    with refusing("annotator"):
        return _opened(kind, source, rows, offline)


def _opened(kind: str, source: str | None, rows: tuple[Architecture, ...], offline: bool) -> Source:
    path, label = _shipped(kind) if source is None else _found(source, rows, offline)
    row = next((row for row in rows if row.recognises(path)), None)
    if row is None:
        raise SourceRefused(f"{label} is not a source for {kind!r}{_elsewhere(path)}. Supported: {taken(rows)}")
    return Source(label, path, row, row.heads(path), row.files(path))


def taken(rows: tuple[Architecture, ...]) -> str:
    """The sources that these rows support, in one line."""
    return " ".join(f"[{row.name}] {row.description}" for row in rows)


def _shipped(kind: str) -> tuple[Path, str]:
    if kind != DEMO:
        raise SourceRefused(f"{kind!r} needs a SOURCE: a folder, a file or a hub id; only {DEMO!r} has a default")
    return demo_folder.FOLDER, DEMO


def _found(source: str, rows: tuple[Architecture, ...], offline: bool) -> tuple[Path, str]:
    path = Path(source)
    if path.exists():
        return path, one_line(path.resolve().name)
    repository, _, file = source.partition(":")
    if path.is_absolute() or source.startswith((".", "~")) or not hub.is_id(repository):
        raise SourceRefused(f"{source!r} is neither a folder, nor a file, nor a hub id like owner/name")
    if file and not _FILE.fullmatch(file):
        raise SourceRefused(f"{file!r} is not a valid file name in a hub repository")
    fetched = hub.fetch(repository, wanted(rows, file), offline)
    if file and not (fetched / file).is_file():
        raise SourceRefused(f"hub repository {repository} has no file {file!r}")
    return fetched / file, source


def wanted(rows: tuple[Architecture, ...], file: str = "") -> hub.Wanted:
    """What to download from a hub repository for these rows: one file, or all that any of them would read."""
    what = f"the files of one of these. {taken(rows)}"
    if file:
        return hub.Wanted(what, (), (file,))
    others = dict.fromkeys(name for row in rows for name in row.fetch)
    return hub.Wanted(what, ("",), (transformers_folder.PROCESSOR, *others))


def _elsewhere(path: Path) -> str:
    """The other values of KIND that would accept the source, as part of a message."""
    words = dict.fromkeys(kind for row in table.ARCHITECTURES if row.recognises(path) for kind in row.kinds)
    return f"; it is one for {', '.join(words)}" if words else ""
