"""Checks of a request against what its model takes, before a job is taken."""

from controlmesh.v1 import unet_pb2
from families.limits import Range
from gateway.generation.checks import whole, wrong
from gateway.generation.generation import Generation
from mesh.errors import InvalidInput


def check_walks(scheduler: unet_pb2.Scheduler, model: unet_pb2.Model) -> None:
    """Raise InvalidInput if nothing walks the model's kind of noise for this scheduler."""
    if model.noise == "flow" and not scheduler.on_flow:
        raise InvalidInput(
            f"scheduler {scheduler.name} can't walk a flow, and model {model.name} is one: name another",
            field="scheduler",
        )
    if model.noise != "flow" and scheduler.flow_only:
        raise InvalidInput(
            f"scheduler {scheduler.name} walks flows, and model {model.name} is none: name another", field="scheduler"
        )


def check_limits(generation: Generation, side: Range, limits: unet_pb2.Limits | None) -> None:
    """Raise InvalidInput for a size, or a number of controls, that the model does not make."""
    for field, pixels in (("width", generation.width), ("height", generation.height)):
        if pixels is not None:
            whole(side)(field, pixels)
    if limits is None:
        return
    if generation.true_guidance_scale is not None and not limits.true_guidance:
        raise InvalidInput(
            "true_guidance_scale is not supported by this model, which has guidance_scale only: remove it",
            field="true_guidance_scale",
        )
    if generation.clip_skip and not limits.reads_clip_skip:
        raise InvalidInput("clip_skip is not supported by this model: remove it or send 0", field="clip_skip")
    for field in ("original_width", "original_height", "crop_left", "crop_top"):
        if getattr(generation, field) and not limits.reads_sizes:
            raise InvalidInput(f"{field} is not supported by this model, which reads no sizes: remove it", field=field)
    pixels = (generation.width or 0) * (generation.height or 0)
    if limits.most_pixels and pixels > limits.most_pixels:
        raise wrong("width", f"so that width times height is at most {limits.most_pixels}", generation.width)
    if limits.most_controls and len(generation.controls) > limits.most_controls:
        raise InvalidInput(
            f"controls: {generation.model or 'the model'} takes at most {limits.most_controls} at once, not "
            f"{len(generation.controls)}",
            field="controls",
        )


def check_reads(generation: Generation, model: unet_pb2.Model, scheduler: unet_pb2.Scheduler) -> None:
    """Raise InvalidInput if what the model itself reads beside the latents is missing: a picture and its mask, or the
    hint of its own control."""
    if model.limits.needs_mask:
        for field, sent in (("image", generation.image), ("mask", generation.mask)):
            if sent is None:
                raise InvalidInput(
                    f"{field} is missing: model {model.name} does nothing but repaint what is white in a `mask` of an "
                    "`image`; send both",
                    field=field,
                )
        if scheduler.inverts:
            raise InvalidInput(
                f"scheduler {scheduler.name} inverts whole pictures; model {model.name} repaints parts: name another",
                field="scheduler",
            )
    own = model.limits.own_control
    places = [index for index, control in enumerate(generation.controls) if control.kind == own]
    if own and not places:
        at = f"controls[{len(generation.controls)}].kind"
        raise InvalidInput(f"{at} must be {own}: model {model.name} reads its hint itself, at every step", field=at)
    if len(places) > 1:
        at = f"controls[{places[1]}].kind"
        raise InvalidInput(f"{at} can't be {own} again: model {model.name} reads one hint of it", field=at)
