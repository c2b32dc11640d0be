"""Read folders as transformers writes them: config.json, preprocessor_config.json and one safetensors file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.errors import SourceRefused
from export.hostile import read_object

CONFIG = "config.json"
PROCESSOR = "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "model.fp16.safetensors")
"""Names of weights that are read, the preferred first."""

# Keys of a configuration that make transformers fetch or run something besides the folder's own weights.
_CODE = "auto_map"
_FETCHES = ("backbone", "use_timm_backbone", "use_pretrained_backbone")


def of_class(name: str) -> Callable[[Path], bool]:
    """Whether a source is a folder whose config.json names this class of transformers."""

    def recognises(source: Path) -> bool:
        if not (source / CONFIG).is_file():
            return False
        return read(source / CONFIG).get("architectures") == [name]

    return recognises


def files(source: Path) -> tuple[Path, ...]:
    """Configuration, picture processing and weights. Raises SourceRefused if one is missing or must not be loaded."""
    config = read(source / CONFIG)
    if _CODE in config:
        raise SourceRefused(f"{CONFIG} asks for custom code ({_CODE}), which is never loaded")
    if fetched := [key for key in _FETCHES if config.get(key)]:
        raise SourceRefused(
            f"{CONFIG} names a backbone that is fetched from elsewhere ({', '.join(fetched)}); use a source whose "
            "backbone_config describes it"
        )
    if not (source / PROCESSOR).is_file():
        raise SourceRefused(f"{PROCESSOR} is missing: it says how the model expects its pictures")
    return source / CONFIG, source / PROCESSOR, weights(source)


def weights(source: Path) -> Path:
    """The weights file to read. Raises SourceRefused if there is none, or only files that can run code."""
    for name in WEIGHTS:
        if (source / name).is_file():
            return source / name
    pickles = sorted(path.name for path in source.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".h5"))
    if pickles:
        raise SourceRefused(
            f"{', '.join(pickles)} can run code when loaded and is refused. If you trust it, convert it once: "
            "AutoModel.from_pretrained(SOURCE).save_pretrained(FOLDER) writes safetensors."
        )
    raise SourceRefused(f"weights are missing; expected one of {', '.join(WEIGHTS)}")


def read(path: Path) -> dict[str, Any]:
    """Read a configuration file. Raises SourceRefused if it is not a JSON object."""
    return read_object(path, "annotator")


def variant(source: Path) -> str | None:
    """transformers' variant of the weights' file name: `fp16` for model.fp16.safetensors."""
    middle = weights(source).name.split(".")[1:-1]
    return middle[0] if middle else None
