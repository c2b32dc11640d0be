"""How well pictures obey their prompts and hints: one pure function, and the floors a model must reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo import judge
from demo.captions import prompt
from demo.hints import edges
from demo.judge import Pixels
from demo.render import render
from demo.repaint import change_outside, repaint, wanted_is_there
from demo.scene import SMOOTH_STYLES, Scene, Stream, sample_scene, scene_generator


@dataclass(frozen=True, slots=True)
class Request:
    """One evaluation prompt and the scene it describes."""

    scene: Scene
    prompt: str


@dataclass(frozen=True, slots=True)
class Adherence:
    """Shares 0..1 over a set of pictures; nan if the measure applies to no picture of the set.

    ground: the border is in a colour of the ground. gradient_top, gradient_bottom: over gradients only.
    shape_one, shape_more: an object of the right colour and shape is found somewhere, over the objects of
    prompts with one and with several objects. in_mask: the object's colour dominates where its hint drew it.
    overlap: intersection over union of the object's colour with where its hint drew it.
    edge_f1: Canny edges against those of the scene's own render, 2 px tolerance.
    repainted: the object that inpainting hides (demo.repaint) is found, right, under its mask.
    kept: peak signal-to-noise ratio in dB of the picture against inpainting's source outside that mask.
    """

    pictures: int
    objects: int
    ground: float
    gradient_top: float
    gradient_bottom: float
    shape_one: float
    shape_more: float
    in_mask: float
    overlap: float
    edge_f1: float
    repainted: float
    kept: float


@dataclass(frozen=True, slots=True)
class Floor:
    """A value that a model must reach: a row's column in the table, or its lead over the same column of another row."""

    row: str
    column: str
    least: float
    above: str | None = None

    def value(self, table: dict[str, Adherence]) -> float:
        own = float(getattr(table[self.row], self.column))
        return own - float(getattr(table[self.above], self.column)) if self.above else own

    def __str__(self) -> str:
        lead = f" above {self.above}" if self.above else ""
        return f"{self.row}: {COLUMNS[self.column]} >= {self.least:.2f}{lead}"


#: Adherence field -> heading.
COLUMNS: dict[str, str] = {
    "ground": "ground colour",
    "gradient_top": "gradient top",
    "gradient_bottom": "gradient bottom",
    "shape_one": "colour+shape, one object",
    "shape_more": "colour+shape, several",
    "in_mask": "colour in its mask",
    "overlap": "overlap with its mask",
    "edge_f1": "edge F1",
    "repainted": "repainted object",
    "kept": "kept outside, dB",
}

FLOORS = (
    Floor("canny", "ground", 0.97),
    Floor("canny", "shape_one", 0.85),
    Floor("canny", "in_mask", 0.85),
    Floor("canny", "edge_f1", 0.72),
    Floor("canny", "edge_f1", 0.40, above="free"),
    Floor("depth", "in_mask", 0.75),
    Floor("depth", "overlap", 0.55),
    Floor("depth", "overlap", 0.30, above="free"),
    Floor("scribble", "shape_one", 0.80),
    Floor("scribble", "in_mask", 0.80),
    Floor("scribble", "edge_f1", 0.60),
    Floor("scribble", "edge_f1", 0.30, above="free"),
    Floor("segmentation", "in_mask", 0.85),
    Floor("segmentation", "overlap", 0.55),
    Floor("segmentation", "overlap", 0.30, above="free"),
    Floor("inpaint", "repainted", 0.60),
    Floor("inpaint", "kept", 24.0),
    Floor("inpaint", "kept", 6.0, above="free"),
    Floor("free", "shape_one", 0.75),
)


def requests(count: int, first_seed: int = 0) -> list[Request]:
    """New prompts on plain and gradient grounds, from a random stream that training does not use."""
    made = []
    for seed in range(first_seed, first_seed + count):
        rng = scene_generator(Stream.EVALUATION, seed)
        scene = sample_scene(rng, styles=SMOOTH_STYLES)
        made.append(Request(scene, prompt(scene, rng)))
    return made


def adherence(scenes: Sequence[Scene], pictures: Sequence[Pixels]) -> Adherence:
    """Measure pictures, uint8 RGB [h, w, 3] square and of one size, against the scenes they were asked for.

    Raises ValueError if there is not exactly one picture per scene, or none at all.
    """
    if not scenes or len(scenes) != len(pictures):
        raise ValueError(f"Expected one picture for each scene, got {len(pictures)} for {len(scenes)}.")
    ground, ends, one, more, masks, areas, f1, repainted, changes = ([] for _ in range(9))
    for scene, picture in zip(scenes, pictures, strict=True):
        truth = render(scene, picture.shape[0])
        ground.append(judge.ground_is_right(picture, scene))
        if scene.ground_end is not None:
            ends.append(judge.gradient_ends(picture, scene))
        (one if len(scene.solids) == 1 else more).extend(judge.shapes_found(picture, scene))
        masks.extend(judge.colours_in_masks(picture, scene, truth.ids))
        areas.extend(judge.overlaps(picture, scene, truth.ids))
        f1.append(judge.edge_f1(edges(picture), edges(truth.image)))
        task = repaint(scene, picture.shape[0])
        repainted.append(wanted_is_there(task, picture))
        changes.append(change_outside(task, picture))
    top, bottom = ([end[i] for end in ends] for i in (0, 1))
    shares = (_share(answers) for answers in (ground, top, bottom, one, more, masks, areas, f1, repainted))
    return Adherence(len(pictures), len(masks), *shares, psnr(_share(changes)))


def psnr(square_error: float) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures in dB from the mean square error; infinite for equal ones."""
    return 10 * math.log10(255**2 / square_error) if square_error else math.inf


def asked(table: dict[str, Adherence], floors: Sequence[Floor] = FLOORS) -> list[Floor]:
    """The floors whose rows a table has."""
    return [floor for floor in floors if floor.row in table and (floor.above is None or floor.above in table)]


def missed(table: dict[str, Adherence], floors: Sequence[Floor] = FLOORS) -> list[Floor]:
    """The floors that a table misses, among those whose rows it has. A share that is nan reaches no floor."""
    return [floor for floor in asked(table, floors) if not floor.value(table) >= floor.least]


def references(scenes: Sequence[Scene], size: int = 128) -> dict[str, Adherence]:
    """Two reference rows: the renders themselves (the best that a picture can reach), and each scene judged by
    another scene's render (the level of chance)."""
    renders = [render(scene, size).image for scene in scenes]
    return {"render": adherence(scenes, renders), "unrelated": adherence(scenes, renders[1:] + renders[:1])}


def _share(answers: Sequence[bool] | Sequence[float]) -> float:
    return float(np.mean(answers)) if len(answers) else float("nan")
