"""Scenes, pictures, hints and captions of the demo model agree with one another."""

from __future__ import annotations

import re

import numpy as np
import pytest

from demo.captions import SENTENCES, caption, prompt
from demo.hints import HINTS, edges, hint
from demo.render import render
from demo.scene import COLOURS, PALETTE, SHAPES, SMOOTH_STYLES, Scene, Solid, Stream, sample_scene, scene_generator
from families.facts import hint_channels


def scene_of(seed: int, stream: Stream = Stream.TRAINING) -> Scene:
    return sample_scene(scene_generator(stream, seed))


def one_solid(shape: str = "circle", colour: str = "red", ground: str = "white", tilt: float = 0.0) -> Scene:
    solid = Solid(shape, colour, 64.0, 64.0, 34.0, 0.2)
    return Scene(ground, None, "plain", (solid,), (0.3, -0.5), tilt, 15.0, 3.0, False)


def test_a_seed_gives_the_same_picture_and_captions_in_any_order() -> None:
    forward = [(scene_of(seed), render(scene_of(seed)).image) for seed in (3, 4)]
    backward = [(scene_of(seed), render(scene_of(seed)).image) for seed in (4, 3)][::-1]
    for (scene, image), (again, image_again) in zip(forward, backward, strict=True):
        assert scene == again
        np.testing.assert_array_equal(image, image_again)
    assert forward[0][0] != forward[1][0]


def test_the_evaluation_never_meets_a_training_scene() -> None:
    training = {scene_of(seed) for seed in range(300)}
    assert training.isdisjoint(scene_of(seed, Stream.EVALUATION) for seed in range(300))
    assert training.isdisjoint(scene_of(seed, Stream.HELD_OUT) for seed in range(300))


def test_scenes_keep_the_promises_of_the_domain() -> None:
    scenes = [scene_of(seed) for seed in range(500)]
    for scene in scenes:
        colours = [solid.colour for solid in scene.solids]
        assert 1 <= len(scene.solids) <= 3
        assert len({*colours, *scene.ground_colours}) == len(colours) + len(scene.ground_colours)
        assert len({solid.shape for solid in scene.solids}) == len(scene.solids)
        assert (scene.style == "gradient") == (scene.ground_end is not None)
        ids = render(scene).ids
        assert set(np.unique(ids)) == set(range(len(scene.solids) + 1))
        assert not ids[[0, -1]].any() and not ids[:, [0, -1]].any(), "a solid is cut off"
    assert {scene.style for scene in scenes} == {"plain", "striped", "checkered", "dotted", "gradient"}
    assert {solid.shape for scene in scenes for solid in scene.solids} == set(SHAPES)
    assert {solid.colour for scene in scenes for solid in scene.solids} == set(COLOURS)


def test_styles_can_be_restricted() -> None:
    drawn = {sample_scene(scene_generator(Stream.EVALUATION, seed), styles=SMOOTH_STYLES).style for seed in range(60)}
    assert drawn == set(SMOOTH_STYLES)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_solid_is_drawn_in_its_colour_where_its_ids_are(shape: str) -> None:
    drawn = render(one_solid(shape, "green", "white"))
    inside, outside = drawn.image[drawn.ids == 1].astype(int), drawn.image[drawn.ids == 0].astype(int)
    assert np.abs(np.median(inside, axis=0) - PALETTE["green"]).max() < 45
    assert np.abs(np.median(outside, axis=0) - PALETTE["white"]).max() < 30
    assert 0.05 < (drawn.ids == 1).mean() < 0.4


def test_a_ring_has_a_hole_and_a_circle_has_none() -> None:
    assert render(one_solid("ring")).ids[64, 64] == 0
    assert render(one_solid("circle")).ids[64, 64] == 1


def test_shading_follows_the_lamp() -> None:
    scene = one_solid("circle", "blue")
    bright = render(scene).image[:, :, 2].astype(int)
    assert bright[45, 72] > bright[83, 56] + 20, "the lamp is up and to the right"


def test_a_larger_picture_shows_the_same_scene() -> None:
    small, large = render(scene_of(5), 128), render(scene_of(5), 256)
    shrunk = large.image.reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.abs(shrunk - small.image).mean() < 4
    assert (large.ids[::2, ::2] == small.ids).mean() > 0.98


def test_canny_runs_along_the_outline() -> None:
    drawn = render(one_solid("circle"))
    rows, columns = np.nonzero(hint("canny", drawn)[..., 0])
    reach = np.hypot(columns + 0.5 - 64, rows + 0.5 - 64)
    assert len(rows) > 150
    assert np.abs(reach - 34).max() < 2.5
    np.testing.assert_array_equal(hint("canny", drawn)[..., 0], edges(drawn.image))


def test_depth_raises_solids_and_tilts_the_ground() -> None:
    level, tilted = (render(one_solid("circle", tilt=tilt)) for tilt in (0.0, 0.25))
    depth = hint("depth", level)[..., 0].astype(int)
    assert depth[64, 64] > depth[64, 36] > depth[4, 4]
    assert np.ptp(depth[level.ids == 0]) < 40, "a level ground is flat, but for the antialiased rim"
    slope = hint("depth", tilted)[..., 0].astype(int)
    assert slope[120, 4] > slope[4, 4] + 20
    np.testing.assert_array_equal(level.image, tilted.image)


def test_normals_lean_away_from_the_middle_of_a_circle() -> None:
    normal = hint("normal", render(one_solid("circle"))).astype(int)
    assert normal[64, 88, 0] > 150 > 105 > normal[64, 40, 0], "red points right"
    assert normal[40, 64, 1] > 150 > 105 > normal[88, 64, 1], "green points up"
    assert tuple(normal[4, 4]) == (127, 127, 255)


def test_segmentation_has_one_colour_a_solid() -> None:
    drawn = render(scene_of(next(s for s in range(99) if len(scene_of(s).solids) == 2)))
    colours = hint("segmentation", drawn)
    assert [len(np.unique(colours[drawn.ids == n], axis=0)) for n in range(3)] == [1, 1, 1]
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == 3


@pytest.mark.parametrize("kind", HINTS)
def test_every_hint_has_the_size_and_the_channels_that_its_graph_takes(kind: str) -> None:
    drawn = hint(kind, render(scene_of(1), 64))
    assert (drawn.shape, drawn.dtype) == ((64, 64, hint_channels(kind)), np.uint8)
    assert drawn.std() > 0


@pytest.mark.parametrize("kind", HINTS)
def test_a_scene_always_gets_the_same_hint(kind: str) -> None:
    other, again = (hint(kind, render(scene_of(seed))) for seed in (2, 1))
    first = hint(kind, render(scene_of(1)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_unknown_hint_is_refused() -> None:
    with pytest.raises(KeyError):
        hint("scent", render(scene_of(1)))


def test_prompts_name_every_solid_and_the_ground() -> None:
    for seed in range(200):
        rng = scene_generator(Stream.EVALUATION, seed)
        scene = sample_scene(rng, styles=SMOOTH_STYLES)
        text = prompt(scene, rng)
        named = re.findall(rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})", text)
        assert sorted(named) == sorted((s.colour, s.shape) for s in scene.solids), text
        ground = text.rsplit(" on ", 1)[1]
        assert [word for word in ground.split() if word in COLOURS] == list(scene.ground_colours), text
        assert text.endswith(" background")


def test_captions_follow_the_grammar() -> None:
    thing = rf"an? (?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)})"
    things = rf"{thing}(?:, {thing})*(?:(?: and |, ){thing})?"
    colour, texture = f"(?:{'|'.join(COLOURS)})", "(?:striped|checkered|dotted)"
    bare = rf"(?:{colour} to {colour} gradient|{colour}(?: {texture})?|{texture} {colour}) background"
    grammar = re.compile(
        rf"(?:a photo of )?{things} on an? {bare}|{things}, {bare}|{things}|a 3d render of {things}, an? {bare}"
    )
    seen = set()
    for seed in range(400):
        rng = scene_generator(Stream.TRAINING, seed)
        text = caption(sample_scene(rng), rng)
        assert grammar.fullmatch(text), text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text
        seen.add(re.sub(things, "{solids}", re.sub(bare, "{bare}", text)))
    assert len(seen) >= len(SENTENCES)
