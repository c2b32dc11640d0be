"""The control types, one file and one row each, sorted by kind."""

from preprocess_svc.controls.blur import BLUR
from preprocess_svc.controls.canny import CANNY
from preprocess_svc.controls.depth import DEPTH
from preprocess_svc.controls.face import FACE
from preprocess_svc.controls.gray import GRAY
from preprocess_svc.controls.hed import HED
from preprocess_svc.controls.illusion import ILLUSION
from preprocess_svc.controls.inpaint import INPAINT
from preprocess_svc.controls.lineart import LINEART
from preprocess_svc.controls.lineart_anime import LINEART_ANIME
from preprocess_svc.controls.low_quality import LOW_QUALITY
from preprocess_svc.controls.mlsd import MLSD
from preprocess_svc.controls.normal import NORMAL
from preprocess_svc.controls.openpose import OPENPOSE
from preprocess_svc.controls.qrcode import QRCODE
from preprocess_svc.controls.scribble import SCRIBBLE
from preprocess_svc.controls.segmentation import SEGMENTATION
from preprocess_svc.controls.shuffle import SHUFFLE
from preprocess_svc.controls.softedge import SOFTEDGE
from preprocess_svc.controls.tile import TILE
from preprocess_svc.extraction.control import ControlType, Parameter

CONTROLS: dict[str, ControlType] = {
    control.kind: control
    for control in (
        BLUR,
        CANNY,
        DEPTH,
        FACE,
        GRAY,
        HED,
        ILLUSION,
        INPAINT,
        LINEART,
        LINEART_ANIME,
        LOW_QUALITY,
        MLSD,
        NORMAL,
        OPENPOSE,
        QRCODE,
        SCRIBBLE,
        SEGMENTATION,
        SHUFFLE,
        SOFTEDGE,
        TILE,
    )
}

__all__ = ["CONTROLS", "ControlType", "Parameter"]
