"""segmentation: the class of each area, as flat colours."""

from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.annotators import Seen
from preprocess_svc.extraction.control import DETECT_RESOLUTION, ControlType, Learned
from preprocess_svc.extraction.maps import drawn, failed
from preprocess_svc.extraction.ready import Ready


def draw(seen: Seen, size: tuple[int, int], parameters: Mapping[str, float]) -> Pixels:
    """Draw the class of each pixel in the colours of the card's palette.

    Classes are resized to the hint's size, by the nearest pixel, before they are coloured, so that every colour is in
    the palette. Returns UINT8 [height, width, 3]. With ADE20K's palette, taken by
    lllyasviel/sd-controlnet-seg and lllyasviel/control_v11p_sd15_seg.
    """
    palette = np.array(seen.card.palette, np.uint8)
    classes = seen.maps["classes"].astype(np.uint8, copy=False)
    if (highest := int(classes.max())) >= len(palette):
        raise failed(seen, f"it found class {highest} of {len(palette)}, counted from 0")
    fitted = cv2.resize(classes, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8, copy=False)
    return np.take(palette, fitted, axis=0)


SEGMENTATION = ControlType(
    kind="segmentation",
    description="Flat areas, one colour per class, in the palette that the ControlNet was trained with.",
    extractors=(
        Learned(
            name="model",
            description="Classes by the annotator, in its palette.",
            source="Xiao et al. 2018 (UPerNet), Liu et al. 2022 (ConvNeXt); colours of Zhou et al. 2017 (ADE20K)",
            parameters=(DETECT_RESOLUTION,),
            heads=("segmentation",),
            annotate=drawn("segmentation", draw),
            how_to_get="python -m export annotator segmentation openmmlab/upernet-convnext-small",
        ),
    ),
    ready=Ready(
        flat=True,
        on_black=True,
        colours="a segmentation hint has a colour per class: if its values are numbers of classes, send the colours of "
        "the ControlNet's palette",
    ),
    controlnets={
        "sd15": ("lllyasviel/control_v11p_sd15_seg", "lllyasviel/sd-controlnet-seg"),
        "sdxl": ("xinsir/controlnet-union-sdxl-1.0",),
    },
)
