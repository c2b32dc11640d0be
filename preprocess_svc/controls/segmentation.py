"""segmentation: what is where, as flat colours."""

from preprocess_svc.controls.control import ControlType

SEGMENTATION = ControlType(
    kind="segmentation",
    description="Flat areas, one colour a class, in the palette that the ControlNet was trained with.",
    controlnets={"sd15": ("lllyasviel/control_v11p_sd15_seg", "lllyasviel/sd-controlnet-seg")},
)
