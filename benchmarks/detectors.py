"""controlnet_aux's trained detectors with random weights: the other side of the hints benchmark, and the source from
which our side is exported.

Random weights do not find useful hints, but they cost the same as trained ones, and both sides must find the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.annotators.library import module

Weights = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Detector:
    """One of the library's detectors, and the extractor of ours that makes the same hint.

    Args:
        kind, extractor: of preprocess_svc; `parameters` beside detect_resolution.
        word: KIND of `python -m export annotator`.
        module, detector: where the library has it; `options` of its call.
        files: name of each file of weights that the detector reads -> the library's module -> what stands in it.
    """

    kind: str
    extractor: str
    word: str
    module: str
    detector: str
    files: Mapping[str, Callable[[Any], Weights]]
    parameters: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write random weights into `folder`, always the same ones."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, made in self.files.items():
            if not (folder / name).exists():
                torch.manual_seed(0)
                torch.save(made(module(self.module)), folder / name)

    def open(self, folder: Path) -> Any:
        """Open the library's detector with the weights in `folder`."""
        return getattr(module(self.module), self.detector).from_pretrained(str(folder))


def _normalbae(library: Any) -> Weights:
    settings = {"mode": "client", "architecture": "BN", "pretrained": "scannet"}
    net = library.NNET(library.types.SimpleNamespace(**settings, sampling_ratio=0.4, importance_ratio=0.7))
    return {"model": dict(net.state_dict())}


def _lineart_anime(library: Any) -> Weights:
    norm = library.functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    return library.UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False).state_dict()


def _lineart(library: Any) -> Weights:
    return library.Generator(3, 1, 3).state_dict()


def _pidinet(library: Any) -> Weights:
    return {"state_dict": {f"module.{name}": value for name, value in library.pidinet().state_dict().items()}}


def _layers(net: nn.Module) -> Weights:
    """Weights with names as in CMU's files: without their block."""
    return {name.partition(".")[2]: value for name, value in net.state_dict().items()}


_HED: dict[str, Any] = {
    "kind": "hed",
    "extractor": "hed",
    "word": "hed",
    "module": "hed",
    "detector": "HEDdetector",
    "files": {"ControlNetHED.pth": lambda library: library.ControlNetHED_Apache2().state_dict()},
}
DETECTORS = (
    Detector(**_HED),
    Detector(**_HED, parameters={"scribble": 1}, options={"scribble": True}),
    Detector("softedge", "pidinet", "softedge", "pidi", "PidiNetDetector", {"table5_pidinet.pth": _pidinet}),
    Detector(
        "mlsd",
        "mlsd",
        "mlsd",
        "mlsd",
        "MLSDdetector",
        {"mlsd_large_512_fp32.pth": lambda library: library.MobileV2_MLSD_Large().state_dict()},
    ),
    Detector(
        "lineart",
        "realistic",
        "lineart",
        "lineart",
        "LineartDetector",
        {"sk_model.pth": _lineart, "sk_model2.pth": _lineart},
    ),
    Detector(
        "lineart_anime", "model", "lineart_anime", "lineart_anime", "LineartAnimeDetector", {"netG.pth": _lineart_anime}
    ),
    Detector("normal", "model", "normal", "normalbae", "NormalBaeDetector", {"scannet.pt": _normalbae}),
    Detector(
        "openpose",
        "openpose",
        "openpose",
        "open_pose",
        "OpenposeDetector",
        {
            "body_pose_model.pth": lambda library: _layers(module("open_pose.model").bodypose_model()),
            "hand_pose_model.pth": lambda library: _layers(module("open_pose.model").handpose_model()),
            "facenet.pth": lambda library: module("open_pose.face").FaceNet().state_dict(),
        },
    ),
)
