"""The mesh's errors in the Scenario dialect's words."""

from families.limits import MOST_CONTROLS
from gateway.dialects.common.dialect import renamed
from mesh.errors import MeshError

_OF_CONTROL = {
    "kind": "modality",
    "weight": "modality",
    "auto_hint": "disableModalityDetection",
    "start": "controlStart",
    "end": "controlEnd",
    "mask": "mask",
}
# Field of the canonical request -> the vendor's.
NAMES = {
    "model": "modelId",
    "negative_prompt": "negativePrompt",
    "steps": "numInferenceSteps",
    "guidance_scale": "guidance",
    "samples": "numSamples",
    "controls": "controlImage",
    "after": "paginationToken",
    "id": "jobId",
    "file_name": "fileName",
    "size": "fileSize",
    "content_type": "contentType",
    "events": "enabledEvents",
    **{f"controls[{index}].{field}": name for index in range(MOST_CONTROLS) for field, name in _OF_CONTROL.items()},
}


def spoken(error: MeshError, steering: str = "controlImage") -> MeshError:
    """`error` with the client's name of its field; `steering` is the one with the control's picture."""
    pictures = {f"controls[{index}].image": steering for index in range(MOST_CONTROLS)}
    return renamed(error, {**NAMES, **pictures})
