"""Cards of models that exist on paper only, for tests that need the facts and no weights."""

from typing import Any

from families.manifest import Manifest, ModelFacts

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
