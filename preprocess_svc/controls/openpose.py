"""openpose: people's poses as coloured skeletons, on request with hands and faces."""

from collections.abc import Mapping

from mesh.errors import InvalidInput
from mesh.pictures import Pixels
from preprocess_svc.annotators import Annotators
from preprocess_svc.extraction.control import DETECT_RESOLUTION, ControlType, Learned, Parameter
from preprocess_svc.extraction.ready import Ready
from preprocess_svc.extraction.skeletons import HOW_TO_GET, skeletons

_DETAILS = {"hands": "hand", "face": "face"}


async def annotate(picture: Pixels, parameters: Mapping[str, float], annotators: Annotators) -> Pixels:
    """Draw the skeletons of the people in a picture; see preprocess_svc.extraction.skeletons.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: detect_resolution; body, hands and face: 1 to draw them, else 0.

    Returns:
        UINT8 [h, w, 3] on black: joints and darker limbs in OpenPose's colours, fingers in rainbow colours
        with blue joints, faces as white points. Taken by lllyasviel/sd-controlnet-openpose, trained on bodies, and
        lllyasviel/control_v11p_sd15_openpose, trained on all three.

    Raises:
        InvalidInput: nothing to draw; hands or face without an annotator for them.
        MeshError: as skeletons.
    """
    wanted = {name: bool(parameters[name]) for name in ("body", "hands", "face")}
    if not any(wanted.values()):
        raise InvalidInput("body, hands and face are all 0; set at least one of them to 1", field="parameters.body")
    for name, head in _DETAILS.items():
        if wanted[name] and annotators.card(head) is None:
            raise InvalidInput(
                f"{name} is not available here: no annotator for {head} is loaded; leave {name} at 0, or export one: "
                f"{HOW_TO_GET}",
                field=f"parameters.{name}",
            )
    return await skeletons(picture, int(parameters["detect_resolution"]), annotators, **wanted)


OPENPOSE = ControlType(
    kind="openpose",
    description="Coloured skeletons on black: OpenPose's 18 body parts and the limbs between them, hands with rainbow "
    "fingers, faces as white points.",
    extractors=(
        Learned(
            name="openpose",
            description="People by OpenPose: bodies, and on request hands and faces.",
            source="Cao et al. 2021 (OpenPose), Simon et al. 2017 (hands); controlnet_aux's OpenposeDetector",
            parameters=(
                DETECT_RESOLUTION,
                Parameter("body", "1 to draw bodies, 0 to leave them out.", 0, 1, 1, whole=True),
                Parameter("hands", "1 to find and draw hands of up to 8 people.", 0, 1, 0, whole=True),
                Parameter("face", "1 to find and draw faces of up to 8 people.", 0, 1, 0, whole=True),
            ),
            heads=("body",),
            annotate=annotate,
            how_to_get=HOW_TO_GET,
        ),
    ),
    ready=Ready(
        on_black=True,
        drawn=True,
        colours="an openpose hint has a colour per limb: only faces are white points",
    ),
    controlnets={
        "sd15": ("lllyasviel/control_v11p_sd15_openpose", "lllyasviel/sd-controlnet-openpose"),
        "sdxl": ("thibaud/controlnet-openpose-sdxl-1.0", "xinsir/controlnet-openpose-sdxl-1.0"),
        "flux": ("InstantX/FLUX.1-dev-Controlnet-Union",),
    },
)
