"""Requests for pictures in the Scenario dialect and what must come back, one row for each row of the contract's tables.

In paths and bodies a word in braces stands for something that was made before: {picture} and {mask} are data URLs,
{control} another one, {asset} the id of an uploaded picture, {url} a picture's address, {job} the id of a job that
succeeded, {result} the id of its picture, {upload} the id of an upload whose parts were sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.contract.scenario_client import COST, ERROR, SUBMITTED

_SMALL = {"numInferenceSteps": 4, "width": 128, "height": 128}
_ASKED: dict[str, Any] = {"prompt": "a red star on a white background", "modelId": "demo", **_SMALL}
_STEERED = {**_ASKED, "controlImage": "{picture}", "modality": "canny"}
_CUSTOM = {name: value for name, value in _ASKED.items() if name != "modelId"}


@dataclass(frozen=True)
class Pair:
    """One row.

    Attributes:
        method, path, body: of the request.
        status, shape: of the answer.
        says: what stands in it, by the way to it with dots between.
        ends: the same of the poll after the end of the job that the answer tells of; None for no job.
        after: words for what must have been made before, beyond what stands in braces.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    status: int = 200
    shape: Any = field(default_factory=dict)
    says: Mapping[str, Any] = field(default_factory=dict)
    ends: Mapping[str, Any] | None = None
    after: tuple[str, ...] = ()

    def needs(self, *words: str) -> bool:
        """Whether what one of these words stands for must have been made before."""
        written = repr(self)
        return any(word in self.after or f"{{{word}}}" in written for word in words)


def _job(path: str, body: Mapping[str, Any], says: Mapping[str, Any], **ends: Any) -> Pair:
    done = {"job.status": "success", "job.progress": 1, **{name.replace("__", "."): end for name, end in ends.items()}}
    begun = {"job.metadata.assetIds": [], "creativeUnitsDiscount": 0, **says}
    return Pair("POST", f"/v1/generate/{path}", body, shape=SUBMITTED, says=begun, ends=done)


def _refusal(path: str, body: Mapping[str, Any], reason: str, status: int = 400) -> Pair:
    return Pair("POST", f"/v1/generate/{path}", body, status, ERROR, {"reason": reason, "message": reason})


def _input(**fields: Any) -> dict[str, Any]:
    return {f"job.metadata.input.{name}": value for name, value in fields.items()}


GENERATION_PAIRS: dict[str, Pair] = {
    # --- control alone ----------------------------------------------------------------------------------------------
    "controlnet with a data URL": _job(
        "controlnet", {**_STEERED, "modality": "canny:0.5", "guidance": 3.5},
        {"job.jobType": "controlnet", **_input(modality="canny:0.5", guidance=3.5, modelId="demo")},
        job__jobType="inference", job__metadata__input__type="controlnet", asset__metadata__type="inference-controlnet",
        asset__source="inference-control-net",
    ),
    "controlnet with an asset": _job(
        "controlnet", {**_ASKED, "controlImageId": "{asset}", "modality": "canny"}, _input(controlImageId="{asset}"),
    ),
    "controlnet with an asset in the other field": _job(
        "controlnet", {**_STEERED, "controlImage": "{asset}"}, _input(controlImage="{asset}"),
    ),
    "controlnet with a URL": _job("controlnet", {**_STEERED, "controlImage": "{url}"}, _input(controlImage="{url}")),
    "controlnet of the editor's plug-in": _job(
        "controlnet",
        {**_ASKED, "image": "{picture}", "modality": "canny:0.8", "type": "controlnet", "dryRun": True,
         "hideResults": False, "strength": 0.25, "seed": 12345, "guidance": 6.00, "numSamples": 1},
        _input(seed="12345"), asset__metadata__seed="12345",
    ),
    "controlnet with imageId": _job("controlnet", {**_ASKED, "imageId": "{asset}", "modality": "canny"}, {}),
    "controlnet with imageUrl": _job("controlnet", {**_ASKED, "imageUrl": "{url}", "modality": "canny"}, {}),
    "controlnet with a ready map": _job("controlnet", {**_STEERED, "disableModalityDetection": True}, {}),
    "controlnet with a window": _job("controlnet", {**_STEERED, "controlStart": 0.1, "controlEnd": 0.5}, {}),
    "controlnet with two modalities": _job("controlnet", {**_STEERED, "modality": "canny:0.5,canny:1"}, {}),
    "controlnet with several pictures": _job(
        "controlnet", {**_STEERED, "numSamples": 2, "seed": "7"}, _input(numSamples=2, seed="7"),
    ),
    "controlnet with more pictures than are made at once": _job(
        "controlnet", {**_STEERED, "numSamples": 8}, _input(numSamples=4),
    ),
    "controlnet with a LoRA": _job(
        "controlnet", {**_STEERED, "concepts": [{"modelId": "model_x", "scale": 1}]},
        {"job.metadata.hint": "concepts were not applied: LoRAs are not available."},
    ),
    "controlnet with a preset": _job("controlnet", {**_STEERED, "modality": "landscape:0.7"}, {}),
    "scheduler without its last word": _job(
        "controlnet", {**_STEERED, "scheduler": "DDIM"}, {}, asset__metadata__scheduler="DDIMScheduler",
    ),
    "scheduler with its last word": _job(
        "controlnet", {**_STEERED, "scheduler": "DDIMScheduler"}, {}, asset__metadata__scheduler="DDIMScheduler",
    ),
    "a project of the client's": Pair(
        "POST", "/v1/generate/controlnet?projectId=proj_mine", _STEERED, shape=SUBMITTED,
        says={"job.ownerId": "proj_mine"}, ends={"job.ownerId": "proj_mine"},
    ),
    # --- the siblings -----------------------------------------------------------------------------------------------
    "controlnet-img2img": _job(
        "controlnet-img2img", {**_STEERED, "image": "{control}", "strength": 0.8},
        {"job.jobType": "controlnet-img2img", **_input(strength=0.8)},
        asset__metadata__type="inference-controlnet-img2img", asset__source="inference-control-net-img",
        asset__metadata__strength=0.8,
    ),
    "controlnet-img2img of the guide": _job(
        "controlnet-img2img", {**_STEERED, "imageUrl": "{url}", "controlImage": "{url}", "strength": 0.8}, {},
    ),
    "controlnet-img2img without a strength": _job(
        "controlnet-img2img", {**_STEERED, "image": "{asset}"}, {}, asset__metadata__strength=0.75,
    ),
    "controlnet-inpaint": _job(
        "controlnet-inpaint", {**_STEERED, "image": "{control}", "mask": "{mask}"},
        {"job.jobType": "controlnet-inpaint"},
        asset__metadata__type="inference-controlnet-inpaint", asset__source="inference-control-net-inpainting",
    ),
    "txt2img": _job(
        "txt2img", {**_ASKED, "negativePrompt": "fog"}, {"job.jobType": "inference", **_input(negativePrompt="fog")},
        asset__metadata__type="inference-txt2img", asset__source="inference-txt", asset__metadata__negativePrompt="fog",
    ),
    "img2img": _job(
        "img2img", {**_ASKED, "image": "{picture}", "strength": 0.6}, {},
        asset__metadata__type="inference-img2img", asset__source="inference-img",
    ),
    "inpaint": _job(
        "inpaint", {**_ASKED, "image": "{picture}", "maskId": "{asset}"}, {},
        asset__metadata__type="inference-inpaint", asset__source="inference-in-paint",
    ),
    "detect": _job(
        "detect", {"image": "{picture}", "modality": "canny", "lowThreshold": 50}, {"job.jobType": "detection"},
        job__jobType="detection", asset__metadata__type="detection", asset__source="detection",
        asset__metadata__modality="canny", job__metadata__input__type="detect",
    ),
    "detect with an asset": _job("detect", {"image": "{asset}", "modality": "canny"}, _input(image="{asset}")),
    # --- the newer route --------------------------------------------------------------------------------------------
    "custom, steered": _job(
        "custom/demo",
        {**_CUSTOM, "controlImage": "{asset}", "controlModality": "canny", "controlStrength": 0.4, "seed": 3},
        {"job.jobType": "custom", **_input(controlModality="canny", controlStrength=0.4, seed="3")},
        job__jobType="custom", job__metadata__input__type="custom", asset__metadata__modelId="demo",
        asset__metadata__type="inference-controlnet",
    ),
    "custom, from words": _job("custom/demo", _CUSTOM, {}, asset__metadata__type="inference-txt2img"),
    "custom, from a picture": _job(
        "custom/demo", {**_CUSTOM, "image": "{asset}", "strength": 0.5}, {}, asset__metadata__type="inference-img2img",
    ),
    "custom, with LoRAs": _job(
        "custom/demo", {**_CUSTOM, "loras": ["model_x"], "lorasScale": [1.0]},
        {"job.metadata.hint": "loras were not applied: LoRAs are not available."},
    ),
    # --- the price alone --------------------------------------------------------------------------------------------
    "dry run": Pair("POST", "/v1/generate/controlnet?dryRun=true", _STEERED, 269, COST),
    "dry run of the API's price": Pair("POST", "/v1/generate/custom/demo?dryRun=api", _CUSTOM, 269, COST),
    "dry run of detect": Pair(
        "POST", "/v1/generate/detect?dryRun=true", {"image": "{picture}", "modality": "canny"}, 269, COST,
    ),
    "dry run of a wrong request": Pair("POST", "/v1/generate/controlnet?dryRun=true", _ASKED, 400, ERROR),
    # --- refusals ---------------------------------------------------------------------------------------------------
    "no prompt": _refusal("controlnet", {"modelId": "demo"}, '"prompt" must be a string'),
    "no model": _refusal("controlnet", {"prompt": "x"}, '"modelId" must be a string'),
    "no modality": _refusal("controlnet", {**_ASKED, "controlImage": "{picture}"}, '"modality" must be a string'),
    "empty modality": _refusal("controlnet", {**_STEERED, "modality": ""}, '"modality" is not allowed to be empty'),
    "no control picture": _refusal(
        "controlnet", {**_ASKED, "modality": "canny"},
        "one of controlImage, controlImageId must hold a picture: a data URL or an asset id",
    ),
    "no picture to start from": _refusal(
        "img2img", _ASKED, "one of image must hold a picture: a data URL or an asset id",
    ),
    "no mask": _refusal(
        "inpaint", {**_ASKED, "image": "{picture}"},
        "one of mask, maskId must hold a picture: a data URL or an asset id",
    ),
    "unknown model": _refusal("controlnet", {**_STEERED, "modelId": "nope"}, "Model nope not found", 404),
    "unknown custom model": _refusal("custom/nope", _CUSTOM, "Model nope not found", 404),
    "unknown asset": _refusal(
        "controlnet", {**_STEERED, "controlImage": "asset_GTrL3mq4SXWyMxkOHRxlpw"},
        '"controlImage": Asset asset_GTrL3mq4SXWyMxkOHRxlpw not found',
    ),
    "a modality of another family": Pair(
        "POST", "/v1/generate/controlnet", {**_STEERED, "modality": "tile"}, 400, ERROR,
    ),
    "a modality without ControlNet": Pair(
        "POST", "/v1/generate/controlnet", {**_STEERED, "modality": "canny,lineart"}, 400, ERROR,
    ),
    "four modalities": _refusal(
        "controlnet", {**_STEERED, "modality": "canny,canny,canny,canny"},
        '"modality" names 4 modalities; models of this family take at most 3',
    ),
    "a weight above one": _refusal(
        "controlnet", {**_STEERED, "modality": "canny:1.5"},
        '"modality" gives canny the weight 1.5; it must be above 0 and at most 1',
    ),
    "a wrong type": _refusal(
        "controlnet", {**_STEERED, "width": "512"},
        "\"width\" must be a whole number from 64 to 1024, a multiple of 8, not '512'",
    ),
    "an odd size": _refusal(
        "controlnet", {**_STEERED, "width": 100},
        '"width" must be a whole number from 64 to 1024, a multiple of 8, not 100',
    ),
    "too many steps": _refusal(
        "controlnet", {**_STEERED, "numInferenceSteps": 151},
        '"numInferenceSteps" must be a whole number from 1 to 150, not 151',
    ),
    "too many pictures": _refusal(
        "controlnet", {**_STEERED, "numSamples": 129}, '"numSamples" must be a whole number from 1 to 128, not 129',
    ),
    "too much guidance": _refusal(
        "controlnet", {**_STEERED, "guidance": 21}, '"guidance" must be a number from 0 to 20, not 21',
    ),
    "a window that ends before it begins": _refusal(
        "controlnet", {**_STEERED, "controlStart": 0.6, "controlEnd": 0.5},
        '"controlEnd" must be at least controlStart, which is 0.6, not 0.5',
    ),
    "a route that is not enabled": _refusal("upscale", {}, "upscale is not enabled on this server", 501),
    "an ip-adapter route": _refusal(
        "controlnet-ip-adapter", _STEERED, "controlnet-ip-adapter is not enabled on this server", 501,
    ),
    "a route that never was": _refusal("nonsense", {}, "there is no generation called nonsense", 404),
}  # fmt: skip


def filled(value: Any, known: Mapping[str, str]) -> Any:
    """`value` with what the words in braces stand for."""
    if isinstance(value, str):
        return next(
            (value.replace(f"{{{name}}}", made) for name, made in known.items() if f"{{{name}}}" in value), value
        )
    if isinstance(value, Mapping):
        return {name: filled(one, known) for name, one in value.items()}
    return [filled(one, known) for one in value] if isinstance(value, list) else value


def at(body: Any, way: str) -> Any:
    """What stands at the end of `way`."""
    for step in way.split("."):
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body
