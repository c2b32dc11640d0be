"""Measure the exported annotator on scenes that were not used in training, and write the page about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from diffusers import AutoencoderKL

from demo.annotator_judge import EDGE, RATIO, SMALLEST_NEARNESS, TOLERANCE, Quality, quality
from demo.annotator_pictures import compressed, fitted
from demo.annotator_train import redrawn
from demo.annotator_truth import Maps, truth
from demo.evaluate import png
from demo.hints import SEGMENT_COLOURS, Pixels, nearness
from demo.recipe import PICTURE_SIZE
from demo.render import render
from demo.scene import Scene, Stream, sample_scene, scene_generator
from demo.softedge import OUTLINE, TEXTURE
from families.annotators import HEADS, read_card
from families.manifest import ManifestError

#: The quality of the JPEGs, the sides of pictures that are fitted, the noise on the autoencoder's unit normal latents.
JPEG, LARGE, SMALL, NOISE = 40, 512, 72, 0.2
SHOWN = 6
TOGETHER = 8

#: Heads in the order of the fields of Maps.
MEASURED = ("depth", "normal", "segmentation", "softedge")

Annotator = Callable[[Pixels], Maps]


@dataclass(frozen=True, slots=True)
class Floor:
    """The value that a row's figure must reach; `most` for figures where less is better."""

    row: str
    figure: str
    least: float = float("-inf")
    most: float = float("inf")

    def reached(self, table: Mapping[str, Quality]) -> bool:
        return self.least <= getattr(table[self.row], self.figure) <= self.most

    def __str__(self) -> str:
        bound = f">= {self.least:g}" if np.isfinite(self.least) else f"<= {self.most:g}"
        return f"{ROWS[self.row]}: {FIGURES[self.figure][0]} {bound}"


#: Row -> what its pictures are.
ROWS = {
    "render": "renders",
    "jpeg": f"JPEG of quality {JPEG}",
    "large": f"rendered at {LARGE} px, fitted",
    "small": f"rendered at {SMALL} px, fitted",
    "redrawn": "through the demo's autoencoder",
}
#: Figure of a Quality -> heading and format.
FIGURES = {
    "depth_rmse": ("depth RMSE", "{:.3f}"),
    "depth_near": (f"depth within x{RATIO}", "{:.1%}"),
    "depth_rmse_tilted": ("RMSE, tilted", "{:.3f}"),
    "depth_near_tilted": (f"within x{RATIO}, tilted", "{:.1%}"),
    "normal": ("normals", "{:.1f}°"),
    "normal_solids": ("normals, solids", "{:.1f}°"),
    "miou": ("mIoU", "{:.3f}"),
    "edges": ("soft edges F1", "{:.3f}"),
}


def held_out(count: int, first_seed: int = 0) -> list[Scene]:
    """Scenes of all grounds, from a random stream that training does not use."""
    return [sample_scene(scene_generator(Stream.HELD_OUT, first_seed + n)) for n in range(count)]


def exported(repository: Path, name: str) -> Annotator:
    """The graphs of an exported annotator in ONNX Runtime: uint8 RGB [h, w, 3] -> its maps.

    Raises ManifestError if it is not exported, or lacks a head that is measured.
    """
    card = read_card(repository, name)
    if lacking := [head for head in MEASURED if head not in card.heads]:
        raise ManifestError(
            f"annotator {name!r} does not find {', '.join(lacking)}; choose one that does, such as `demo`"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(repository / graph / "1" / "model.onnx", options) for graph in card.graphs]

    def annotate(picture: Pixels) -> Maps:
        answers: dict[str, Any] = {}
        for session in sessions:
            names = [output.name for output in session.get_outputs()]
            answers |= dict(zip(names, session.run(names, {"image": picture[None]}), strict=True))
        depth, normal, labels, edges = (answers[HEADS[head][0].name][0] for head in MEASURED)
        return Maps(depth, normal, labels, edges)

    return annotate


def pictures(row: str, scenes: Sequence[Scene], vae: AutoencoderKL) -> list[Pixels]:
    """What the annotator sees in a row of the table, each uint8 RGB [PICTURE_SIZE, PICTURE_SIZE, 3]."""
    sides = {"large": LARGE, "small": SMALL}
    drawn = [fitted(render(scene, sides.get(row, PICTURE_SIZE)).image, PICTURE_SIZE) for scene in scenes]
    if row == "jpeg":
        return [compressed(picture, JPEG) for picture in drawn]
    if row == "redrawn":
        torch.manual_seed(0)
        parts = [np.stack(drawn[start : start + TOGETHER]) for start in range(0, len(drawn), TOGETHER)]
        return [picture for part in parts for picture in redrawn(vae, part, NOISE)]
    return drawn


def measure(
    annotate: Annotator,
    scenes: Sequence[Scene],
    vae: AutoencoderKL,
    rows: Sequence[str] = tuple(ROWS),
    told: Callable[[], None] = lambda: None,
) -> dict[str, Quality]:
    """Measure the table: each row's pictures of the same scenes against the truth. Calls told() after each row."""
    drawings = [render(scene, PICTURE_SIZE) for scene in scenes]
    wanted = [truth(drawing) for drawing in drawings]
    tilted = [nearness(drawing, drawing.scene.tilt) for drawing in drawings]
    table = {}
    for row in rows:
        table[row] = quality([annotate(picture) for picture in pictures(row, scenes, vae)], wanted, tilted)
        told()
    return table


def missed(table: Mapping[str, Quality]) -> list[Floor]:
    """The floors that a table does not reach, among those whose rows it has."""
    return [floor for floor in FLOORS if floor.row in table and not floor.reached(table)]


#: With a margin below what the shipped weights reach; nan reaches no floor.
FLOORS = (
    Floor("render", "depth_rmse", most=0.025),
    Floor("render", "depth_near", least=0.96),
    Floor("render", "normal_solids", most=8),
    Floor("render", "miou", least=0.94),
    Floor("render", "edges", least=0.95),
    Floor("redrawn", "depth_near", least=0.95),
    Floor("redrawn", "normal_solids", most=11),
    Floor("redrawn", "miou", least=0.88),
    Floor("redrawn", "edges", least=0.87),
)


def tables(table: Mapping[str, Quality]) -> str:
    """Figures, classes and floors, in Markdown."""
    figures = [
        [ROWS[row], *(form.format(getattr(found, name)) for name, (_, form) in FIGURES.items())]
        for row, found in table.items()
    ]
    classes = [[ROWS[row], *(f"{share:.3f}" for share in found.iou.values())] for row, found in table.items()]
    floors = [[str(floor), "reached" if floor.reached(table) else "missed"] for floor in FLOORS if floor.row in table]
    parts = [
        _lines(["pictures", *(heading for heading, _ in FIGURES.values())], figures),
        "## Intersection over union of each class",
        _lines(["pictures", *SEGMENT_COLOURS], classes),
        "## Floors",
        _lines(["floor", ""], floors),
    ]
    return "\n\n".join(parts)


def markdown(table: Mapping[str, Quality], sheet: str) -> str:
    """Write the page: how it was measured, the tables and the sheet of pictures, which is beside the page."""
    count = next(iter(table.values())).pictures
    parts = [
        "# How accurate the demo's annotator is",
        f"{count} scenes of every ground that were not used in training, {PICTURE_SIZE} x {PICTURE_SIZE} pixels, "
        "through the exported graph in ONNX Runtime; the truth is the renderer's own geometry. Written by "
        "`python -m demo annotator-report`; `demo/annotator_judge.py` defines every figure. The annotator was trained "
        "on pictures of this kind only; it finds no key points, because nothing in them has a skeleton.",
        "Depth is nearness, 0 to 1, compared without fitting scale or offset; the truth is 0.08 or more, so that the "
        f"ratio needs no offset, and the annotator's values are raised to at least {SMALLEST_NEARNESS:g}. In a scene's "
        "own depth the ground slopes by up to ±0.1, which is not visible in the picture: the annotator is trained and "
        "judged on the scene without the slope, and *tilted* compares with the scene with it. Normals are mean angles "
        f"over all pixels, and over those of solids. F1 compares the middle lines of edges of {EDGE:g} or more, at "
        f"most {TOLERANCE} px apart; solids' outlines are {OUTLINE:g}, borders within a ground's texture "
        f"{TEXTURE:g}. The autoencoder's latents, of unit deviation, have noise of {NOISE:g} added, as if denoising "
        "had not quite finished.",
        tables(table),
        "## The first scenes, not selected",
        f"![Pictures and maps]({sheet})",
        "The picture, then truth and result side by side: depth, normals, classes, soft edges.",
    ]
    return "\n\n".join(parts) + "\n"


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def sheet(annotate: Annotator, scenes: Sequence[Scene]) -> bytes:
    """A PNG with a line for each of the first scenes: the picture, then truth and result of each head."""
    bands = []
    for drawing in (render(scene, PICTURE_SIZE) for scene in scenes[:SHOWN]):
        pairs = zip(shown(truth(drawing)), shown(annotate(drawing.image)), strict=True)
        bands.append(np.concatenate([drawing.image, *(tile for pair in pairs for tile in pair)], axis=1))
    return png(np.concatenate(bands))


def shown(maps: Maps) -> list[Pixels]:
    """Maps as hints are drawn, RGB: depth, normals, classes, soft edges."""
    depth, edges = (
        np.repeat(np.rint(np.clip(plane, 0, 1)[..., None] * 255), 3, axis=2) for plane in (maps.depth, maps.softedge)
    )
    normal = np.clip((maps.normal.transpose(1, 2, 0) + 1) / 2, 0, 1) * 255
    colours = np.array(list(SEGMENT_COLOURS.values()), np.uint8)[maps.classes]
    return [np.asarray(tile, np.uint8) for tile in (depth, normal, colours, edges)]
