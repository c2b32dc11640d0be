"""The demo's annotator: its targets are exact, its network fits any size, its figures can be right and wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from demo import annotator_judge as judge
from demo.annotator_net import CONFIG, MULTIPLE, WEIGHTS, AnnotatorNet, load_net, save_net
from demo.annotator_pictures import SIDES, WEARS, Shape, compressed, fitted, random_shape, training_picture
from demo.annotator_report import FIGURES, ROWS, Floor, held_out, markdown, measure, missed, pictures, sheet, shown
from demo.annotator_train import as_input, loss, redrawn
from demo.annotator_truth import Maps, truth, window
from demo.corpus import to_tensor
from demo.hints import SEGMENT_COLOURS, hint, nearness
from demo.render import render
from demo.scene import CANVAS, Scene, Solid, Stream, sample_scene, scene_generator
from demo.softedge import OUTLINE, TEXTURE, soft_edges
from demo.vae import build_vae, calibrate

BALL = Scene("white", None, "plain", (Solid("circle", "red", 64, 64, 30, 0),), (0.3, -0.5), 0.25, 16, 0, True)
SCENES = [sample_scene(scene_generator(Stream.HELD_OUT, seed)) for seed in range(8)]


def maps_of(scene: Scene, size: int = 128) -> Maps:
    return truth(render(scene, size))


@pytest.fixture(scope="module")
def net() -> AnnotatorNet:
    torch.manual_seed(0)
    return AnnotatorNet().eval().requires_grad_(False)


def test_depth_is_that_of_a_ground_that_faces_the_eye() -> None:
    found = maps_of(BALL).depth
    assert np.ptp(found[:8]) == 0 and found[0, 0] == pytest.approx(0.18)
    assert found[64, 64] == pytest.approx(min(1, 0.18 + 0.9 * 30 / 40 * 0.6 + 0.15), abs=0.01)
    tilted = nearness(render(BALL), BALL.tilt)
    assert tilted[-1, 0] - tilted[0, 0] == pytest.approx(0.8 * BALL.tilt, rel=0.02)
    np.testing.assert_array_equal(hint("depth", render(BALL))[..., 0], (tilted * 255).astype(np.uint8))


def test_normals_are_unit_vectors_that_point_out_of_a_ball() -> None:
    vectors = maps_of(BALL).normal
    assert vectors.shape == (3, 128, 128) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), 1, atol=1e-5)
    assert vectors[0, 64, 84] > 0.3 and vectors[0, 64, 44] < -0.3, "right is positive"
    assert vectors[1, 44, 64] > 0.3 and vectors[1, 84, 64] < -0.3, "up is positive"
    assert vectors[:, 2, 2].tolist() == [0, 0, 1]


def test_classes_are_shapes_in_the_order_of_their_colours() -> None:
    for scene in SCENES:
        drawn = render(scene)
        found = truth(drawn).classes
        names = list(SEGMENT_COLOURS)
        assert {names[index] for index in np.unique(found)} == {"ground", *(s.shape for s in scene.solids)}
        for number, solid in enumerate(scene.solids, start=1):
            assert (found[drawn.ids == number] == names.index(solid.shape)).all()
        coloured = np.array(list(SEGMENT_COLOURS.values()), np.uint8)[found]
        np.testing.assert_array_equal(coloured, hint("segmentation", drawn))


@pytest.mark.parametrize("size", [96, 128, 256])
def test_a_soft_edge_is_bright_on_the_outline_and_as_thick_at_any_size(size: int) -> None:
    edges = soft_edges(render(BALL, size))
    y, x = (np.mgrid[:size, :size] + 0.5) / size * CANVAS
    pixels = np.abs(np.hypot(x - 64, y - 64) - 30) * size / CANVAS
    assert edges[pixels < 0.1].min() > 0.99 * OUTLINE
    assert edges[pixels > 5].max() < 0.001
    assert (edges > 0.5).sum() / (2 * math.pi * 30 * size / CANVAS) == pytest.approx(2.83, abs=0.15)
    assert hint("softedge", render(BALL, size)).max() == 255


@pytest.mark.parametrize(("style", "textured"), [("striped", 1), ("checkered", 1), ("dotted", 1), ("plain", 0)])
def test_borders_of_a_texture_are_weaker_edges_and_none_are_under_a_solid(style: str, textured: bool) -> None:
    drawn = render(replace(BALL, style=style), 256)
    edges, (y, x) = soft_edges(drawn), (np.mgrid[:256, :256] + 0.5) / 2
    reach = np.hypot(x - 64, y - 64)
    far = edges[reach > 36]
    assert far.max() == pytest.approx(TEXTURE if textured else 0, abs=0.05) and far.max() <= TEXTURE
    assert edges[reach < 24].max() < 0.001
    if textured:  # where the picture changes most there is an edge
        grey = drawn.image.mean(2)
        change = np.abs(np.diff(grey, axis=1))[:, :-1] * (reach[:, 1:-1] > 60)
        row, column = np.unravel_index(change.argmax(), change.shape)
        assert edges[row, column : column + 3].max() > 0.9 * TEXTURE


def test_a_window_is_cut_from_maps_as_from_the_picture_and_mirrors_normals() -> None:
    whole = maps_of(SCENES[0])
    cut = window(whole, 8, 16, 64, 96, mirrored=True)
    assert cut.depth.shape == cut.classes.shape == (64, 96) and cut.normal.shape == (3, 64, 96)
    np.testing.assert_array_equal(cut.depth, whole.depth[8:72, 16:112][:, ::-1])
    np.testing.assert_array_equal(cut.normal[0], -whole.normal[0, 8:72, 16:112][:, ::-1])
    np.testing.assert_array_equal(cut.normal[1], whole.normal[1, 8:72, 16:112][:, ::-1])


def test_training_pictures_show_what_their_maps_say_whatever_they_have_been_through() -> None:
    misses = []
    for seed, scene in enumerate(SCENES * 4):
        rng = np.random.default_rng(seed)
        shape = random_shape(rng)
        image, maps = training_picture(scene, shape, rng)
        assert image.shape == (shape.height, shape.width, 3) and image.dtype == np.uint8
        assert maps.depth.shape == maps.classes.shape == maps.softedge.shape == image.shape[:2]
        assert {shape.height, shape.width} <= set(SIDES) and not {s % MULTIPLE for s in SIDES} - {0}
        names = list(SEGMENT_COLOURS)
        for solid in scene.solids:  # a solid that was cut away, mirrored wrongly or shifted would not have one colour
            pixels = image[maps.classes == names.index(solid.shape)].astype(int)
            if len(pixels) > 50:
                misses.append(np.abs(np.median(pixels, axis=0) - np.median(image[maps.classes == 0], axis=0)).max())
    assert min(misses) > 20 and len(misses) > 30


@pytest.mark.parametrize("wear", WEARS)
def test_wear_changes_a_picture_and_leaves_it_recognisable(wear) -> None:  # type: ignore[no-untyped-def]
    image = render(SCENES[1]).image
    worn = wear(image, np.random.default_rng(5))
    assert worn.shape == image.shape and worn.dtype == np.uint8
    difference = np.abs(worn.astype(int) - image).mean()
    assert 0.05 < difference < 30


def test_fitting_and_compressing_keep_the_picture() -> None:
    image = render(SCENES[1], 256).image
    assert np.abs(fitted(image, 128).astype(int) - render(SCENES[1]).image).mean() < 2
    assert 0 < np.abs(compressed(image, 80).astype(int) - image).mean() < 4


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 128, 128), (2, 96, 160), (3, MULTIPLE * 4, MULTIPLE * 7)])
def test_the_network_takes_any_size_and_answers_in_range(
    net: AnnotatorNet, batch: int, height: int, width: int
) -> None:
    found = net(torch.rand(batch, 3, height, width))
    assert {name: tuple(found[name].shape) for name in found} == {
        "depth": (batch, height, width),
        "normal": (batch, 3, height, width),
        "segmentation": (batch, len(SEGMENT_COLOURS), height, width),
        "softedge": (batch, height, width),
    }
    for head in ("depth", "softedge"):
        assert found[head].min() >= 0 and found[head].max() <= 1 and found[head].std() > 0
    torch.testing.assert_close(found["normal"].norm(dim=1), torch.ones(batch, height, width))


def test_pictures_of_a_batch_do_not_touch_one_another(net: AnnotatorNet) -> None:
    images = torch.rand(3, 3, 64, 96)
    together = net(images)
    for number in range(3):
        alone = net(images[number : number + 1])
        for head, found in together.items():
            torch.testing.assert_close(found[number], alone[head][0], atol=1e-3, rtol=1e-3)


def test_a_folder_brings_the_network_back_in_half_precision(net: AnnotatorNet, tmp_path: Path) -> None:
    save_net(net, tmp_path)
    assert (tmp_path / WEIGHTS).stat().st_size < 1.3 * 2**20
    back = load_net(tmp_path)
    assert {weight.dtype for weight in back.parameters()} == {torch.float32}
    assert all(
        torch.equal(own.half().float(), read) for own, read in zip(net.parameters(), back.parameters(), strict=True)
    )
    settings = json.loads((tmp_path / CONFIG).read_text(encoding="utf-8"))
    assert settings["labels"] == list(SEGMENT_COLOURS)
    (tmp_path / CONFIG).write_text(json.dumps(settings | {"channels": [16, 32]}), encoding="utf-8")
    with pytest.raises(RuntimeError):
        load_net(tmp_path)


def test_the_loss_is_least_at_the_truth() -> None:
    wanted = [maps_of(scene) for scene in SCENES[:2]]

    def logit(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.stack(values)).clamp(1e-4, 1 - 1e-4).logit()[:, None]

    labels = torch.from_numpy(np.stack([maps.classes for maps in wanted])).long()
    right = {
        "depth": logit([maps.depth for maps in wanted]),
        "normal": torch.from_numpy(np.stack([maps.normal for maps in wanted])) * 3,
        "segmentation": torch.nn.functional.one_hot(labels, 7).permute(0, 3, 1, 2) * 30.0,
        "softedge": logit([maps.softedge for maps in wanted]),
    }
    least = loss(right, wanted)
    for head in right:
        assert loss(right | {head: -right[head]}, wanted) > least + 0.1, head


def test_the_autoencoder_is_given_pictures_as_it_knows_them_and_gives_pictures() -> None:
    torch.manual_seed(0)
    image = render(SCENES[0]).image[None]
    autoencoder = build_vae().eval()
    calibrate(autoencoder, to_tensor(image))
    drawn = redrawn(autoencoder, image, 0.0)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    blocks = [part.reshape(16, 8, 16, 8, 3).mean((1, 3)) for part in (drawn[0], image[0])]
    assert np.abs(blocks[0] - blocks[1]).mean() < 20, "a fresh one averages blocks"
    np.testing.assert_allclose(as_input(image).numpy()[0].transpose(1, 2, 0) * 255, image[0], atol=1e-3)


def judged(found: list[Maps], wanted: list[Maps] | None = None) -> judge.Quality:
    tilted = [nearness(render(scene), scene.tilt) for scene in SCENES]
    return judge.quality(found, wanted or [maps_of(scene) for scene in SCENES], tilted)


def test_the_truth_is_perfect_but_for_the_tilt_that_does_not_show() -> None:
    best = judged([maps_of(scene) for scene in SCENES])
    assert (best.depth_rmse, best.depth_near, best.normal, best.normal_solids) == (0, 1, 0, 0)
    assert best.miou == best.edges == 1
    assert best.depth_rmse_tilted > 0.01 and best.depth_near_tilted < 1


def test_other_scenes_maps_are_bad_in_every_figure() -> None:
    maps = [maps_of(scene) for scene in SCENES]
    best, worst = judged(maps), judged(maps[1:] + maps[:1])
    assert worst.depth_rmse > 0.1 and worst.depth_near < 0.9 and worst.normal_solids > 20
    assert worst.miou < 0.3 and worst.edges < 0.4
    assert worst.depth_rmse_tilted > best.depth_rmse_tilted


def test_figures_of_maps_made_by_hand() -> None:
    wanted = np.full((2, 4), 0.4, np.float32)
    found = np.array([[0.4, 0.49, 0.51, 0.0], [0.4, 0.33, 0.31, 1.0]], np.float32)
    rmse, near = judge.depth_errors(found, wanted)
    assert near == pytest.approx(4 / 8)
    assert rmse == pytest.approx(math.sqrt((0.09**2 + 0.11**2 + 0.4**2 + 0.07**2 + 0.09**2 + 0.6**2) / 8), rel=1e-5)
    one = np.zeros((3, 1, 3), np.float32)
    one[2] = 1
    other = np.array([[[0, 1, 0]], [[0, 0, 0]], [[1, 0, -1]]], np.float32)
    assert judge.angle(one, other)[0].tolist() == pytest.approx([0, 90, 180], abs=1e-3)
    shares = judge.overlaps(np.array([0, 0, 1, 1], np.uint8), np.array([0, 1, 1, 1], np.uint8))
    assert (shares["ground"], shares["circle"]) == (pytest.approx(1 / 2), pytest.approx(2 / 3))
    assert math.isnan(shares["star"])


def test_edges_match_within_a_pixel_and_not_beyond() -> None:
    edges = soft_edges(render(BALL))
    thin = judge.crests(edges)
    assert thin.sum() < 0.45 * (edges > 0.5).sum()
    scores = [judge.edge_score([np.roll(edges, shift, (0, 1))], [edges]) for shift in (0, 1, 8)]
    assert scores[0] == 1 and scores[1] > 0.9 and scores[2] < 0.35
    assert judge.edge_score([edges * 0.4], [edges]) == 0, "too faint"
    assert judge.edge_score([np.ones_like(edges) * (edges > 2)], [edges]) == 0


def test_sets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1, 8 and 8"):
        judged([maps_of(SCENES[0])])
    with pytest.raises(ValueError, match="got 0, 0 and 0"):
        judge.quality([], [], [])


def test_the_report_names_every_row_and_figure_and_its_floors() -> None:
    scenes, vae = held_out(8), build_vae().eval()
    seen = {row: pictures(row, scenes, vae) for row in ROWS}
    assert {picture.shape for row in seen.values() for picture in row} == {(128, 128, 3)}
    assert not any(np.array_equal(seen["render"], seen[row]) for row in ROWS if row != "render")
    answers = {render(scene).image.tobytes(): maps_of(scene) for scene in scenes}
    table = measure(lambda picture: answers[picture.tobytes()], scenes, vae, rows=["render"])
    assert table["render"].miou == 1
    page = markdown(table, "annotator.png")
    for heading in (ROWS["render"], *(heading for heading, _ in FIGURES.values()), *SEGMENT_COLOURS, "annotator.png"):
        assert heading in page
    assert not missed(table) and page.count("| reached |") >= 4 and "| missed |" not in page
    worse = {
        "render": judge.quality(
            [maps_of(scenes[0])] * 8,
            [maps_of(scene) for scene in scenes],
            [nearness(render(scene), scene.tilt) for scene in scenes],
        )
    }
    assert missed(worse) and "| missed |" in markdown(worse, "annotator.png")
    assert not Floor("render", "miou", least=1.1).reached(table) and not Floor("render", "edges", most=0.9).reached(
        table
    )
    assert str(Floor("render", "normal", most=4.5)) == "renders: normals <= 4.5"
    assert sheet(lambda picture: answers[picture.tobytes()], scenes)[:8] == b"\x89PNG\r\n\x1a\n"
    drawn = render(scenes[0])
    for tile, kind in zip(shown(truth(drawn)), ("depth", "normal", "segmentation", "softedge"), strict=True):
        assert tile.shape == (128, 128, 3)
        if kind in ("segmentation", "softedge"):
            np.testing.assert_array_equal(tile, hint(kind, drawn))


def test_shapes_of_batches_vary_and_half_are_as_served() -> None:
    drawn = [random_shape(np.random.default_rng(seed)) for seed in range(400)]
    assert 0.45 < np.mean([shape == Shape(128, 128) for shape in drawn]) < 0.65
    assert any(shape.height != shape.width for shape in drawn) and {shape.height for shape in drawn} == set(SIDES)
