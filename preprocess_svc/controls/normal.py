"""normal: which way each surface faces."""

import math
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.pictures import Pixels
from preprocess_svc.annotators import Seen
from preprocess_svc.controls.depth import HOW_TO_GET as DEPTH_HOW_TO_GET
from preprocess_svc.controls.depth import nearness
from preprocess_svc.extraction.control import DETECT_RESOLUTION, Algorithm, ControlType, Learned, Parameter
from preprocess_svc.extraction.maps import Plane, drawn, grey_levels, numbers, resized
from preprocess_svc.extraction.ready import Ready

# As in the library: the front component beside a Sobel of depth; 8 would make depth in pixels true to scale.
_FRONT = math.tau
# Steeper than 8 bits can represent, and its square is still finite.
_STEEPEST = 1e12

_RED_FRONT = Parameter(
    "red_front",
    "1 for ControlNet 1.0's colours, red front and blue left; 0 for 1.1's, blue front and red left.",
    0,
    1,
    0,
    whole=True,
)
_RELIEF = Parameter(
    "relief",
    "Depth of the whole scene as a multiple of the picture's shorter side; more is steeper. 0 keeps the annotator's "
    "own scale, as MiDaS's rule does.",
    0,
    16,
    4,
)
_BACKGROUND = Parameter(
    "background_threshold",
    "Nearness below which the scene is drawn as flat background, 0 farthest to 1 nearest.",
    0,
    1,
    0.4,
)


def draw(seen: Seen, size: tuple[int, int], parameters: Mapping[str, float]) -> Pixels:
    """Draw the annotator's vectors as colours, 255 (vector + 1) / 2.

    The rule of controlnet_aux's NormalBaeDetector. Returns UINT8 [height, width, 3]: red to the left, green to the top,
    blue to the front. Taken by lllyasviel/control_v11p_sd15_normalbae.
    """
    vectors = numbers(seen, "normal")
    shares = ((vectors + np.float32(1)) * np.float32(0.5)).transpose(1, 2, 0)
    return resized(_coloured(grey_levels(shares), parameters), size)


def draw_from_depth(seen: Seen, size: tuple[int, int], parameters: Mapping[str, float]) -> Pixels:
    """Draw the slopes of the annotator's depth as colours; beyond background_threshold everything faces the front.

    The rule of controlnet_aux's MidasDetector with depth_and_normal: with relief 0 and red_front 1 it is the same hint.
    0.4 is the threshold of ControlNet's own demos. Its slopes are on MiDaS's scale of thousands; those of other
    annotators are a hundred or a thousand times flatter, hence `relief`. Returns UINT8 [height, width, 3], colours as
    `draw`'s. With red_front 1, taken by lllyasviel/sd-controlnet-normal.
    """
    near, spread = nearness(seen)
    relief = parameters["relief"] * min(near.shape) or spread
    background = near < parameters["background_threshold"]
    return resized(_coloured(_slopes(near, relief, background), parameters), size)


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Draw the slopes of the picture's luma as if light were near and dark far; it knows nothing about the scene.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: sigma of a blur before, pixels; relief, a multiple of the shorter side; red_front.

    Returns:
        UINT8 [h, w, 3], colours as `draw`'s.
    """
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    cv2.GaussianBlur(luma, (0, 0), parameters["sigma"], dst=luma)
    luma /= 255
    return _coloured(_slopes(luma, parameters["relief"] * min(luma.shape)), parameters)


def _slopes(near: Plane, relief: float, flat: NDArray[np.bool_] | None = None) -> Pixels:
    """Turn nearness of 0 to 1 over `relief` pixels into colours of (left, top, front), UINT8 [h, w, 3]."""
    steepness = min(relief / _FRONT, _STEEPEST)
    parts: list[Plane] = []
    length: Plane = np.ones_like(near)
    for direction in ((1, 0), (0, 1)):
        slope: Plane = cv2.Sobel(near, cv2.CV_32F, *direction, ksize=3, scale=steepness).astype(np.float32, copy=False)
        if flat is not None:
            slope[flat] = 0
        cv2.accumulateSquare(slope, length)
        parts.append(slope)
    np.sqrt(length, out=length)
    colours = np.empty((*near.shape, 3), np.uint8)
    for channel, slope in enumerate((*parts, np.ones_like(near))):
        slope /= length
        slope *= 127.5
        slope += 127.5
        colours[..., channel] = slope
    return colours


def _coloured(hint: Pixels, parameters: Mapping[str, float]) -> Pixels:
    return np.ascontiguousarray(hint[..., ::-1]) if parameters["red_front"] else hint


NORMAL = ControlType(
    kind="normal",
    description="Directions of surfaces as colours: redder to the left, greener to the top, bluer to the front; with "
    "red_front, red and blue are exchanged.",
    extractors=(
        Learned(
            name="model",
            description="Surface directions by the annotator.",
            source="Bae et al. 2021; controlnet_aux's NormalBaeDetector",
            parameters=(DETECT_RESOLUTION, _RED_FRONT),
            heads=("normal",),
            annotate=drawn("normal", draw),
            how_to_get="python -m export annotator normal lllyasviel/Annotators:scannet.pt",
        ),
        Learned(
            name="from_depth",
            description="Slopes of the depth that an annotator finds; flat in the background.",
            source="Ranftl et al. 2020 (MiDaS); controlnet_aux's MidasDetector",
            parameters=(DETECT_RESOLUTION, _BACKGROUND, _RELIEF, _RED_FRONT),
            heads=("depth",),
            annotate=drawn("depth", draw_from_depth),
            how_to_get=DEPTH_HOW_TO_GET,
        ),
        Algorithm(
            name="luminance",
            description="Slopes of the picture's brightness, as if light were near.",
            source="Sobel",
            parameters=(
                Parameter("sigma", "Standard deviation of a blur before, pixels.", 0.5, 16, 2),
                Parameter(
                    "relief",
                    "Depth from black to white as a multiple of the picture's shorter side; more is steeper.",
                    0,
                    16,
                    0.25,
                ),
                _RED_FRONT,
            ),
            extract=extract,
            stand_in=True,
        ),
    ),
    ready=Ready(
        on_black=True,
        colours="a normal hint has the directions of surfaces as colours: if its values are distances, send it "
        "as depth",
    ),
    controlnets={
        "sd15": ("lllyasviel/control_v11p_sd15_normalbae", "lllyasviel/sd-controlnet-normal"),
        "sdxl": ("xinsir/controlnet-union-sdxl-1.0",),
        "flux": ("jasperai/Flux.1-dev-Controlnet-Surface-Normals",),
    },
)
