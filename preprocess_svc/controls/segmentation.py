"""segmentation: what is where, as flat colours. Only ready maps are taken: finding classes needs a model."""

from preprocess_svc.controls.control import ControlType

SEGMENTATION = ControlType(
    kind="segmentation",
    description="Flat areas, one colour a class, in the palette that the ControlNet was trained with.",
    how_to_get="no segmenter is loaded here: send a ready map of class colours and turn auto_hint off",
)
