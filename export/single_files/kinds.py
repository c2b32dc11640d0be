"""What a single file holds, by the names of its tensors: a family's whole model, a ControlNet, or something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from export.errors import SourceRefused
from export.hostile import shown
from export.single_files.header import Header

UNET = "model.diffusion_model."
CONTROL = "control_model."
EXPECTED = (
    "Expected is a whole SD1.5 or SDXL model in one file, as it was trained: tensors model.diffusion_model.*, "
    "first_stage_model.*, and cond_stage_model.transformer.* or conditioner.embedders.*; or a FLUX transformer: "
    "tensors double_blocks.*, single_blocks.*."
)


@dataclass(frozen=True, slots=True)
class Other:
    """Something that is not exported from a single file: how it is recognised, and what it is."""

    found: Callable[[Header], bool]
    what: str


_FLUX = Other(lambda header: header.mentions("double_blocks."), "a FLUX model")
_OTHERS = (
    Other(lambda header: header.mentions("controlnet_blocks."), "a ControlNet of FLUX: give its diffusers folder"),
    Other(lambda header: header.mentions("joint_blocks."), "a Stable Diffusion 3 model"),
    Other(
        lambda header: header.has("edm_mean") or header.has("edm_vpred."), "an SDXL that was trained with EDM's noise"
    ),
    Other(lambda header: header.has("conditioner.embedders.0.model."), "SDXL's refiner"),
    Other(lambda header: header.has("cond_stage_model.model."), "a Stable Diffusion 2 model"),
    Other(lambda header: header.has("lora_controlnet"), "a control LoRA"),
    Other(lambda header: header.has("lora_") or header.mentions(".lora_"), "a LoRA"),
)
_CONTROLNET = Other(
    lambda header: is_controlnet(header),
    "a ControlNet: give it with its model as --controlnet KIND=FILE, or to `python -m export control`",
)
_PART = Other(
    lambda header: header.has("down_blocks.") or header.has("encoder.") or header.has("text_model."),
    "one part of a diffusers folder: give the folder",
)


def is_controlnet(header: Header) -> bool:
    """Whether it is a ControlNet in either layout."""
    return (
        header.has(f"{CONTROL}input_hint_block.")
        or header.has("input_hint_block.")
        or header.has("controlnet_cond_embedding.conv_in.")
    )


def family_of(header: Header) -> str:
    """The row of `export.families.table` of a whole model. Raises SourceRefused, naming what the file seems to be."""
    _refuse(header, (*_OTHERS, _CONTROLNET), EXPECTED)
    if header.has("double_blocks.") or header.has(f"{UNET}double_blocks."):
        return "flux"
    _refuse(header, (_FLUX,), EXPECTED)
    if header.has(UNET):
        # Only SDXL's UNet reads a vector beside the text.
        return "sdxl" if header.has(f"{UNET}label_emb.") else "sd15"
    _refuse(header, (_PART,), EXPECTED)
    raise _unknown(header, EXPECTED)


def require_controlnet(header: Header, what: str) -> None:
    """Raise SourceRefused, naming what the file seems to be, unless it is a ControlNet."""
    expected = f"{what}: expected is a ControlNet in one file: tensors control_model.*, or diffusers' own names."
    whole = Other(lambda header: header.has(UNET), "a whole model, no ControlNet")
    _refuse(header, (*_OTHERS, _FLUX, whole), expected)
    if not is_controlnet(header):
        raise _unknown(header, expected)


def _refuse(header: Header, others: tuple[Other, ...], expected: str) -> None:
    for other in others:
        if other.found(header):
            raise SourceRefused(f"{shown(header.path.name)} looks like {other.what}. {expected}")


def _unknown(header: Header, expected: str) -> SourceRefused:
    example = next(iter(sorted(header.shapes)), None)
    holds = f"has tensors such as {shown(example)}" if example is not None else "has no tensors"
    return SourceRefused(f"{shown(header.path.name)} {holds} and is no model that is known here. {expected}")
