"""face: the points of people's faces, without the bodies."""

from collections.abc import Mapping

from mesh.pictures import Pixels
from preprocess_svc.annotators import Annotators
from preprocess_svc.extraction.control import DETECT_RESOLUTION, ControlType, Learned
from preprocess_svc.extraction.ready import Ready
from preprocess_svc.extraction.skeletons import HOW_TO_GET, skeletons


async def annotate(picture: Pixels, parameters: Mapping[str, float], annotators: Annotators) -> Pixels:
    """Draw the faces of up to 8 people whose bodies OpenPose finds, like sd-webui-controlnet's "openpose_faceonly".

    CrucibleAI/ControlNetMediaPipeFace needs a different drawing, the contours of MediaPipe's face mesh in its own
    colours, which nothing here makes: send it a ready hint, with auto_hint off.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: detect_resolution.

    Returns:
        UINT8 [h, w, 3], white points of 3 px radius on black. Taken by lllyasviel/control_v11p_sd15_openpose.

    Raises:
        MeshError: as preprocess_svc.extraction.skeletons.skeletons.
    """
    return await skeletons(picture, int(parameters["detect_resolution"]), annotators, face=True)


FACE = ControlType(
    kind="face",
    description="White points on black, 70 to a face, as OpenPose ControlNets take them; CrucibleAI/"
    "ControlNetMediaPipeFace takes MediaPipe's mesh instead, as a ready hint.",
    extractors=(
        Learned(
            name="openpose",
            description="Points of faces by OpenPose, which finds the body first.",
            source="Cao et al. 2021 (OpenPose); controlnet_aux's OpenposeDetector",
            parameters=(DETECT_RESOLUTION,),
            heads=("body", "face"),
            annotate=annotate,
            how_to_get=HOW_TO_GET,
        ),
    ),
    ready=Ready(on_black=True, drawn=True),
    controlnets={
        "sd15": ("lllyasviel/control_v11p_sd15_openpose",),
        "sdxl": ("xinsir/controlnet-openpose-sdxl-1.0",),
    },
)
