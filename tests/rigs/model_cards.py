"""Cards of models and annotators that exist on paper only, for tests that need the facts and no weights."""

from collections.abc import Sequence
from typing import Any

from families.annotators import AnnotatorCard
from families.facts import Encoder, ModelFacts, Net, skips
from families.manifest import GraphFacts, Manifest


def encoder(**changes: Any) -> Encoder:
    """A small CLIP text encoder, but for `changes`."""
    settings: dict[str, Any] = {"length": 77, "width": 32, "layers": 2, "pad": 1, "bos": 0, "eos": 1}
    return Encoder(**settings | changes)


def nets(*kinds: str, pooled: Sequence[str] = ()) -> tuple[Net, ...]:
    """A ControlNet for each of `kinds`, called like it."""
    return tuple(Net(name=kind, kinds={kind: None}, pooled=kind in pooled) for kind in sorted(kinds))


_FACTS: dict[str, Any] = {
    "name": "small",
    "family": "sd15",
    "native_size": 128,
    "latent_channels": 4,
    "downscale": 8,
    "encoders": (encoder(),),
    "text_tokens": 77,
    "text_width": 32,
    "residuals": skips(((16, 1), (32, 2))),
    "nets": nets("canny"),
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
    """A small model of SD1.5's family, but for `changes`; `controls` gives it a ControlNet for each of these kinds."""
    return ModelFacts(**_with_nets(changes))


def card(**changes: Any) -> Manifest:
    """The same, exported."""
    return Manifest(**{**_EXPORTED, **_with_nets(changes)})


def _with_nets(changes: dict[str, Any]) -> dict[str, Any]:
    made = {**_FACTS, **changes}
    if (controls := made.pop("controls", None)) is not None:
        made["nets"] = nets(*controls, pooled=made.pop("pooled", ()))
    return made


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
