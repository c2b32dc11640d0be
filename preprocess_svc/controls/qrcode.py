"""qrcode: a code that the picture is to hide and a reader is to find."""

from collections.abc import Mapping

from mesh.pictures import Pixels
from preprocess_svc.controls.control import Algorithm, ControlType


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """The picture as it is, UINT8 [h, w, 3]: with or without auto_hint, this kind takes a ready code.

    Black modules (0) on white (255). Taken by DionTimmer/controlnet_qrcode-control_v1p_sd15 and
    monster-labs/control_v1p_sd15_qrcode_monster, whose card asks for 16 pixels a module, a high level of error
    correction and mid grey (128) around the code.
    """
    return picture


QRCODE = ControlType(
    kind="qrcode",
    description="A QR code or other black and white pattern, taken as it is.",
    extractors=(
        Algorithm(
            name="pattern",
            description="The code as it is.",
            source="DionTimmer's and monster-labs' cards",
            extract=extract,
        ),
    ),
    controlnets={
        "sd15": (
            "DionTimmer/controlnet_qrcode-control_v1p_sd15",
            "monster-labs/control_v1p_sd15_qrcode_monster",
        ),
        "sdxl": ("monster-labs/control_v1p_sdxl_qrcode_monster",),
    },
)
