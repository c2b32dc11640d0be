"""Rows of the architectures that controlnet_aux defines: a weights file each, with its name on the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from export.annotators.architecture import Architecture, Deferred
from export.errors import SourceRefused

REQUIRES = "controlnet-aux==0.0.10"
SUFFIXES = (".safetensors", ".pth", ".pt")
"""Endings of weights that are read, the preferred first."""

STEMS: Mapping[str, tuple[str, ...]] = {
    "hed": ("ControlNetHED",),
    "pidinet": ("table5_pidinet",),
    "mlsd": ("mlsd_large_512_fp32",),
    "lineart": ("sk_model", "sk_model2"),
    "lineart_anime": ("netG",),
    "normalbae": ("scannet",),
}
"""Architecture -> names of its file in a folder, without suffix, best first. A file given directly may have any."""

POSES: Mapping[str, tuple[str, ...]] = {
    "body": ("body_pose_model",),
    "hand": ("hand_pose_model",),
    "face": ("facenet",),
}
"""The same for OpenPose, which has one file per head."""


def find(source: Path, stems: Sequence[str]) -> Path | None:
    """Find the weights: the source itself if it is such a file, or the first file with a known name in its folder."""
    if source.is_file():
        return source if source.suffix in SUFFIXES else None
    paths = (source / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def find_poses(source: Path) -> dict[str, Path]:
    """Find the weights of each head: the body's, which is required, and in a folder those of hands and faces."""
    body = find(source, POSES["body"])
    if body is None:
        return {}
    others = {head: find(source, POSES[head]) for head in ("hand", "face") if source.is_dir()}
    return {"body": body} | {head: path for head, path in others.items() if path}


def weights(source: Path, architecture: str) -> Path:
    """The weights of a recognised source. Raises SourceRefused if they are missing."""
    path = find(source, STEMS[architecture])
    if path is None:
        raise SourceRefused(
            f"{source.name}: weights are missing; expected one of {', '.join(_names(STEMS[architecture]))}"
        )
    return path


def _names(stems: Sequence[str]) -> list[str]:
    return [f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]


def _row(architecture: str, head: str, description: str) -> Architecture:
    stems = STEMS[architecture]
    return Architecture(
        name=architecture,
        kinds=(head,),
        description=description,
        recognises=lambda source: find(source, stems) is not None,
        heads=lambda source: ((head,),),
        files=lambda source: (weights(source, architecture),),
        load=Deferred(f"export.annotators.{architecture}"),
        fetch=tuple(_names(stems[:1])),
        requires=REQUIRES,
    )


ROWS = (
    _row("hed", "hed", "ControlNetHED.pth, HED as ControlNet trained it (Apache 2.0), e.g. lllyasviel/Annotators."),
    _row(
        "pidinet",
        "softedge",
        "table5_pidinet.pth of PiDiNet (licensed for research), e.g. lllyasviel/Annotators.",
    ),
    _row("mlsd", "mlsd", "mlsd_large_512_fp32.pth of M-LSD (Apache 2.0), e.g. lllyasviel/Annotators."),
    _row(
        "lineart",
        "lineart",
        "sk_model.pth of informative drawings (MIT), e.g. lllyasviel/Annotators, or for coarser lines "
        "lllyasviel/Annotators:sk_model2.pth.",
    ),
    _row("lineart_anime", "lineart_anime", "netG.pth of Anime2Sketch (MIT), e.g. lllyasviel/Annotators."),
    _row(
        "normalbae",
        "normal",
        "scannet.pt of NormalBae (MIT; trained on ScanNet, which is for non-commercial research), e.g. "
        "lllyasviel/Annotators.",
    ),
    Architecture(
        name="openpose",
        kinds=("openpose", "face"),
        description="body_pose_model.pth of OpenPose and optionally, beside it, hand_pose_model.pth and facenet.pth "
        "(CMU: for non-commercial use only), e.g. lllyasviel/Annotators.",
        recognises=lambda source: bool(find_poses(source)),
        heads=lambda source: tuple((head,) for head in find_poses(source)),
        files=lambda source: tuple(find_poses(source).values()),
        load=Deferred("export.annotators.openpose"),
        fetch=tuple(name for stems in POSES.values() for name in _names(stems)),
        requires=REQUIRES,
    ),
)
