"""The control types, one file and one row each, sorted by kind."""

from preprocess_svc.controls.canny import CANNY
from preprocess_svc.controls.control import ControlType, Parameter
from preprocess_svc.controls.depth import DEPTH
from preprocess_svc.controls.inpaint import INPAINT
from preprocess_svc.controls.scribble import SCRIBBLE
from preprocess_svc.controls.segmentation import SEGMENTATION

CONTROLS: dict[str, ControlType] = {
    control.kind: control
    for control in (
        CANNY,
        DEPTH,
        INPAINT,
        SCRIBBLE,
        SEGMENTATION,
    )
}

__all__ = ["CONTROLS", "ControlType", "Parameter"]
