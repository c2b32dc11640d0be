"""Read one part of a single file, its tensors renamed by diffusers' own converters, after all of them were checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from diffusers.loaders import single_file_utils as diffusers_names
from safetensors import safe_open

from export.errors import SourceRefused
from export.hostile import shown
from export.parts import Layout, Part
from export.single_files import flux
from export.single_files.header import Header, read
from export.stored import Weight, in_memory

Tensors = dict[str, Any]
"""Name -> tensor; None where a converter looked for one that the file has not."""

_BUFFERS = ("position_ids", "logit_scale")
"""Ends of names that some writers add to a text encoder and that are no weights of it."""


def restored(module: Any, part: Part, what: str) -> dict[str, Weight]:
    """The part's weights under the names of `module`, which may be on the meta device.

    Raises SourceRefused unless the file's tensors of this part are exactly the module's: the same names and shapes, and
    numbers with a fraction. Names and shapes are compared before any tensor is read.
    """
    header = read(part.weights)
    names = [name for name in header.shapes if name.startswith(part.prefix) and not name.endswith(_BUFFERS)]
    hollow = {name: torch.empty(header.shapes[name], device="meta") for name in names}
    found = _converted(hollow, part, module)
    _check(found, {name: tuple(weight.shape) for name, weight in module.state_dict().items()}, part, what)
    _check_whole(header, names, len(found), part, what)
    with safe_open(part.weights, framework="pt") as opened:
        whole = _converted({name: opened.get_tensor(name) for name in names}, part, module)
    # They stay as the file has them, mapped; SDXL's UNet has five gigabytes in half.
    return {name: in_memory(weight) for name, weight in whole.items() if weight is not None}


def _converted(found: Tensors, part: Part, module: Any) -> Tensors:
    converter = _CONVERTERS[part.layout] if part.layout is not None else None
    assert converter is not None
    named = converter(found, part, module)
    if part.layout in (Layout.CLIP, Layout.OPEN_CLIP):
        # transformers wraps one class's encoder in `text_model` and not the other's.
        wrapped = hasattr(module, "text_model")
        named = {
            name if name.startswith("text_projection") else f"{'text_model.' if wrapped else ''}{name}": weight
            for name, weight in ((name.removeprefix("text_model."), weight) for name, weight in named.items())
        }
    return named


def _unet(found: Tensors, part: Part, module: Any) -> Tensors:
    return dict(diffusers_names.convert_ldm_unet_checkpoint(found, part.config))


def _vae(found: Tensors, part: Part, module: Any) -> Tensors:
    return dict(diffusers_names.convert_ldm_vae_checkpoint(found, part.config))


def _controlnet(found: Tensors, part: Part, module: Any) -> Tensors:
    made = dict(diffusers_names.convert_controlnet_checkpoint(found, part.config))
    # The converter passes over the layers that read SDXL's vector, for which the library's own table has the names.
    table = diffusers_names.DIFFUSERS_TO_LDM_MAPPING["controlnet"]["addition_embed_type"]
    vector = {name: part.prefix + trained for name, trained in table.items()}
    return made | {name: found[trained] for name, trained in vector.items() if trained in found}


def _unprefixed(found: Tensors, part: Part, module: Any) -> Tensors:
    return {name.removeprefix(part.prefix): weight for name, weight in found.items()}


def _open_clip(found: Tensors, part: Part, module: Any) -> Tensors:
    return dict(diffusers_names.convert_open_clip_checkpoint(module, found, prefix=part.prefix))


def _flux(found: Tensors, part: Part, module: Any) -> Tensors:
    return flux.renamed(found, part.prefix)


def _t5(found: Tensors, part: Part, module: Any) -> Tensors:
    made = _unprefixed(found, part, module)
    # One tensor of two names, of which writers leave the second one out.
    return {"encoder.embed_tokens.weight": made["shared.weight"], **made} if "shared.weight" in made else made


_CONVERTERS: Mapping[Layout, Callable[[Tensors, Part, Any], Tensors]] = {
    Layout.UNET: _unet,
    Layout.VAE: _vae,
    Layout.CONTROLNET: _controlnet,
    Layout.CLIP: _unprefixed,
    Layout.OPEN_CLIP: _open_clip,
    Layout.FLUX: _flux,
    Layout.T5: _t5,
}


def _check(found: Tensors, expected: Mapping[str, tuple[int, ...]], part: Part, what: str) -> None:
    here = {name: tuple(weight.shape) for name, weight in found.items() if weight is not None}
    missing = sorted(expected.keys() - here.keys())
    if missing:
        raise SourceRefused(
            f"{what}: {part.weights.name} lacks {_some(missing, 'tensor')} that a model of these widths and depths has "
            f"(diffusers' names)"
        )
    odd = sorted(here.keys() - expected.keys())
    if odd:
        raise SourceRefused(
            f"{what}: {part.weights.name} has {_some(odd, 'tensor')} (diffusers' names) that the family's networks "
            "have not: it is another architecture"
        )
    for name in sorted(expected):
        if here[name] != expected[name]:
            raise SourceRefused(
                f"{what}: tensor {shown(name)} (diffusers' name) of {part.weights.name} is {list(here[name])}; "
                f"{list(expected[name])} would fit"
            )


def _check_whole(header: Header, names: Iterable[str], converted: int, part: Part, what: str) -> None:
    """Every tensor of a network must have been renamed, since a converter passes over what it does not know."""
    names = list(names)
    quantized = [name for name in names if not header.dtypes[name].startswith(("F", "BF"))]
    if quantized:
        raise SourceRefused(
            f"{what}: {part.weights.name} has {_some(quantized, 'tensor')} of type {header.dtypes[quantized[0]]}: "
            "quantized weights are not read; give a file in half or full precision"
        )
    if part.layout in (Layout.UNET, Layout.CONTROLNET) and converted != len(names):
        raise SourceRefused(
            f"{what}: {part.weights.name} has {len(names)} tensors of it, of which {converted} are a network's of the "
            "family: it is another architecture, or has additions that are not read"
        )


def _some(names: list[str], what: str) -> str:
    return f"the {what} {shown(names[0])}" if len(names) == 1 else f"{len(names)} {what}s such as {shown(names[0])}"
