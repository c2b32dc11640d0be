"""Cards of models and annotators that exist on paper only, for tests that need the facts and no weights."""

from typing import Any

from families.annotators import AnnotatorCard
from families.manifest import GraphFacts, Manifest, ModelFacts

_FACTS: dict[str, Any] = {
    "name": "small",
    "family": "sd15",
    "native_size": 128,
    "latent_channels": 4,
    "downscale": 8,
    "text_tokens": 77,
    "text_width": 32,
    "text_layers": 2,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "residuals": ((16, 1), (32, 2)),
    "controls": ("canny",),
    "scheduler": {},
}
_EXPORTED: dict[str, Any] = {
    "graphs": {},
    "preview": ((0.0, 0.0, 0.0),) * 5,
    "source": "small",
    "versions": {},
    "fingerprint": "",
    "target": "cpu",
}


def facts(**changes: Any) -> ModelFacts:
    """A small model of SD1.5's family, but for `changes`."""
    return ModelFacts(**{**_FACTS, **changes})


def card(**changes: Any) -> Manifest:
    """The same, exported."""
    return Manifest(**{**_FACTS, **_EXPORTED, **changes})


def annotator(name: str, /, **changes: Any) -> AnnotatorCard:
    """An exported annotator: `depth="annotator_x"` and the like are heads, everything else a field of the card."""
    fields = {key: value for key, value in changes.items() if key in AnnotatorCard.__struct_fields__}
    heads = {key: value for key, value in changes.items() if key not in fields}
    made = GraphFacts(sha256="", bytes=0, max_abs_error=0.0)
    default: dict[str, Any] = {
        "architecture": "paper",
        "description": "On paper only.",
        "side": 128,
        "multiple": 8,
        "graphs": dict.fromkeys(heads.values(), made),
        "palette": ((1, 2, 3), (4, 5, 6)) if "segmentation" in heads else (),
        "source": name,
        "versions": {},
        "fingerprint": "",
        "target": "cpu",
    }
    return AnnotatorCard(name=name, heads=heads, **default | fields)
