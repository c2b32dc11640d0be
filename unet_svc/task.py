"""One denoising task, read from its message and checked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlmesh.v1 import types_pb2, unet_pb2
from families import limits
from families.manifest import ModelFacts
from mesh.errors import InvalidInput
from mesh.tensors import to_array


@dataclass(frozen=True)
class Hint:
    """One control's map and the way it is weighted over the steps.

    kind: control kind; pixels: UINT8 [3, height, width]; weight: conditioning scale;
    start, end: fractions of the steps between which it acts.
    """

    kind: str
    pixels: NDArray[np.generic]
    weight: float
    start: float
    end: float

    def acts(self, step: int, steps: int) -> bool:
        """Whether the control acts on step `step` of `steps`, by the rule of diffusers' ControlNet pipelines."""
        return self.weight > 0 and not (step / steps < self.start or (step + 1) / steps > self.end)


@dataclass(frozen=True)
class Task:
    """All that one loop needs. `text` is FLOAT32 [rows, tokens, width]; sizes are in latent cells."""

    facts: ModelFacts
    text: NDArray[np.generic]
    hints: tuple[Hint, ...]
    latent_height: int
    latent_width: int
    scheduler: str
    steps: int
    guidance_scale: float
    seed: int


def read_task(request: unet_pb2.DenoiseRequest, facts: ModelFacts) -> Task:
    """The task of `request` for the model of `facts`.

    Raises:
        InvalidInput: anything out of range, naming the field, its range and what was sent.
    """
    conditioning = request.conditioning
    for field, value, allowed in (
        ("width", conditioning.width, limits.SIDE),
        ("height", conditioning.height, limits.SIDE),
        ("steps", request.steps, limits.STEPS),
        ("guidance_scale", request.guidance_scale, limits.GUIDANCE),
    ):
        if not allowed.holds(value):
            raise InvalidInput(f"{field} must be {allowed}, not {value:g}", field=field)
    text = to_array(conditioning.text, field="conditioning.text", ndim=3)
    if text.shape[0] not in (1, 2) or text.shape[1:] != (facts.text_tokens, facts.text_width):
        expected = [1, facts.text_tokens, facts.text_width]
        raise InvalidInput(f"conditioning.text must be {expected} (or 2 rows), not {list(text.shape)}", field="text")
    if request.guidance_scale > 1 and text.shape[0] == 1:
        raise InvalidInput("guidance_scale above 1 needs the negative text row, too", field="guidance_scale")
    if len(conditioning.hints) > limits.MOST_CONTROLS:
        raise InvalidInput(f"at most {limits.MOST_CONTROLS} hints are taken", field="hints")
    return Task(
        facts=facts,
        # Without guidance the negative row would be computed and thrown away.
        text=text if request.guidance_scale > 1 else text[-1:],
        # The ensembles take kinds in sorted order; a stable sort keeps two hints of one kind in the caller's order.
        hints=tuple(
            sorted((_read_hint(hint, conditioning, facts) for hint in conditioning.hints), key=lambda h: h.kind)
        ),
        latent_height=conditioning.height // facts.downscale,
        latent_width=conditioning.width // facts.downscale,
        scheduler=request.scheduler,
        steps=request.steps,
        guidance_scale=request.guidance_scale,
        seed=request.seed,
    )


def _read_hint(hint: types_pb2.Hint, conditioning: types_pb2.Conditioning, facts: ModelFacts) -> Hint:
    if hint.kind not in facts.controls:
        known = ", ".join(facts.controls) or "none"
        raise InvalidInput(f"model {facts.name!r} has no ControlNet for {hint.kind!r}; it has: {known}", field="kind")
    pixels = to_array(hint.pixels, field=f"hint {hint.kind}", ndim=3, dtype="uint8")
    expected = (3, conditioning.height, conditioning.width)
    if pixels.shape != expected:
        raise InvalidInput(f"hint {hint.kind} must be {list(expected)}, not {list(pixels.shape)}", field="hints")
    for field, value, allowed in (
        ("weight", hint.weight, limits.WEIGHT),
        ("start", hint.start, limits.FRACTION),
        ("end", hint.end, limits.FRACTION),
    ):
        if not allowed.holds(value):
            raise InvalidInput(f"{field} of hint {hint.kind} must be {allowed}, not {value:g}", field=field)
    if hint.start > hint.end:
        raise InvalidInput(f"hint {hint.kind} starts at {hint.start:g}, after its end {hint.end:g}", field="start")
    return Hint(hint.kind, pixels, hint.weight, hint.start, hint.end)
