"""Show the adherence table on a screen and in Markdown, and write a sheet of sample pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from demo.adherence import COLUMNS, Adherence, Request, asked, missed
from demo.evaluate import ROWS, Settings, png
from demo.hints import hint
from demo.judge import Pixels
from demo.render import render
from demo.repaint import repaint
from demo.scene import Scene
from families.facts import MASKED_CONTROLS

#: Row of the table -> what it is, for readers.
NAMES = {
    "render": "real renders (ceiling)",
    "canny": "canny hint",
    "depth": "depth hint",
    "scribble": "scribble hint",
    "segmentation": "segmentation hint",
    "inpaint": "inpaint hint",
    "free": "prompt alone",
    "unrelated": "unrelated renders (chance)",
}
GRID_COLUMNS = 8
#: Formats of the columns that are not shares.
_FORMATS = {"edge_f1": "{:.3f}", "kept": "{:.1f}"}


def screen_table(table: dict[str, Adherence]) -> Table:
    """The table for a terminal: one line per measure, one column per kind of pictures."""
    shown = Table(title="Adherence (shares in %)", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for row in table:
        shown.add_column(row, justify="right", overflow="fold", min_width=5)
    for column, heading in COLUMNS.items():
        cells = (_cell(column, getattr(measured, column)) for measured in table.values())
        shown.add_row(heading, *(cell.removesuffix(" %") for cell in cells))
    return shown


def markdown(table: dict[str, Adherence], settings: Settings) -> str:
    """Write the page: how it was measured, the table, the floors."""
    sizes = next(iter(table.values()))
    heads = ["pictures of", *COLUMNS.values()]
    rows = [[NAMES[row], *_cells(measured)] for row, measured in table.items()]
    lines = [
        "# How well the demo model follows prompts and hints",
        "",
        f"{sizes.pictures} fresh prompts ({sizes.objects} objects; plain and gradient grounds), the same for every "
        f"row, requested from a running mesh over HTTP: {settings.size} x {settings.size} pixels, {settings.steps} "
        f"steps of {settings.scheduler}, guidance {settings.guidance:g}, exact hints. For inpainting one object of "
        "each picture is under a mask, and the prompt names another in its place; the last two columns measure this. "
        "Written by "
        "`python -m demo evaluate`; `demo/adherence.py` defines every column.",
        "",
        *(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows]),
        "",
        "Without a hint an object may be anywhere, so in that row mask, overlap, edges, repainted object and the kept "
        "part are at the level of chance. So are the last two columns of every row except inpainting's, because only "
        "inpainting gets the picture.",
        "",
        "| floor | measured | |",
        "| --- | --- | --- |",
    ]
    verdicts = dict.fromkeys(asked(table), "reached") | dict.fromkeys(missed(table), "missed")
    lines += [f"| {floor} | {floor.value(table):.3f} | {verdict} |" for floor, verdict in verdicts.items()]
    return "\n".join(lines) + "\n"


def write_grid(path: Path, requests: Sequence[Request], pictures: dict[str, list[Pixels]]) -> None:
    """Write the first prompts as columns, not selected: each hint above its picture, then the prompt alone."""
    bands = []
    for row, drawn in pictures.items():
        kind = ROWS[row]
        if kind is not None:
            bands.append([_shown_hint(kind, r.scene, drawn[0].shape[0]) for r in requests[:GRID_COLUMNS]])
        bands.append(drawn[:GRID_COLUMNS])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(np.concatenate([np.concatenate(band, axis=1) for band in bands])))


def _shown_hint(kind: str, scene: Scene, size: int) -> Pixels:
    """A hint for human readers; the part to repaint is grey."""
    if kind not in MASKED_CONTROLS:
        return hint(kind, render(scene, size))
    task = repaint(scene, size)
    return np.where(task.mask[..., None], np.uint8(128), task.source)


def _cells(measured: Adherence) -> list[str]:
    return [_cell(column, getattr(measured, column)) for column in COLUMNS]


def _cell(column: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return _FORMATS.get(column, "{:.1%}").format(value).replace("%", " %")
