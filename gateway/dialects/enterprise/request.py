"""Parses what all of the enterprise dialect's requests for pictures have in common.

ControlNet's own fields are parsed in `controlnet`, the other tasks' in `uncontrolled`; `declared` has all fields.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from families.limits import Range
from gateway.dialects.common import seeds
from gateway.dialects.common.lenient import SAYS_NO, Lenient
from gateway.dialects.enterprise import paths as enterprise_paths
from gateway.dialects.enterprise.declared import ABSENT, COUNTED_FROM, GUIDANCE_DEFAULT, SIZE
from gateway.dialects.enterprise.fields import wrong
from gateway.dialects.enterprise.solver import Solver
from gateway.generation import numbers
from gateway.generation.catalogue import Offer
from gateway.generation.foreign import choices
from gateway.generation.generation import Generation
from gateway.settings import GatewaySettings
from mesh.errors import InvalidInput

STEPS_DEFAULT = {"enterprise": 21, "public": 30}
_STRENGTH_DEFAULT = 0.7
_STRENGTH_DEFAULTS = {"5": 0.55, "6": 0.55, "7": 0.55}

_SQUARE = "1:1"
_ASPECT = re.compile(r"\s*([0-9]{1,3})\s*:\s*([0-9]{1,3})\s*")


@dataclass(frozen=True)
class Circumstances:
    """The context for parsing a request.

    Attributes:
        path: path of the request, one of `paths.FUNCTIONS`; versions differ.
        offer: the catalogue's offer.
        default_model: name of the model for requests that name none.
    """

    path: str
    offer: Offer
    settings: GatewaySettings
    default_model: str

    @property
    def task(self) -> str:
        """One of `paths.TASKS`."""
        return enterprise_paths.FUNCTIONS[self.path]

    @property
    def version(self) -> str:
        """API version digit."""
        return enterprise_paths.version(self.path)

    @property
    def default_strength(self) -> float:
        """Default strength."""
        return _STRENGTH_DEFAULTS.get(self.version, _STRENGTH_DEFAULT)


@dataclass(frozen=True)
class Reading:
    """A parsed request.

    Attributes:
        generation: the canonical request.
        solver: the result of the fields about the scheduler.
        steering: name of the field with the controls' pictures; "" if there are none.
    """

    generation: Generation
    solver: Solver
    steering: str = ""


def model(fields: Lenient, around: Circumstances) -> str:
    """Name of the loaded model for `model_id`.

    Raises:
        InvalidInput: unknown, and the deployment does not use its default model instead.
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
    """The strength, whether there is an initial picture or not."""
    return fields.number("strength", default=around.default_strength)


def common(fields: Lenient, around: Circumstances, solver: Solver, name: str) -> dict[str, Any]:
    """The fields of the canonical request that do not depend on the task. Deviations from what was sent, and requested
    features that are not available, are added to the remarks of `fields`. `name` is that of the loaded model.

    Raises:
        InvalidInput: naming the vendor's field.
    """
    width, height = _size(fields, around, around.offer.side(name))
    tier = enterprise_paths.tier(around.path)
    known = {
        "negative_prompt": fields.text("negative_prompt"),
        "width": width,
        "height": height,
        "steps": fields.whole("num_inference_steps", default=STEPS_DEFAULT[tier]),
        "guidance_scale": fields.number("guidance_scale", around.offer.guidance(name, GUIDANCE_DEFAULT)),
        "scheduler": solver.scheduler,
        "seed": _seed(fields),
        "samples": fields.whole("samples"),
        "clip_skip": fields.whole("clip_skip") - COUNTED_FROM,
        "use_karras_sigmas": solver.use_karras_sigmas,
        "algorithm_type": solver.algorithm_type,
        "enhance_prompt": fields.flag("enhance_prompt"),
        "enhance_style": _style(fields, around.offer),
    }
    fields.remarks.extend(fields.unheard(ABSENT))
    return known


def _size(fields: Lenient, around: Circumstances, side: Range) -> tuple[int, int]:
    ratio = _aspect_ratio(fields) if around.version == "7" else 1.0
    if fields.raw("aspect_ratio") not in (None, _SQUARE) and (
        around.version != "7" or fields.raw("width", "height") is not None
    ):
        fields.remarks.append("aspect_ratio was not used: it counts in version 7, without width and height.")
    # As many pixels as the default size, in the requested proportions.
    default = [int(side.clamp(SIZE * factor)) for factor in (math.sqrt(ratio), 1 / math.sqrt(ratio))]
    width = fields.whole("width", default[0], side)
    return width, fields.whole("height", default[1], side)


def _aspect_ratio(fields: Lenient) -> float:
    """Width divided by height, which version 7 may send instead of the size."""
    if fields.raw("width", "height") is not None:
        return 1.0
    asked = fields.text("aspect_ratio")
    found = _ASPECT.fullmatch(asked)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if width and height:
        return min(max(width / height, 0.25), 4.0)
    if asked:
        fields.remarks.append(f"aspect_ratio must look like 16:9, not {asked[:80]!r}; the picture is square.")
    return 1.0


def _seed(fields: Lenient) -> int | None:
    """The seed; None, for null, "" and negative numbers, is a random one. Larger ones count modulo 2^32, with a remark.

    Raises:
        InvalidInput: not a whole number of at most 64 bits.
    """
    value = fields.raw("seed")
    if value is None:
        return None
    if isinstance(value, str):
        value = numbers.written(value)
    if isinstance(value, float) and value % 1:
        value = math.floor(value)
        fields.remarks.append(f"seed was set to {value}; it must be a whole number.")
    number = seeds.whole(value)
    if number is None:
        raise wrong("seed", seeds.EXPECTED, value)
    return None if number < 0 else seeds.kept("seed", number, fields.remarks)


def _style(fields: Lenient, offer: Offer) -> str | None:
    """Name of the requested style, if it exists."""
    asked = fields.text("enhance_style").strip()
    name = asked.lower()
    if name in SAYS_NO or any(name == known.name for known in offer.styles):
        return None if name in SAYS_NO else name
    known = sorted(style.name for style in offer.styles)
    fields.remarks.append(
        f"enhance_style {asked[:80]!r} is unknown, so none was applied{choices('style', name, known)}."
    )
    return None
