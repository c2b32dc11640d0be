"""Write the gallery as a page: one strip of pictures per row, small enough to keep in the repository."""

import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from local.gallery import Kind, Result
from local.gallery_inputs import Input
from mesh.pictures import Pixels

PAGE, PICTURES = "gallery.md", "gallery"
_GAP = 6
_ABOVE = """# Gallery of hints

Every control type, by every extractor, on the same pictures. Written by `make gallery` (`python -m local gallery`):
everything shown went through the HTTP API of a running mesh, so it is what callers get. Hints are {size} x {size}
pixels. If the demo model has a ControlNet for a kind, the pictures that it generated are below the hints; their prompts
give the same shapes other colours or, with a mask, name something else in its place. Times are the service's own, one
hint at a time, the median of a row, on a shared machine.

The inputs, from left to right: {names}. The prompts: {prompts}.

![inputs]({inputs})
"""


def write(folder: Path, shown: Sequence[Input], sections: Sequence[tuple[Kind, Sequence[Result]]]) -> Path:
    """Write the page and its pictures into `folder`, replacing older ones; returns the page."""
    pictures = folder / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.webp"):
        old.unlink()
    (pictures / "inputs.webp").write_bytes(webp(strip([[one.picture for one in shown]])))
    for _, results in sections:
        for result in results:
            if result.hints:
                rows = [result.hints, result.pictures] if result.pictures else [result.hints]
                (pictures / _file(result)).write_bytes(webp(strip(rows)))
    (folder / PAGE).write_text(page(shown, sections), encoding="utf-8")
    return folder / PAGE


def page(shown: Sequence[Input], sections: Iterable[tuple[Kind, Sequence[Result]]]) -> str:
    """The Markdown."""
    above = _ABOVE.format(
        size=len(shown[0].picture),
        names=", ".join(one.name for one in shown),
        prompts="; ".join(f'"{prompt}"' for prompt in dict.fromkeys(one.prompt for one in shown)),
        inputs=f"{PICTURES}/inputs.webp",
    )
    return "\n".join([above, *(_section(kind, results) for kind, results in sections)])


def _section(kind: Kind, results: Sequence[Result]) -> str:
    lines = [f"## {kind.name}", "", kind.description, ""]
    known = {extractor["name"]: extractor for extractor in kind.extractors}
    for result in results:
        lines += [_head(result, known), ""]
        if result.error:
            lines += [f"> {result.error}", ""]
        else:
            lines += [f"![{_title(result)}]({PICTURES}/{_file(result)})", ""]
        lines += [f"- {note}" for note in result.notes]
        lines += [""] * bool(result.notes)
    if not results:
        lines += ["Only ready hints: send one with `auto_hint` off.", ""]
    return "\n".join(lines)


def _head(result: Result, known: Mapping[str, Mapping[str, Any]]) -> str:
    case, facts = result.case, []
    if extractor := known.get(case.extractor):
        facts += [extractor["description"], f"After {extractor['source']}."]
        settings = {row["name"]: row["default_value"] for row in extractor["parameters"]} | dict(case.parameters)
        if settings:
            facts.append(f"Parameters: {', '.join(f'{name} {value:g}' for name, value in settings.items())}.")
    if result.annotator:
        about = extractor["annotator_description"] if extractor else ""
        facts.append(f"Annotator: `{result.annotator}`{': ' + about if about else '.'}")
    if result.milliseconds:
        facts.append(f"Time: {statistics.median(result.milliseconds):.0f} ms.")
    heading = f"### {_title(result)}" + (f" ({case.label})" if case.label and case.extractor else "")
    return "\n\n".join([heading, " ".join(facts)] if facts else [heading])


def _title(result: Result) -> str:
    case = result.case
    changed = ", ".join(f"{name} {value:g}" for name, value in case.parameters.items())
    return ": ".join(part for part in (case.extractor or case.label, changed) if part)


def _file(result: Result) -> str:
    case = result.case
    changed = (f"{name}-{value:g}" for name, value in case.parameters.items())
    return "-".join((case.kind, case.extractor or "ready", *changed)) + ".webp"


def strip(rows: Sequence[Sequence[Pixels]]) -> Pixels:
    """Arrange pictures UINT8 [n, n, 3] of one size in rows on white."""
    size = len(rows[0][0])
    sheet = np.full((_span(len(rows), size), _span(max(map(len, rows)), size), 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = y * (size + _GAP), x * (size + _GAP)
            sheet[top : top + size, left : left + size] = picture
    return sheet


def _span(count: int, size: int) -> int:
    return count * size + (count - 1) * _GAP


def webp(sheet: Pixels) -> bytes:
    """Encode a sheet as lossy WebP."""
    out = io.BytesIO()
    Image.fromarray(sheet).save(out, "WEBP", quality=70, method=6)
    return out.getvalue()
