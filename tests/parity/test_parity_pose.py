"""Skeletons against controlnet_aux's own OpenposeDetector, with the same maps in the place of its networks' answers."""

import asyncio
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.annotators import library
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Learned
from preprocess_svc.pose.body import find_people
from tests.rigs.pose_maps import Maps, Network, Networks, body_maps, point_maps, standing

Pixels = NDArray[np.uint8]


OPEN_POSE: Any = library.module("open_pose")


class Answers(torch.nn.Module):
    """A network in the library's place: what the library made of the picture is undone, BGR / 256 - 0.5."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.device = torch.nn.Parameter(torch.zeros(1))
        self.network = network

    def forward(self, x: torch.Tensor) -> Any:
        picture = np.rint((x[0].numpy().transpose(1, 2, 0) + 0.5) * 256).astype(np.uint8)
        answers = [
            torch.from_numpy(maps.copy())[None] for maps in self.network(np.ascontiguousarray(picture[..., ::-1]))
        ]
        return answers if len(answers) > 1 else answers[0]


class StagedAnswers(Answers):
    """The face network answers with each of its stages."""

    def forward(self, x: torch.Tensor) -> Any:
        return [None, super().forward(x)]


def detector(networks: Mapping[str, Network]) -> Any:
    body, hand, face = (kind.__new__(kind) for kind in (OPEN_POSE.Body, OPEN_POSE.Hand, OPEN_POSE.Face))
    body.model, hand.model = Answers(networks["body"]), Answers(networks["hand"])
    face.model = StagedAnswers(networks["face"])
    return OPEN_POSE.OpenposeDetector(body, hand, face)


def ours(kind: str, picture: Pixels, networks: Mapping[str, Network], **parameters: float) -> Pixels:
    extractor = CONTROLS[kind].extractors[0]
    assert isinstance(extractor, Learned)
    work = extractor.annotate(picture, extractor.settle(kind, parameters), Networks(networks))
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def crowd(size: tuple[int, int], people: int, noise: float = 0.0) -> dict[str, Network]:
    """Networks that see `people` standing side by side; what those of hands and faces see depends on every pixel."""
    height, width = size
    places = [standing(width * i / people, 0.04 * height, width / people, 0.9 * height) for i in range(people)]

    def body(picture: Pixels) -> tuple[Maps, ...]:
        scale = 0.5 * 368 / height
        seen = int(height * scale), int(width * scale)
        cells = (picture.shape[0] // 8, picture.shape[1] // 8)
        return body_maps(places, size, cells, seen, noise)

    return {"body": body, "hand": points_of_anything(21), "face": points_of_anything(70)}


def points_of_anything(count: int) -> Network:
    def network(picture: Pixels) -> tuple[Maps, ...]:
        random = np.random.default_rng(zlib.crc32(picture.tobytes()))
        points = [None if random.random() < 0.1 else tuple(random.uniform(0.05, 0.95, 2)) for _ in range(count)]
        return (point_maps(points, count, picture.shape[0] // 8),)

    return network


def noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


# (width, height) of the picture, how many people stand in it, and the side at which they are looked for: at 128 pixels
# the network's maps are larger than the picture.
SCENES = ((512, 512, 1, 512), (768, 512, 3, 256), (320, 192, 1, 192), (512, 512, 1, 128))
scenes = pytest.mark.parametrize(("width", "height", "people", "side"), SCENES)


def theirs(picture: Pixels, networks: Mapping[str, Network], side: int, **included: bool) -> Pixels:
    image_resolution = min(picture.shape[:2])
    made = detector(networks)(
        picture, detect_resolution=side, image_resolution=image_resolution, output_type="np", **included
    )
    return np.asarray(made)


@scenes
def test_skeletons_are_the_library_s_to_the_pixel(width: int, height: int, people: int, side: int) -> None:
    """The networks of hands and faces answer anew to any other pixel, so what they are shown is the same as well."""
    networks, picture = crowd((height, width), people), noise(width, height)
    expected = theirs(picture, networks, side, include_hand=True, include_face=True)
    assert len(np.unique(expected.reshape(-1, 3), axis=0)) > 50
    made = ours("openpose", picture, networks, detect_resolution=side, hands=1, face=1)
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("wanted", [("hands",), ("face",), ("body", "face")], ids="-".join)
def test_each_part_of_a_drawing_is_the_library_s(wanted: tuple[str, ...]) -> None:
    networks, picture = crowd((512, 512), 1), noise(512, 512)
    included = {f"include_{name.removesuffix('s')}": name in wanted for name in ("body", "hands", "face")}
    expected = theirs(picture, networks, 512, **included)
    assert expected.any()
    chosen = {name: float(name in wanted) for name in ("body", "hands", "face")}
    np.testing.assert_array_equal(ours("openpose", picture, networks, detect_resolution=512, **chosen), expected)
    if wanted == ("face",):
        np.testing.assert_array_equal(ours("face", picture, networks, detect_resolution=512), expected)


@pytest.mark.parametrize("seed", range(5))
def test_a_throng_is_taken_apart_as_the_library_does(seed: int) -> None:
    """People who overlap, lack parts and stand in noise: the same people with the same points, to the pixel, in the
    same order. Their scores differ by the library's single precision alone."""
    random = np.random.default_rng(seed)
    height, width = 256, 384
    throng = []
    for _ in range(random.integers(3, 9)):
        tall = random.uniform(60, 200)
        whole = standing(random.uniform(0, width - tall / 2), random.uniform(0, height - tall), tall / 2, tall)
        throng.append({part: place for part, place in whole.items() if random.random() < 0.85})
    seen = (184, 276)
    maps = body_maps(throng, (height, width), (23, 35), seen, noise=0.06)
    network = OPEN_POSE.Body.__new__(OPEN_POSE.Body)
    network.model = Answers(lambda picture: maps)
    candidate, subset = network(noise(width, height))
    expected = [[candidate[int(index)][:2] if index >= 0 else (np.nan, np.nan) for index in row[:18]] for row in subset]
    found = find_people(*maps, seen, (height, width))
    assert len(expected) > 1
    np.testing.assert_array_equal([person.points for person in found], expected)
    np.testing.assert_allclose([person.score for person in found], subset[:, 18], atol=1e-4)
