"""controlnet_aux's learned detectors over random weights: one side of the comparison of hints, and what ours is
exported from.

Random weights find nothing that anybody would call a hint, but they cost what trained ones cost, and both sides must
find the same in them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.annotators.library import module

Weights = Mapping[str, Any]


def _plain(net: nn.Module) -> Weights:
    return net.state_dict()


@dataclass(frozen=True, slots=True)
class Detector:
    """One of the library's detectors, and the extractor of ours that makes the same hint.

    Args:
        kind, extractor: of preprocess_svc; `parameters` beside detect_resolution.
        word: KIND of `python -m export annotator`.
        module, detector: where the library has it; `options` of its call.
        net: the library's module -> its network.
        files: names of the weights that the detector reads.
        saved: network -> what stands in such a file.
    """

    kind: str
    extractor: str
    word: str
    module: str
    detector: str
    net: Callable[[Any], nn.Module]
    files: tuple[str, ...]
    saved: Callable[[nn.Module], Weights] = _plain
    parameters: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Random weights into `folder`, the same ones every time."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        for name in self.files:
            if not (folder / name).exists():
                torch.save(self.saved(self.net(module(self.module))), folder / name)

    def open(self, folder: Path) -> Any:
        """The library's detector over the weights in `folder`."""
        return getattr(module(self.module), self.detector).from_pretrained(str(folder))


def _normalbae(library: Any) -> nn.Module:
    settings = {"mode": "client", "architecture": "BN", "pretrained": "scannet"}
    return library.NNET(library.types.SimpleNamespace(**settings, sampling_ratio=0.4, importance_ratio=0.7))


def _lineart_anime(library: Any) -> nn.Module:
    norm = library.functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    return library.UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)


_HED: dict[str, Any] = {
    "kind": "hed",
    "extractor": "hed",
    "word": "hed",
    "module": "hed",
    "detector": "HEDdetector",
    "net": lambda library: library.ControlNetHED_Apache2(),
    "files": ("ControlNetHED.pth",),
}
DETECTORS = (
    Detector(**_HED),
    Detector(**_HED, parameters={"scribble": 1}, options={"scribble": True}),
    Detector(
        "softedge",
        "pidinet",
        "softedge",
        "pidi",
        "PidiNetDetector",
        lambda library: library.pidinet(),
        ("table5_pidinet.pth",),
        saved=lambda net: {"state_dict": {f"module.{name}": value for name, value in net.state_dict().items()}},
    ),
    Detector(
        "mlsd",
        "mlsd",
        "mlsd",
        "mlsd",
        "MLSDdetector",
        lambda library: library.MobileV2_MLSD_Large(),
        ("mlsd_large_512_fp32.pth",),
    ),
    Detector(
        "lineart",
        "realistic",
        "lineart",
        "lineart",
        "LineartDetector",
        lambda library: library.Generator(3, 1, 3),
        ("sk_model.pth", "sk_model2.pth"),
    ),
    Detector(
        "lineart_anime",
        "model",
        "lineart_anime",
        "lineart_anime",
        "LineartAnimeDetector",
        _lineart_anime,
        ("netG.pth",),
    ),
    Detector(
        "normal",
        "model",
        "normal",
        "normalbae",
        "NormalBaeDetector",
        _normalbae,
        ("scannet.pt",),
        saved=lambda net: {"model": dict(net.state_dict())},
    ),
)
