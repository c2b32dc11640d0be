"""illusion: a pattern or silhouette to hide in the picture."""

from collections.abc import Mapping

from mesh.pictures import Pixels
from preprocess_svc.extraction.control import Algorithm, ControlType


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Return the picture as it is, UINT8 [h, w, 3]: with or without auto_hint, this kind takes a ready pattern.

    Black (0) and white (255), mid grey (128) where the picture is free: the same hint as qrcode's, under the name by
    which callers know hidden pictures. Taken by monster-labs/control_v1p_sd15_qrcode_monster.
    """
    return picture


ILLUSION = ControlType(
    kind="illusion",
    description="A black and white pattern or silhouette to hide in the picture, used as it is.",
    extractors=(
        Algorithm(
            name="pattern",
            description="The pattern as it is.",
            source="monster-labs' card",
            extract=extract,
            as_ready=True,
        ),
    ),
    controlnets={
        "sd15": ("monster-labs/control_v1p_sd15_qrcode_monster",),
        "sdxl": ("monster-labs/control_v1p_sdxl_qrcode_monster",),
    },
)
