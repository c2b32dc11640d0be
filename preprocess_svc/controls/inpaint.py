"""inpaint: the picture itself, without the part to repaint."""

from collections.abc import Mapping

from mesh.pictures import Pixels
from preprocess_svc.extraction.control import Algorithm, ControlType


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Return the picture as it is, UINT8 [h, w, 3]: with or without auto_hint, this kind's hint is picture and mask.

    Taken by lllyasviel/control_v11p_sd15_inpaint.
    """
    return picture


INPAINT = ControlType(
    kind="inpaint",
    description="The picture and a mask whose white marks what to repaint; shown with that part black.",
    extractors=(
        Algorithm(
            name="picture",
            description="The picture as it is.",
            source="Zhang's ControlNet 1.1",
            extract=extract,
            as_ready=True,
        ),
    ),
    controlnets={"sd15": ("lllyasviel/control_v11p_sd15_inpaint",)},
)
