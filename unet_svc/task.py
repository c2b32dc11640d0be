"""The denoising task: read from its message and checked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlmesh.v1 import types_pb2, unet_pb2
from families import limits
from families.facts import ModelFacts, hint_channels
from families.table import family_of
from mesh.errors import InvalidInput
from mesh.tensors import to_array

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Hint:
    """One control's hint, its weight, and the steps at which it acts.

    kind: control kind; pixels: UINT8 [channels, height, width], with `hint_channels(kind)` channels, None for models
    that read hints as latents; weight: conditioning scale; start, end: fractions of the steps between which it acts;
    index: its place in the request; posterior: of its latents, None for models that read pixels.
    """

    kind: str
    pixels: Array | None
    weight: float
    start: float
    end: float
    index: int = 0
    posterior: "Posterior | None" = None

    def acts(self, step: int, steps: int) -> bool:
        """Whether the control acts on step `step` of `steps`, by the rule of diffusers' ControlNet pipelines."""
        return self.weight > 0 and not (step / steps < self.start or (step + 1) / steps > self.end)


@dataclass(frozen=True)
class Posterior:
    """An initial picture in latent space: mean and standard deviation, FLOAT32 [1, channels, h, w], scaled."""

    mean: Array
    deviation: Array


@dataclass(frozen=True)
class Task:
    """Everything that one loop needs; sizes are in latent cells.

    text: FLOAT32 [rows, tokens, width]; vector: FLOAT32 [rows, width], None for models that read none;
    noise: FLOAT32 [1, channels, h, w] of unit variance, used instead of the seed's; mask: UINT8 [height, width] in
    pixels, 255 where the initial picture is repainted; masked: what the mask leaves of it, control: the hint that the
    model itself reads, each None for models that do not; the others as in DenoiseRequest.
    """

    facts: ModelFacts
    text: Array
    hints: tuple[Hint, ...]
    latent_height: int
    latent_width: int
    scheduler: str
    steps: int
    guidance_scale: float
    seed: int
    initial: Posterior | None = None
    mask: Array | None = None
    strength: float | None = None
    noise: Array | None = None
    guess_mode: bool = False
    use_karras_sigmas: bool | None = None
    algorithm_type: str = ""
    preview_every: int = 0
    vector: Array | None = None
    true_guidance_scale: float = 1.0
    masked: Posterior | None = None
    control: Hint | None = None
    owner: str = ""

    @property
    def share(self) -> float:
        """The share of the steps to run on an initial picture."""
        usual = limits.DEFAULT_REPAINTING if self.facts.repaints else limits.DEFAULT_STRENGTH
        return usual if self.strength is None else self.strength

    @property
    def skipped(self) -> int:
        """Steps that an initial picture saves, by the rule of diffusers' image-to-image pipelines: those of flows count
        in fractions and round what is saved down, the others what is kept."""
        if family_of(self.facts).noise == "flow":
            return int(max(self.steps - min(self.steps * self.share, self.steps), 0))
        return self.steps - min(int(self.steps * self.share), self.steps)

    @property
    def starts_from_picture(self) -> bool:
        """Whether the first latents contain the initial picture: with a mask at strength 1, diffusers uses noise."""
        return self.initial is not None and (self.mask is None or self.share < 1)


def read_task(request: unet_pb2.DenoiseRequest, facts: ModelFacts) -> Task:
    """Read and check the task of `request` for the model of `facts`.

    Raises:
        InvalidInput: a value is out of range; names the field, its range and what was sent.
    """
    conditioning = request.conditioning
    family = family_of(facts)
    if request.HasField("true_guidance_scale") and not family.true_guidance:
        raise InvalidInput(
            f"true_guidance_scale is not supported by model {facts.name!r}, which has guidance_scale only: remove it",
            field="true_guidance_scale",
        )
    if wrong := family.check_size(conditioning.width, conditioning.height):
        raise InvalidInput(wrong[1], field=wrong[0])
    _check_ranges(
        ("steps", request.steps, limits.STEPS),
        ("guidance_scale", request.guidance_scale, limits.GUIDANCE),
        ("true_guidance_scale", request.true_guidance_scale or 1.0, limits.TRUE_GUIDANCE),
        ("strength", request.strength, limits.STRENGTH),
        ("preview_every", request.preview_every, limits.PREVIEW_EVERY),
    )
    text, field = _read_text(conditioning, facts), "guidance_scale"
    guided = request.guidance_scale > 1 and not facts.distilled
    if family.true_guidance:
        field, guided = "true_guidance_scale", request.true_guidance_scale > 1
    if guided and text.shape[0] == 1:
        raise InvalidInput(f"{field} above 1 needs two text rows, negative and positive", field=field)
    if len(conditioning.hints) > family.most_controls:
        sent = len(conditioning.hints)
        raise InvalidInput(f"at most {family.most_controls} hints are allowed, not {sent}", field="hints")
    cells = (1, facts.latent_channels, conditioning.height // facts.downscale, conditioning.width // facts.downscale)
    hints = [_read_hint(index, hint, conditioning, facts, cells) for index, hint in enumerate(conditioning.hints)]
    task = Task(
        facts=facts,
        # Without guidance the negative row would be computed and discarded.
        text=text if guided else text[-1:],
        # Ensembles take kinds in sorted order; a stable sort keeps two hints of one kind in the caller's order.
        hints=tuple(
            sorted(
                (hint for hint in hints if hint.kind != facts.own_control),
                key=lambda hint: (facts.net_of(hint.kind).name, hint.kind),
            )
        ),
        latent_height=cells[2],
        latent_width=cells[3],
        scheduler=request.scheduler,
        steps=request.steps,
        guidance_scale=request.guidance_scale,
        seed=request.seed,
        initial=_read_posterior(request.initial, "initial", facts, cells, field="initial")
        if request.HasField("initial")
        else None,
        mask=_read_mask(conditioning) if conditioning.HasField("mask") else None,
        strength=request.strength if request.HasField("strength") else None,
        noise=_read_noise(request.noise, facts, cells) if request.HasField("noise") else None,
        guess_mode=request.guess_mode,
        use_karras_sigmas=request.use_karras_sigmas if request.HasField("use_karras_sigmas") else None,
        algorithm_type=request.algorithm_type,
        preview_every=request.preview_every,
        vector=_read_vector(conditioning, facts, rows=2 if guided else 1),
        true_guidance_scale=request.true_guidance_scale if guided and family.true_guidance else 1.0,
        masked=_read_posterior(request.masked, "masked", facts, cells, field="masked")
        if facts.repaints and request.HasField("masked")
        else None,
        control=_own_control(hints, facts),
        owner=request.owner,
    )
    for field, sent in (("mask", task.mask is not None), ("strength", task.strength is not None)):
        if sent and task.initial is None:
            raise InvalidInput(
                f"{field} needs an initial picture, but none was sent: send one or remove {field}", field=field
            )
    if facts.repaints and (task.mask is None or task.masked is None):
        field = "mask" if task.mask is None else "masked"
        raise InvalidInput(f"{field} is missing: model {facts.name!r} repaints what a mask marks", field=field)
    return task


def _own_control(hints: list[Hint], facts: ModelFacts) -> Hint | None:
    """The one hint that the model itself reads; None for models that read none."""
    if facts.own_control is None:
        return None
    own = [hint for hint in hints if hint.kind == facts.own_control]
    if len(own) != 1:
        raise InvalidInput(
            f"model {facts.name!r} reads exactly one hint of {facts.own_control}, not {len(own)}", field="hints"
        )
    return own[0]


def _check_ranges(*fields: tuple[str, float, limits.Range]) -> None:
    for field, value, allowed in fields:
        if not allowed.holds(value):
            raise InvalidInput(f"{field} must be {allowed}, not {value:g}", field=field)


def _read_text(conditioning: types_pb2.Conditioning, facts: ModelFacts) -> Array:
    text = to_array(conditioning.text, field="conditioning.text", ndim=3)
    rows, tokens, width = text.shape
    most = limits.PROMPT_CHUNKS if family_of(facts).chunked else 1
    chunks = limits.Range(facts.text_tokens, facts.text_tokens * most, multiple=facts.text_tokens)
    if rows not in (1, 2) or not chunks.holds(tokens) or width != facts.text_width:
        raise InvalidInput(
            f"conditioning.text must have 1 or 2 rows of tokens ({chunks}) of width {facts.text_width}, not shape "
            f"{list(text.shape)}",
            field="text",
        )
    return text


def _read_vector(conditioning: types_pb2.Conditioning, facts: ModelFacts, rows: int) -> Array | None:
    """The last `rows` of the vector; None for models that read none."""
    if facts.vector is None:
        return None
    if not conditioning.HasField("vector"):
        raise InvalidInput(
            f"conditioning.vector is missing: model {facts.name!r} reads one; take all of what Prepare answers",
            field="vector",
        )
    vector = to_array(conditioning.vector, field="conditioning.vector", ndim=2)
    expected = (conditioning.text.shape[0], facts.vector.width)
    if vector.shape != expected:
        raise InvalidInput(f"conditioning.vector must be {list(expected)}, not {list(vector.shape)}", field="vector")
    return vector[-rows:]


def _read_hint(
    index: int, hint: types_pb2.Hint, conditioning: types_pb2.Conditioning, facts: ModelFacts, cells: tuple[int, ...]
) -> Hint:
    if hint.kind not in facts.controls:
        known = ", ".join(facts.controls) or "none"
        raise InvalidInput(f"model {facts.name!r} has no ControlNet for {hint.kind!r}; it has: {known}", field="kind")
    for field, value, allowed in (
        ("weight", hint.weight, limits.WEIGHT),
        ("start", hint.start, limits.FRACTION),
        ("end", hint.end, limits.FRACTION),
    ):
        if not allowed.holds(value):
            raise InvalidInput(f"{field} of hint {hint.kind} must be {allowed}, not {value:g}", field=field)
    if hint.start > hint.end:
        raise InvalidInput(f"hint {hint.kind} starts at {hint.start:g}, after its end {hint.end:g}", field="start")
    if family_of(facts).hint == "latents":
        if not hint.HasField("posterior"):
            raise InvalidInput(
                f"hint {hint.kind} has no posterior, which model {facts.name!r} reads; take all that Prepare answers",
                field="hints",
            )
        posterior = _read_posterior(hint.posterior, f"hint {hint.kind}", facts, cells, field="hints")
        return Hint(hint.kind, None, hint.weight, hint.start, hint.end, index, posterior)
    pixels = to_array(hint.pixels, field=f"hint {hint.kind}", ndim=3, dtype="uint8")
    expected = (hint_channels(hint.kind), conditioning.height, conditioning.width)
    if pixels.shape != expected:
        raise InvalidInput(f"hint {hint.kind} must be {list(expected)}, not {list(pixels.shape)}", field="hints")
    return Hint(hint.kind, pixels, hint.weight, hint.start, hint.end, index)


def _read_mask(conditioning: types_pb2.Conditioning) -> Array:
    mask = to_array(conditioning.mask, field="conditioning.mask", ndim=2, dtype="uint8")
    expected = (conditioning.height, conditioning.width)
    if mask.shape != expected:
        raise InvalidInput(f"conditioning.mask must be {list(expected)}, not {list(mask.shape)}", field="mask")
    return mask


def _read_posterior(
    sent: types_pb2.Posterior, what: str, facts: ModelFacts, cells: tuple[int, ...], field: str
) -> Posterior:
    """The posterior `what` of a picture; errors are of `field`."""
    _check_model(what, sent.model, facts, field)
    mean = _read_latents(sent.mean, f"{what}.mean", cells, field)
    deviation = _read_latents(sent.deviation, f"{what}.deviation", cells, field)
    if (deviation < 0).any():  # type: ignore[operator]
        raise InvalidInput(f"{what}.deviation must be 0 or more everywhere", field=field)
    return Posterior(mean, deviation)


def _read_noise(noise: types_pb2.Latents, facts: ModelFacts, cells: tuple[int, ...]) -> Array:
    _check_model("noise", noise.model, facts, "noise")
    return _read_latents(noise.samples, "noise.samples", cells, "noise")


def _check_model(what: str, model: str, facts: ModelFacts, field: str) -> None:
    if model != facts.name:
        raise InvalidInput(
            f"{what} is of model {model!r} but the text of {facts.name!r}: use one model for both", field=field
        )


def _read_latents(tensor: types_pb2.Tensor, what: str, cells: tuple[int, ...], field: str) -> Array:
    latents = to_array(tensor, field=what, ndim=4)
    if latents.shape != cells:
        raise InvalidInput(f"{what} must be {list(cells)}, not {list(latents.shape)}", field=field)
    if not np.isfinite(latents).all():
        raise InvalidInput(f"{what} must be finite numbers", field=field)
    return latents
