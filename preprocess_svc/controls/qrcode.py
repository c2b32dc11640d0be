"""qrcode: a code to hide in the picture so that a reader still finds it."""

from collections.abc import Mapping

import cv2
import numpy as np

from mesh.errors import InvalidInput
from mesh.pictures import Pixels
from preprocess_svc.extraction.channels import tripled
from preprocess_svc.extraction.control import Algorithm, ControlType, Parameter, Written
from preprocess_svc.extraction.ready import Ready

# In the largest picture, a larger code has less than 8 pixels per module, one latent cell; and codes that OpenCV makes
# of the next version can't be read.
_MOST_MODULES = 97
# Pixels per module that a reader can still tell apart.
_LEAST_MODULE = 2
_AROUND = 128
# OpenCV's own, which is narrower than the standard's.
_OPENCV_MARGIN = 2


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Return the picture as it is, UINT8 [h, w, 3]: with or without auto_hint, this kind takes a ready code.

    Black modules (0) on white (255). Taken by DionTimmer/controlnet_qrcode-control_v1p_sd15 and
    monster-labs/control_v1p_sd15_qrcode_monster, whose card recommends 16 pixels per module, a high level of
    error correction and mid grey (128) around the code.
    """
    return picture


def write(text: str, size: tuple[int, int], parameters: Mapping[str, float]) -> Pixels:
    """Draw a QR code of `text` (ISO/IEC 18004, made by OpenCV) in the middle of a mid grey picture.

    Args:
        text: any Unicode without NUL; what isn't digits or capitals is encoded as UTF-8.
        size: (width, height) of the hint in pixels.
        parameters: error_correction 0 to 3 for L, M, Q and H (7, 15, 25 and 30 % of the code may be unreadable);
            quiet_zone, white modules around the code; module_size, the most pixels per module: as many as fit, at least
            2, the same for all modules.

    Returns:
        UINT8 [height, width, 3]: 0 dark and 255 light modules and quiet zone, 128 around.

    Raises:
        InvalidInput: text with NUL, or too long for the size or for a code of 97 modules per side.
    """
    modules = _modules(text, int(parameters["error_correction"]))
    quiet = int(parameters["quiet_zone"])
    code = np.pad(modules, quiet, constant_values=255)
    side = code.shape[0]
    width, height = size
    module = min(int(parameters["module_size"]), min(size) // side)
    if module < _LEAST_MODULE:
        raise InvalidInput(
            f"the code for this text has {side} modules per side including its quiet zone, and only "
            f"{min(size) // _LEAST_MODULE} of {_LEAST_MODULE} pixels fit into {width}x{height}: ask for a larger hint, "
            "shorten the text, or lower error_correction or quiet_zone",
            field="text",
        )
    drawn = cv2.resize(code, (side * module, side * module), interpolation=cv2.INTER_NEAREST)
    hint = np.full((height, width), _AROUND, np.uint8)
    top, left = (height - side * module) // 2, (width - side * module) // 2
    hint[top : top + side * module, left : left + side * module] = drawn
    return tripled(hint)


def _modules(text: str, level: int) -> Pixels:
    """The smallest code for `text`, one pixel per module: 0 dark, 255 light, UINT8 [n, n] without quiet zone."""
    # OpenCV stops reading at a NUL, and half of a surrogate pair crashes the process.
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput("text must be Unicode without NUL or lone surrogates", field="text")
    wanted = cv2.QRCodeEncoder.Params()
    wanted.correction_level = level
    too_much = InvalidInput(
        f"the text is too long for a code of {_MOST_MODULES} modules per side at error_correction {level}: shorten it"
        f"{' or lower error_correction' if level else ''}",
        field="text",
    )
    try:
        code = cv2.QRCodeEncoder.create(wanted).encode(text)
    except cv2.error:
        raise too_much from None
    code = code[_OPENCV_MARGIN:-_OPENCV_MARGIN, _OPENCV_MARGIN:-_OPENCV_MARGIN]
    if len(code) > _MOST_MODULES:
        raise too_much
    return code.astype(np.uint8, copy=False)


QRCODE = ControlType(
    kind="qrcode",
    description="A QR code or other black and white pattern, used as it is or made from text.",
    extractors=(
        Algorithm(
            name="pattern",
            description="The code as it is.",
            source="DionTimmer's and monster-labs' cards",
            extract=extract,
            as_ready=True,
        ),
        Written(
            name="text",
            description="A QR code of the text, on mid grey.",
            source="ISO/IEC 18004, OpenCV's QRCodeEncoder; monster-labs' card",
            parameters=(
                Parameter(
                    "error_correction",
                    "Share that may be unreadable: 0 for 7 % (L), 1 for 15 % (M), 2 for 25 % (Q), 3 for 30 % (H).",
                    0,
                    3,
                    3,
                    whole=True,
                ),
                Parameter("quiet_zone", "Width of the white margin, modules; readers need 4.", 0, 16, 4, whole=True),
                Parameter("module_size", "Most pixels per module; fewer if they don't fit.", 2, 128, 16, whole=True),
            ),
            write=write,
        ),
    ),
    ready=Ready(flat=True),
    controlnets={
        "sd15": (
            "DionTimmer/controlnet_qrcode-control_v1p_sd15",
            "monster-labs/control_v1p_sd15_qrcode_monster",
        ),
        "sdxl": ("monster-labs/control_v1p_sdxl_qrcode_monster",),
    },
)
