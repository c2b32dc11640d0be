"""depth: nearness of the scene. Only ready maps are taken: estimating depth needs a model."""

from preprocess_svc.controls.control import ControlType

DEPTH = ControlType(
    kind="depth",
    description="Grey map, white near and black far, three equal channels.",
    how_to_get="no depth annotator is loaded here: send a ready depth map and turn auto_hint off",
)
