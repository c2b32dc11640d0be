"""Hints against controlnet_aux's own detectors: the same picture, the same network, the library's hint and ours.

Ours takes the whole way but Triton: the picture fitted, the module that the exporter turns into a graph, the drawing.
Stated tolerance: one level of 255 everywhere, and for lines and strokes that are there or not, no pixel.
"""

import asyncio
import functools
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.annotators import hed, library, lineart, lineart_anime, mlsd, normalbae, pidinet
from families.annotators import HEADS
from mesh.pictures import Pixels
from preprocess_svc.annotators import Annotators, Map, Seen
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Learned
from tests.rigs.annotator_maps import HandMade, card

WIDTH, HEIGHT = 256, 128


def picture(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Clouds, a disc and a stroke."""
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    scene = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    cv2.circle(scene, (width // 3, height // 2), height // 4, (250, 20, 40), -1)
    cv2.line(scene, (0, height - 20), (width, 20), (0, 0, 0), 4)
    return scene


class InTorch(Annotators):
    """An annotator whose graph runs here: `module` as the exporter makes it, which finds `head`."""

    def __init__(self, head: str, module: nn.Module, multiple: int = 64) -> None:
        super().__init__([msgspec.structs.replace(card([head]), multiple=multiple)])
        self._module = module

    async def infer(self, head: str, fitted: Pixels) -> Seen:
        with torch.no_grad():
            found = self._module(torch.from_numpy(fitted[None]))
        names = [tensor.name for tensor in HEADS[head]]
        maps: dict[str, Map] = {name: one[0].numpy() for name, one in zip(names, found, strict=True)}
        served = self.card(head)
        assert served is not None
        return Seen(maps, fitted, served)


def ours(kind: str, name: str, scene: np.ndarray, annotators: Annotators, **parameters: float) -> np.ndarray:
    (extractor,) = (one for one in CONTROLS[kind].extractors if one.name == name)
    assert isinstance(extractor, Learned)
    return asyncio.run(extractor.annotate(scene, extractor.settle(kind, parameters), annotators))


def theirs(detector: Any, scene: np.ndarray, detect_resolution: int | None = None, **options: Any) -> np.ndarray:
    side = min(scene.shape[:2])
    with torch.no_grad():
        found: np.ndarray = detector(
            scene, detect_resolution=detect_resolution or side, image_resolution=side, output_type="np", **options
        )
    return found


@functools.cache
def midas_module() -> ModuleType:
    """The library's file of MidasDetector with its rule, without MiDaS's networks, which want timm."""
    spec = importlib.util.find_spec(library.PACKAGE)
    assert spec is not None and spec.submodule_search_locations
    (folder,) = spec.submodule_search_locations
    alone = ModuleType("midas_alone")
    alone.__path__ = [folder]
    networks = ModuleType("midas_alone.midas.api")
    networks.__dict__["MiDaSInference"] = None
    stand_ins = {"midas_alone": alone, "midas_alone.midas.api": networks}
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("midas_alone.midas")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "midas_alone"]:
            del sys.modules[name]


@dataclass(frozen=True)
class Case:
    """One annotator of the library, and the hint that is drawn like its own."""

    kind: str
    extractor: str
    network: Callable[[], nn.Module]
    module: Callable[[nn.Module], nn.Module]
    detector: Callable[[nn.Module], Any]
    multiple: int = 64

    @property
    def head(self) -> str:
        (one,) = (one for one in CONTROLS[self.kind].extractors if one.name == self.extractor)
        assert isinstance(one, Learned)
        return one.heads[0]


def sharpened(net: nn.Module, layer: str, gain: float) -> nn.Module:
    """The network with a stronger last layer: random weights alone find next to nothing."""
    last = net.get_submodule(layer)
    assert isinstance(last, nn.Conv2d)
    with torch.no_grad():
        last.weight.mul_(gain)
    return net


def anime() -> nn.Module:
    norm = functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    net: nn.Module = library.module("lineart_anime").UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)
    return net


CASES = {
    "hed": Case(
        "hed",
        "hed",
        lambda: library.module("hed").ControlNetHED_Apache2(),
        hed.Hed,
        lambda net: library.module("hed").HEDdetector(net),
    ),
    "pidinet": Case(
        "softedge",
        "pidinet",
        lambda: sharpened(library.module("pidi.model").pidinet(), "classifier", 400),
        pidinet.PiDiNet,
        lambda net: library.module("pidi").PidiNetDetector(net),
    ),
    "mlsd": Case(
        "mlsd",
        "mlsd",
        lambda: sharpened(library.module("mlsd.models.mbv2_mlsd_large").MobileV2_MLSD_Large(), "block23.conv3", 200),
        mlsd.Mlsd,
        lambda net: library.module("mlsd").MLSDdetector(net),
    ),
    "lineart": Case(
        "lineart",
        "realistic",
        lambda: library.module("lineart").Generator(3, 1, 3),
        lineart.LineArt,
        lambda net: library.module("lineart").LineartDetector(net, net),
    ),
    "lineart_anime": Case(
        "lineart_anime",
        "model",
        anime,
        lineart_anime.LineArtAnime,
        lambda net: library.module("lineart_anime").LineartAnimeDetector(net),
        multiple=256,
    ),
    "normalbae": Case(
        "normal",
        "model",
        normalbae.network,
        normalbae.NormalBae,
        lambda net: library.module("normalbae").NormalBaeDetector(net),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_hint_of_a_network_is_the_library_s(name: str) -> None:
    case = CASES[name]
    torch.manual_seed(3)
    net = case.network().eval()
    annotator = InTorch(case.head, case.module(net).eval(), case.multiple)
    detector = case.detector(net)
    side = max(HEIGHT, case.multiple)
    scene = picture(2 * side, side)
    for detect_resolution in {side, max(HEIGHT // 2, case.multiple)}:
        expected = theirs(detector, scene, detect_resolution)
        hint = ours(case.kind, case.extractor, scene, annotator, detect_resolution=detect_resolution)
        assert expected.std() > 0, "a flat hint would say nothing"
        assert hint.shape == expected.shape
        assert np.abs(hint.astype(int) - expected).max() <= 1, detect_resolution


class Finds(nn.Module):
    """A network that finds the same thing in every picture."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found
        self.device = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Any:
        return self.found


def soft_edges() -> np.ndarray:
    """FLOAT32 [HEIGHT, WIDTH], 0 to 1: strokes of every softness and strength, some of which cross."""
    random = np.random.default_rng(7)
    edges = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(30):
        stroke = np.zeros_like(edges)
        ends = random.uniform((0, 0), (WIDTH, HEIGHT), (2, 2)).astype(int).tolist()
        cv2.line(stroke, ends[0], ends[1], random.uniform(0.2, 1), int(random.integers(1, 8)))
        cv2.max(edges, cv2.GaussianBlur(stroke, (0, 0), random.uniform(0.5, 4)), edges)
    return edges


SOFT_OPTIONS = [{}, {"safe": True}, {"scribble": True}, {"safe": True, "scribble": True}]


@pytest.mark.parametrize("options", SOFT_OPTIONS, ids=lambda options: "-".join(options) or "plain")
def test_soft_edges_safe_edges_and_scribbles_are_pidinet_s(options: dict[str, bool]) -> None:
    edges = soft_edges()
    detector = library.module("pidi").PidiNetDetector(Finds([torch.from_numpy(edges)[None, None]]))
    expected = theirs(detector, picture(), **options)
    hint = ours("softedge", "pidinet", picture(), HandMade({"softedge": {"softedge": edges}}), **options)
    assert 10 < expected.mean() < 245
    np.testing.assert_array_equal(hint, expected)


@pytest.mark.parametrize("options", SOFT_OPTIONS, ids=lambda options: "-".join(options) or "plain")
def test_soft_edges_safe_edges_and_scribbles_are_hed_s(options: dict[str, bool]) -> None:
    logits = (soft_edges() * 12 - 6).astype(np.float32)
    detector = library.module("hed").HEDdetector(Finds([torch.from_numpy(logits)[None, None]] * 5))
    expected = theirs(detector, picture(), **options)
    edges = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    hint = ours("hed", "hed", picture(), HandMade({"hed": {"hed": edges}}), **options)
    assert 10 < expected.mean() < 245
    assert np.abs(hint.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("thresholds", [(0.1, 0.1), (0.5, 0.1), (0.1, 20.0), (0.9, 5.0)])
def test_lines_are_m_lsd_s(thresholds: tuple[float, float]) -> None:
    random = np.random.default_rng(11)
    lines = np.empty((5, HEIGHT // 2, WIDTH // 2), np.float32)
    lines[0] = random.normal(-2, 3, lines.shape[1:])
    lines[1:] = random.normal(0, 15, lines[1:].shape)
    detector = library.module("mlsd").MLSDdetector(Finds(torch.from_numpy(lines)[None]))
    expected = theirs(detector, picture(), thr_v=thresholds[0], thr_d=thresholds[1])
    hint = ours(
        "mlsd",
        "mlsd",
        picture(),
        HandMade({"mlsd": {"lines": lines}}),
        score_threshold=thresholds[0],
        distance_threshold=thresholds[1],
    )
    assert expected.any()
    np.testing.assert_array_equal(hint, expected)


def test_paper_becomes_the_library_s_lines() -> None:
    paper = 1 - soft_edges()
    fine = library.module("lineart").LineartDetector(Finds(torch.from_numpy(paper)[None, None]), None)
    expected = theirs(fine, picture())
    hint = ours("lineart", "realistic", picture(), HandMade({"lineart": {"lineart": paper}}))
    np.testing.assert_array_equal(hint, expected)


def test_vectors_become_normalbae_s_colours() -> None:
    vectors = np.random.default_rng(5).normal(size=(3, HEIGHT, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=0)
    found = torch.cat([torch.from_numpy(vectors), torch.zeros(1, HEIGHT, WIDTH)])[None]
    detector = library.module("normalbae").NormalBaeDetector(Finds([[found]]))
    expected = theirs(detector, picture())
    hint = ours("normal", "model", picture(), HandMade({"normal": {"normal": vectors}}))
    assert expected.std() > 30
    assert np.abs(hint.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("scale", [1.0, 3000.0])
@pytest.mark.parametrize("background", [0.1, 0.4])
def test_depth_and_its_slopes_are_midas_s(scale: float, background: float) -> None:
    noise = np.random.default_rng(9).uniform(size=(HEIGHT, WIDTH)).astype(np.float32)
    depth = cv2.GaussianBlur(noise, (0, 0), 8)
    depth = ((depth - depth.min()) / np.ptp(depth) + 0.3) * np.float32(scale)
    detector = midas_module().MidasDetector(Finds(torch.from_numpy(depth)[None]))
    near, slopes = theirs(detector, picture(), bg_th=background, depth_and_normal=True)
    annotator = HandMade({"depth": {"depth": depth}})
    assert near.std() > 30
    assert np.abs(ours("depth", "model", picture(), annotator).astype(int) - near).max() <= 1
    hint = ours("normal", "from_depth", picture(), annotator, background_threshold=background, relief=0, red_front=True)
    assert slopes.std() > 30
    assert np.abs(hint.astype(int) - slopes).max() <= 1
