"""The adherence table on a screen and in Markdown, and a sheet of sample pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from export.demo.adherence import COLUMNS, FLOORS, Adherence, Request, missed
from export.demo.evaluate import ROWS, Settings, png
from export.demo.hints import hint
from export.demo.judge import Pixels
from export.demo.render import render

#: Row of the table -> what it is, for readers.
NAMES = {
    "render": "real renders (ceiling)",
    "canny": "canny hint",
    "depth": "depth hint",
    "free": "prompt alone",
    "unrelated": "unrelated renders (chance)",
}
GRID_COLUMNS = 8


def screen_table(table: dict[str, Adherence]) -> Table:
    """For a terminal."""
    shown = Table("pictures of", *COLUMNS.values(), title="Adherence")
    for row, measured in table.items():
        shown.add_row(NAMES[row], *_cells(measured))
    return shown


def markdown(table: dict[str, Adherence], settings: Settings) -> str:
    """A page of its own: how it was measured, the table, the floors."""
    sizes = next(iter(table.values()))
    heads = ["pictures of", *COLUMNS.values()]
    rows = [[NAMES[row], *_cells(measured)] for row, measured in table.items()]
    lines = [
        "# How well the demo model obeys",
        "",
        f"{sizes.pictures} fresh prompts ({sizes.objects} objects; plain and gradient grounds), the same for every "
        f"row, asked of a running mesh over HTTP: {settings.size} x {settings.size} pixels, {settings.steps} steps of "
        f"{settings.scheduler}, guidance {settings.guidance:g}, exact hints. Written by "
        "`python -m export.demo evaluate`; `export/demo/judge.py` defines every column.",
        "",
        *(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows]),
        "",
        "Without a hint an object stands anywhere, so the last two columns of that row are chance.",
        "",
        "| floor | measured | |",
        "| --- | --- | --- |",
    ]
    verdicts = dict.fromkeys(FLOORS, "reached") | dict.fromkeys(missed(table), "missed")
    lines += [f"| {floor} | {floor.value(table):.3f} | {verdict} |" for floor, verdict in verdicts.items()]
    return "\n".join(lines) + "\n"


def write_grid(path: Path, requests: Sequence[Request], pictures: dict[str, list[Pixels]]) -> None:
    """The first prompts as columns, unselected: each hint above what the mesh drew from it, then prompt alone."""
    bands = []
    for row, kind in ROWS.items():
        if kind is not None:
            bands.append([hint(kind, render(r.scene, pictures[row][0].shape[0])) for r in requests[:GRID_COLUMNS]])
        bands.append(pictures[row][:GRID_COLUMNS])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(np.concatenate([np.concatenate(band, axis=1) for band in bands])))


def _cells(measured: Adherence) -> list[str]:
    return [_cell(column, getattr(measured, column)) for column in COLUMNS]


def _cell(column: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if column == "edge_f1" else f"{100 * value:.1f} %"
