"""The control types, one file and one row each."""

from preprocess_svc.controls.canny import CANNY
from preprocess_svc.controls.control import ControlType, Parameter
from preprocess_svc.controls.depth import DEPTH

CONTROLS: dict[str, ControlType] = {control.kind: control for control in (CANNY, DEPTH)}

__all__ = ["CONTROLS", "ControlType", "Parameter"]
