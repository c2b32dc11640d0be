"""The judge gives real renders full marks, and every one of its measures can fail."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from demo import judge
from demo.adherence import FLOORS, Adherence, Floor, adherence, missed, psnr, references, requests
from demo.hints import edges
from demo.judge import Pixels
from demo.render import render
from demo.repaint import change_outside, repaint, wanted_is_there
from demo.scene import COLOURS, PALETTE, SHAPES, Scene, Solid

SCENES = [request.scene for request in requests(96)]
RENDERS = [render(scene).image for scene in SCENES]


def recoloured(scene: Scene, **changes: object) -> Pixels:
    return render(dataclasses.replace(scene, **changes)).image  # type: ignore[arg-type]


def with_solids(scene: Scene, **changes: object) -> Pixels:
    solids = tuple(dataclasses.replace(solid, **changes) for solid in scene.solids)  # type: ignore[arg-type]
    return recoloured(scene, solids=solids)


def spare_colour(scene: Scene) -> str:
    return next(c for c in COLOURS if c not in scene.ground_colours and c not in [s.colour for s in scene.solids])


def other_shape(shape: str) -> str:
    return "square" if shape == "ring" else "ring"


def test_renders_reach_the_ceiling() -> None:
    measured = adherence(SCENES, RENDERS)
    assert measured.pictures == 96 and measured.objects == sum(len(scene.solids) for scene in SCENES)
    assert measured.ground == measured.gradient_top == measured.gradient_bottom == measured.in_mask == 1.0
    assert measured.edge_f1 == 1.0
    assert measured.shape_one > 0.93 and measured.shape_more > 0.93
    assert measured.overlap > 0.9 and measured.repainted > 0.9 and measured.kept > 40


def test_unrelated_renders_fail_every_measure() -> None:
    chance = references(SCENES)["unrelated"]
    shares = dataclasses.asdict(chance)
    assert all(shares[c] < 0.35 for c in ("ground", "gradient_top", "gradient_bottom", "shape_one", "in_mask"))
    assert shares["shape_more"] < 0.15 and shares["edge_f1"] < 0.4
    assert shares["overlap"] < 0.1 and shares["repainted"] < 0.1 and shares["kept"] < 10


@pytest.mark.parametrize("name", COLOURS)
def test_every_colour_is_named(name: str) -> None:
    assert judge.dominant_colour(np.full((8, 8, 3), PALETTE[name], np.uint8)) == name


def test_colours_survive_noise_and_dimming() -> None:
    noise = np.random.default_rng(0).normal(0, 12, (64, 64, 3))
    for name, colour in PALETTE.items():
        dimmed = np.clip(np.array(colour) * 0.92 + noise, 0, 255).astype(np.uint8)
        assert judge.dominant_colour(dimmed) == name


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_told_apart_and_the_colour_counts(shape: str) -> None:
    image = render(
        Scene("white", None, "plain", (Solid(shape, "blue", 60, 66, 30, 0.3),), (0.2, -0.5), 0, 15, 0, True)
    ).image
    seen = judge.find_shape(image, "blue")
    assert seen is not None and seen.shape == shape and seen.overlap > 0.8
    assert judge.find_shape(image, "yellow") is None


def test_the_ground_is_no_object_and_specks_are_none() -> None:
    image = np.full((128, 128, 3), PALETTE["green"], np.uint8)
    assert judge.find_shape(image, "green") is None
    image[60:66, 60:66] = PALETTE["red"]
    assert judge.find_shape(image, "red") is None


def test_each_measure_fails_alone() -> None:
    plain = next(s for s in SCENES if s.style == "plain" and len(s.solids) == 1)
    right = adherence([plain], [render(plain).image])
    assert math.isnan(right.gradient_top) and math.isnan(right.shape_more)

    ground = adherence([plain], [recoloured(plain, ground=spare_colour(plain))])
    assert (ground.ground, ground.in_mask, ground.shape_one) == (0.0, 1.0, 1.0)

    colour = adherence([plain], [with_solids(plain, colour=spare_colour(plain))])
    assert (colour.ground, colour.in_mask, colour.shape_one) == (1.0, 0.0, 0.0)

    shape = adherence([plain], [with_solids(plain, shape=other_shape(plain.solids[0].shape))])
    assert (shape.ground, shape.shape_one) == (1.0, 0.0) and shape.edge_f1 < 0.8

    solid = plain.solids[0]
    moved = adherence([plain], [with_solids(plain, x=128 - solid.x + 40 * (abs(solid.x - 64) < 20))])
    assert (moved.ground, moved.shape_one) == (1.0, 1.0) and moved.edge_f1 < 0.5


def test_gradient_ends_are_told_apart() -> None:
    scene = next(s for s in SCENES if s.style == "gradient")
    upside_down = recoloured(scene, ground=scene.ground_end, ground_end=scene.ground)
    measured = adherence([scene], [upside_down])
    assert (measured.ground, measured.gradient_top, measured.gradient_bottom) == (1.0, 0.0, 0.0)


def test_swapped_colours_of_two_solids_are_noticed() -> None:
    scene = next(s for s in SCENES if len(s.solids) == 2)
    a, b = scene.solids
    swapped = (dataclasses.replace(a, colour=b.colour), dataclasses.replace(b, colour=a.colour))
    measured = adherence([scene], [recoloured(scene, solids=swapped)])
    assert measured.in_mask == 0.0 and measured.shape_more == 0.0 and measured.ground == 1.0


def test_edge_f1_forgives_two_pixels_and_no_more() -> None:
    line = np.zeros((64, 64), np.uint8)
    line[32, 8:56] = 255
    assert judge.edge_f1(line, line) == 1.0
    assert judge.edge_f1(np.roll(line, 2, axis=0), line) == 1.0
    assert judge.edge_f1(np.roll(line, 3, axis=0), line) == 0.0
    assert judge.edge_f1(np.zeros_like(line), line) == 0.0
    both = line | np.roll(line, 20, axis=0)
    assert judge.edge_f1(both, line) == pytest.approx(2 / 3)
    assert judge.edge_f1(line, both) == pytest.approx(2 / 3)


def test_edges_of_a_blurred_picture_score_lower() -> None:
    assert judge.edge_f1(edges(RENDERS[0] // 8), edges(RENDERS[0])) < 0.5


def test_overlap_is_intersection_over_union() -> None:
    scene = Scene("white", None, "plain", (Solid("square", "red", 64, 64, 30, 0),), (0, -0.5), 0, 15, 0, True)
    ids = np.zeros((128, 128), np.uint8)
    ids[20:60, 20:40] = 1
    image = np.full((128, 128, 3), 242, np.uint8)
    image[20:60, 30:50] = PALETTE["red"]
    assert judge.overlaps(image, scene, ids) == pytest.approx([1 / 3])
    image[20:60, 20:50] = PALETTE["red"]
    assert judge.overlaps(image, scene, ids) == pytest.approx([2 / 3])
    assert judge.overlaps(np.full_like(image, 242), scene, ids) == [0.0]


def test_what_is_to_be_repainted_is_not_in_the_source() -> None:
    found = []
    for scene in SCENES:
        task = repaint(scene, 128)
        assert task.wanted == scene.solids[0]
        assert change_outside(task, task.source) == 0.0
        found.append(wanted_is_there(task, task.source))
        if scene.style == "plain":  # a gradient may pass through the colour
            assert not found[-1]
            seen = judge.colour_indices(task.source[task.mask]) == COLOURS.index(task.wanted.colour)
            assert seen.mean() < 0.1
    assert np.mean(found) < 0.03


def test_repainting_is_judged_inside_the_mask_and_keeping_outside() -> None:
    scene = next(s for s in SCENES if len(s.solids) == 1 and s.solids[0].radius < 32)
    task, right = repaint(scene, 128), render(scene).image
    assert wanted_is_there(task, right)
    inside = np.where(task.mask[..., None], right, np.uint8(0))
    assert wanted_is_there(task, inside), "what is outside is not looked at"
    assert not wanted_is_there(task, np.where(task.mask[..., None], np.uint8(0), right))
    shifted = np.where(task.mask[..., None], np.uint8(0), task.source // 2 + 10)
    difference = (shifted.astype(float) - task.source)[~task.mask]
    assert change_outside(task, shifted) == pytest.approx((difference**2).mean(), rel=1e-5)
    assert psnr(255.0**2) == 0.0 and psnr(0.0) == math.inf
    assert psnr(12.0**2) == pytest.approx(26.55, abs=0.01)


def test_one_picture_a_scene_is_required() -> None:
    for scenes, pictures in ((SCENES[:2], RENDERS[:1]), ([], [])):
        with pytest.raises(ValueError, match="one picture for each scene"):
            adherence(scenes, pictures)


def row(**changes: float) -> Adherence:
    shares = dict.fromkeys(
        [field.name for field in dataclasses.fields(Adherence) if field.name not in ("pictures", "objects")], 1.0
    )
    return Adherence(1, 1, **(shares | {"kept": 40.0} | changes))


def test_every_floor_can_be_missed_and_none_is_missed_by_a_perfect_model() -> None:
    perfect = {floor.row: row() for floor in FLOORS} | {"free": row(edge_f1=0.25, overlap=0.2, kept=15.0)}
    assert missed(perfect) == []
    for floor in FLOORS:
        base = getattr(perfect["free"], floor.column) if floor.above else 0.0
        low = dataclasses.replace(perfect[floor.row], **{floor.column: base + floor.least - 0.01})
        assert floor in missed(perfect | {floor.row: low}), floor


def test_a_floor_is_reached_at_its_value_and_unknown_is_not_enough() -> None:
    floor = Floor("canny", "ground", 0.97)
    assert missed({"canny": row(ground=0.97)}, [floor]) == []
    assert missed({"canny": row(ground=math.nan)}, [floor]) == [floor]
    assert missed({"depth": row(ground=0)}, [floor]) == []
