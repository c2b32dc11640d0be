"""What the services in small offer: control kinds, schedulers, styles, and what they say of those that are missing."""

from typing import Any

from controlmesh.v1 import preprocess_pb2, unet_pb2

THRESHOLD = preprocess_pb2.ControlParameter(
    name="low_threshold", description="Grey levels.", minimum=0, maximum=255, default_value=100
)
EXPORT = "python -m export annotator"
UNLOADED = {
    kind: f"no annotator for {kind} is loaded; export one: {EXPORT} {kind} SOURCE" for kind in ("depth", "body")
}


def _extractor(name: str, **known: Any) -> preprocess_pb2.Extractor:
    how = known.get("how_to_get", "")
    return preprocess_pb2.Extractor(name=name, description=f"{name}.", source="A paper.", available=not how, **known)


def _kind(kind: str, *extractors: preprocess_pb2.Extractor, ids: tuple[str, ...] = ()) -> preprocess_pb2.ControlKind:
    usual = next((one for one in extractors if one.available and not one.stand_in and not one.reads_text), None)
    return preprocess_pb2.ControlKind(
        kind=kind,
        description=f"{kind}.",
        extractable=usual is not None,
        parameters=usual.parameters if usual else (),
        models=["demo"] if kind in CONTROLNETS else [],
        reads_mask=kind == "inpaint",
        extractors=extractors,
        controlnets=[preprocess_pb2.ControlNetIds(family="sd15", ids=ids)] if ids else [],
    )


CONTROLNETS = ("canny", "depth", "inpaint", "openpose", "qrcode", "softedge")
"""Of the one model."""
KINDS = {
    control.kind: control
    for control in (
        _kind("canny", _extractor("canny", parameters=[THRESHOLD]), ids=("lllyasviel/control_v11p_sd15_canny",)),
        # Nothing but a crude stand-in.
        _kind("depth", _extractor("depth", how_to_get=UNLOADED["depth"]), _extractor("lightness", stand_in=True)),
        _kind("inpaint", _extractor("picture")),
        # No ControlNet.
        _kind("normal", _extractor("normal", annotator="demo", annotator_description="Knows shapes.")),
        # Nothing at all.
        _kind("openpose", _extractor("openpose", how_to_get=UNLOADED["body"])),
        # Made from words, too.
        _kind("qrcode", _extractor("pattern"), _extractor("words", reads_text=True)),
        # In place of hed, for which there is no ControlNet.
        _kind("softedge", _extractor("pidinet", annotator="demo", annotator_description="Knows shapes.")),
    )
}
HINT_SECONDS = 0.25
EXPORTED_AT = 1_674_647_542
"""25 January 2023, 11:52:22."""
SCHEDULERS = {
    entry.name: entry
    for entry in (
        unet_pb2.Scheduler(name="DDIMInverseScheduler", description="Inverts.", model_calls="n", inverts=True),
        unet_pb2.Scheduler(
            name="DDIMScheduler", description="Plain.", model_calls="n", on_flow="FlowMatchEulerDiscreteScheduler"
        ),
        unet_pb2.Scheduler(
            name="DPMSolverMultistepScheduler",
            description="Has variants.",
            karras_sigmas=True,
            algorithm_types=["dpmsolver++", "sde-dpmsolver++"],
            model_calls="n",
            on_flow="DPMSolverMultistepScheduler",
        ),
        unet_pb2.Scheduler(
            name="EulerDiscreteScheduler", description="Has sigmas.", karras_sigmas=True, model_calls="n"
        ),
        unet_pb2.Scheduler(name="HeunDiscreteScheduler", description="Calls twice.", model_calls="2n - 1"),
        unet_pb2.Scheduler(
            name="UniPCMultistepScheduler",
            description="Quick.",
            karras_sigmas=True,
            model_calls="n",
            on_flow="UniPCMultistepScheduler",
        ),
    )
}
STYLES = {"comic": preprocess_pb2.Style(name="comic", prompt="comic of {prompt}", negative_prompt="photo")}
QUALITY = ", best quality"
