"""The folder of the demo's annotator, as `python -m demo` writes it."""

from __future__ import annotations

from pathlib import Path

from export.annotators import transformers_folder
from export.errors import SourceRefused
from export.source import DEMO_WEIGHTS

FOLDER = DEMO_WEIGHTS / "annotator"
CLASS = "AnnotatorNet"
HEADS = ("depth", "normal", "segmentation", "softedge")
WEIGHTS = "model.safetensors"

# The network and the colours of its classes.
_CODE = tuple(DEMO_WEIGHTS.parent / name for name in ("annotator_net.py", "hints.py"))


def recognises(source: Path) -> bool:
    """Whether a source's config.json names the demo's network."""
    config = source / transformers_folder.CONFIG
    return config.is_file() and transformers_folder.read(config).get("architecture") == CLASS


def files(source: Path) -> tuple[Path, ...]:
    """Configuration, weights, and the code of the network. Raises SourceRefused if the weights are missing."""
    if not (source / WEIGHTS).is_file():
        raise SourceRefused(f"weights are missing; expected {WEIGHTS}")
    return source / transformers_folder.CONFIG, source / WEIGHTS, *_CODE
