"""Which module and which reference belong to which graph of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from export.graphs import controlnet, residuals, text_encoder, unet, vae
from families import graphs as names
from families.manifest import ModelFacts


@dataclass(frozen=True, slots=True)
class Row:
    """A graph to make: the module to trace and the computation it is held against."""

    part: names.Part
    module: nn.Module
    reference: Callable[..., Any]


def rows(facts: ModelFacts, modules: Any) -> list[Row]:
    """Every graph of the model; `modules` is an `export.load.Modules`."""
    m = facts.name
    no_control, add = residuals.NoControl(facts.residuals), residuals.AddResiduals()
    encoder, decoder = vae.Encoder(modules.vae), vae.Decoder(modules.vae)
    made: list[tuple[str, nn.Module, Callable[..., Any]]] = [
        (
            names.text_encoder(m),
            text_encoder.TextEncoder(modules.text_encoder),
            partial(text_encoder.reference, modules.text_encoder),
        ),
        *(
            (
                names.controlnet(m, kind),
                controlnet.ControlNet(model, masked=kind in names.MASKED_CONTROLS),
                partial(controlnet.reference, model),
            )
            for kind, model in modules.controlnets.items()
        ),
        (names.no_control(m), no_control, no_control),
        (names.add_residuals(m), add, add),
        (names.unet(m), unet.UNet(modules.unet), partial(unet.reference, modules.unet)),
        (names.vae_decoder(m), decoder, decoder),
        (names.vae_encoder(m), encoder, partial(vae.reference_posterior, modules.vae)),
    ]
    return [Row(names.part(facts, graph), module, reference) for graph, module, reference in made]
