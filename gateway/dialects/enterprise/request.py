"""Reads what all requests for pictures have in common in the enterprise dialect.

ControlNet's own fields are read in `controlnet`, its siblings' in `uncontrolled`; `declared` has all of them.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from families.limits import SIDE
from gateway.dialects.common.lenient import SAYS_NO, Lenient
from gateway.dialects.enterprise import paths as enterprise_paths
from gateway.dialects.enterprise.declared import ABSENT, SIZE
from gateway.dialects.enterprise.solver import Solver
from gateway.generation.catalogue import Offer
from gateway.generation.generation import Generation
from gateway.settings import GatewaySettings
from mesh.errors import InvalidInput

STEPS_DEFAULT = {"enterprise": 21, "public": 30}
_STRENGTH_DEFAULT = 0.7
_STRENGTH_DEFAULTS = {"5": 0.55, "6": 0.55, "7": 0.55}

_ASPECT = re.compile(r"\s*([0-9]{1,3})\s*:\s*([0-9]{1,3})\s*")


@dataclass(frozen=True)
class Circumstances:
    """What a request is read in.

    Attributes:
        path: that it was sent to, one of enterprise_paths.FUNCTIONS; versions differ.
        offer: what the mesh has.
        default_model: name of the model for requests that name none.
    """

    path: str
    offer: Offer
    settings: GatewaySettings
    default_model: str

    @property
    def task(self) -> str:
        """One of enterprise_paths.TASKS."""
        return enterprise_paths.FUNCTIONS[self.path]

    @property
    def version(self) -> str:
        """Digit of the API's version."""
        return enterprise_paths.version(self.path)

    @property
    def default_strength(self) -> float:
        """Strength where none is sent."""
        return _STRENGTH_DEFAULTS.get(self.version, _STRENGTH_DEFAULT)


@dataclass(frozen=True)
class Reading:
    """A request as it was read.

    Attributes:
        generation: the canonical request.
        solver: what became of the fields about the scheduler.
        steering: name of the field with the controls' pictures; "" where there are none.
    """

    generation: Generation
    solver: Solver
    steering: str = ""


def model(fields: Lenient, around: Circumstances) -> str:
    """Name of the loaded model that `model_id` asks for.

    Raises:
        InvalidInput: it is unknown, and the deployment does not take its default model instead.
    """
    asked = fields.text("model_id").strip()
    name = around.settings.aliases().get(asked, asked) or around.default_model
    if around.offer.model(name) is not None:
        return name
    if around.settings.unknown_model == "default":
        fields.remarks.append(f"model_id {asked[:80]!r} is not loaded; {around.default_model} was used.")
        return around.default_model
    raise InvalidInput(f"Model not found: {asked[:80]}", field="model_id")


def strength(fields: Lenient, around: Circumstances) -> float:
    """How much of the initial picture is changed, whether there is one or not."""
    return fields.number("strength", default=around.default_strength)


def common(fields: Lenient, around: Circumstances, solver: Solver) -> dict[str, Any]:
    """The parts of a canonical request that do not depend on the task. What was not taken as sent, or is not there at
    all, is added to the remarks of `fields`.

    Raises:
        InvalidInput: naming the vendor's field.
    """
    width, height = _size(fields, around)
    tier = enterprise_paths.tier(around.path)
    known = {
        "negative_prompt": fields.text("negative_prompt"),
        "width": width,
        "height": height,
        "steps": fields.whole("num_inference_steps", default=STEPS_DEFAULT[tier]),
        "guidance_scale": fields.number("guidance_scale"),
        "scheduler": solver.scheduler,
        "seed": _seed(fields),
        "samples": fields.whole("samples"),
        "clip_skip": fields.whole("clip_skip") - 1,
        "use_karras_sigmas": solver.use_karras_sigmas,
        "algorithm_type": solver.algorithm_type,
        "enhance_prompt": fields.flag("enhance_prompt"),
        "enhance_style": _style(fields, around.offer),
    }
    fields.remarks.extend(fields.unheard(ABSENT))
    return known


def _size(fields: Lenient, around: Circumstances) -> tuple[int, int]:
    ratio = _aspect_ratio(fields) if around.version == "7" else 1.0
    # As many pixels as the default has, in those proportions.
    default = [int(SIDE.clamp(SIZE * factor)) for factor in (math.sqrt(ratio), 1 / math.sqrt(ratio))]
    width = fields.whole("width", default=default[0])
    return width, fields.whole("height", default=default[1])


def _aspect_ratio(fields: Lenient) -> float:
    """Width to height, which version 7 may ask for in place of both."""
    if fields.raw("width", "height") is not None:
        return 1.0
    asked = fields.text("aspect_ratio")
    found = _ASPECT.fullmatch(asked)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if width and height:
        return min(max(width / height, 0.25), 4.0)
    if asked:
        fields.remarks.append(f"aspect_ratio {asked[:80]!r} is none, such as 16:9; the picture is square.")
    return 1.0


def _seed(fields: Lenient) -> int | None:
    """The seed; None for a random one, which null, "" and negative numbers ask for."""
    value = fields.raw("seed")
    if value is None:
        return None
    number = fields.clamped("seed", value)
    return None if number < 0 else int(number)


def _style(fields: Lenient, offer: Offer) -> str | None:
    """Name of the style that is asked for, if there is one of that name."""
    asked = fields.text("enhance_style").strip()
    name = asked.lower()
    if name in SAYS_NO or any(name == known.name for known in offer.styles):
        return None if name in SAYS_NO else name
    fields.remarks.append(f"enhance_style {asked[:80]!r} is unknown; the prompt got no style.")
    return None
