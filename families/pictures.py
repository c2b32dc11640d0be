"""What the VAE's encoder of a model is asked: a picture, and of models that repaint what they are not to see of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from families.facts import ModelFacts
from families.tensors import Tensor

Array = NDArray[Any]

PICTURE = Tensor("image", "UINT8", ("H", "W", 3))
MASK = Tensor("mask", "UINT8", ("H", "W"))
"""128 or more where the picture is hidden: 0 of [-1, 1] stands there, which is no byte."""


def encoder_tensors(facts: ModelFacts) -> tuple[Tensor, ...]:
    """The inputs of a model's VAE encoder."""
    return (PICTURE, MASK) if facts.repaints else (PICTURE,)


def encoder_inputs(facts: ModelFacts, pictures: Array, masks: Array | None = None) -> dict[str, Array]:
    """The inputs for pictures UINT8 [n, H, W, 3], by name.

    masks: UINT8 [n, H, W], only of models that repaint; None: nothing is hidden.
    """
    inputs = {PICTURE.name: pictures}
    if facts.repaints:
        inputs[MASK.name] = np.zeros(pictures.shape[:3], np.uint8) if masks is None else masks
    return inputs
