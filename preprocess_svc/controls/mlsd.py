"""mlsd: the straight lines of the picture."""

import math
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.pictures import Pixels
from preprocess_svc.annotators import Seen
from preprocess_svc.extraction.channels import tripled
from preprocess_svc.extraction.control import DETECT_RESOLUTION, Algorithm, ControlType, Learned, Parameter
from preprocess_svc.extraction.maps import Plane, drawn, numbers, resized
from preprocess_svc.extraction.ready import Ready

# M-LSD: pixels per cell, most lines, and how many cells away a line's centre must have the highest score.
_CELL, _MOST, _REACH = 2, 200, 1
# A logit whose score is 0 or 1 in FLOAT32, and a place outside every picture to which OpenCV can still draw a line.
_SURE, _FAR = 80.0, 2.0**20

_SCALE, _SIGMA_SCALE = 0.8, 0.6
_ANGLE_TOLERANCE = 22.5


def draw(seen: Seen, size: tuple[int, int], parameters: Mapping[str, float]) -> Pixels:
    """Draw the lines of M-LSD's map at the size that the annotator saw, then resize to the hint's.

    The rule of controlnet_aux's MLSDdetector.

    Args:
        seen: with the map `lines`.
        size: of the hint, (width, height) in pixels.
        parameters: score_threshold and distance_threshold, as `find_lines`.

    Returns:
        UINT8 [height, width, 3], white lines one pixel wide on black, three equal channels; softer where the annotator
        saw the picture at another size. Taken by lllyasviel/sd-controlnet-mlsd and lllyasviel/control_v11p_sd15_mlsd.
    """
    ends = find_lines(numbers(seen, "lines"), parameters["score_threshold"], parameters["distance_threshold"])
    canvas = np.zeros(seen.picture.shape[:2], np.uint8)
    cv2.polylines(canvas, list(ends.astype(np.int32)), isClosed=False, color=255, thickness=1)
    return tripled(resized(canvas, size))


def find_lines(lines: Plane, least_score: float, least_length: float) -> NDArray[np.float64]:
    """Decode M-LSD's map (Gu et al., 2022): centres that score higher than the cells around them, each with two ends.

    Args:
        lines: FLOAT32 [5, h, w]: logit of a line's centre, then displacements (x, y) of its start and its end, cells.
        least_score: lines must score higher than this, 0 to 1; of those, the 200 best are kept.
        least_length: lines must be longer than this, cells.

    Returns:
        FLOAT64 [n, 2, 2]: (x, y) of start and end in pixels of the picture, two per cell; the best score first.
    """
    scores = 1 / (1 + np.exp(-np.clip(lines[0], -_SURE, _SURE)))
    neighbourhood = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    centres = np.flatnonzero((cv2.dilate(scores, neighbourhood) == scores) & (scores > least_score))
    surest = centres[np.argsort(-scores.ravel()[centres], kind="stable")[:_MOST]]
    y, x = np.divmod(surest, scores.shape[1])
    reaches = lines[1:, y, x].T.reshape(-1, 2, 2).astype(np.float64)
    long_enough = np.hypot(*(reaches[:, 0] - reaches[:, 1]).T) > least_length
    ends: NDArray[np.float64] = _CELL * (np.stack((x, y), axis=1)[:, None] + reaches)[long_enough]
    return np.clip(ends, -_FAR, _FAR, out=ends)


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Draw line segments found by LSD (von Gioi et al., IPOL 2012; OpenCV's createLineSegmentDetector) in the luma.

    This is not M-LSD, the network with which the ControlNet's training hints were drawn. LSD follows edges, so a thin
    stroke gets a line on either side, and it can't tell structure from texture: raise minimum_length if texture gets
    in the way. Lines are drawn as ControlNet's annotator draws those of M-LSD.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: minimum_length of a line as a share of the shorter side, 0 to 1; minimum_gradient across it, grey
            levels per pixel, 0.1 to 255 (5.2 in the paper).

    Returns:
        UINT8 [h, w, 3], 255 on lines one pixel wide and 0 elsewhere, three equal channels. Taken by
        lllyasviel/sd-controlnet-mlsd and lllyasviel/control_v11p_sd15_mlsd.
    """
    # LSD expects the error of a gradient instead, and divides it by this sine.
    error = parameters["minimum_gradient"] * math.sin(math.radians(_ANGLE_TOLERANCE))
    detector = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD, _SCALE, _SIGMA_SCALE, error, _ANGLE_TOLERANCE)
    found = detector.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[0]
    lines = np.zeros(picture.shape[:2], np.uint8)
    if found is not None:
        ends = found.reshape(-1, 2, 2)
        lengths = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
        kept = ends[lengths >= parameters["minimum_length"] * min(lines.shape)]
        cv2.polylines(lines, list(kept.astype(np.int32)), isClosed=False, color=255, thickness=1)
    return tripled(lines)


MLSD = ControlType(
    kind="mlsd",
    description="White straight lines, one pixel wide, on black; by the trained M-LSD if it is loaded, else by the "
    "line segment detector LSD.",
    extractors=(
        Learned(
            name="mlsd",
            description="Lines from the annotator's map of their centres and ends.",
            source="Gu et al. 2022; controlnet_aux's MLSDdetector",
            parameters=(
                DETECT_RESOLUTION,
                Parameter("score_threshold", "Score that a line must exceed.", 0, 1, 0.1),
                Parameter(
                    "distance_threshold",
                    "Length that a line must exceed, in cells of two pixels as the annotator sees it.",
                    0,
                    512,
                    0.1,
                ),
            ),
            heads=("mlsd",),
            annotate=drawn("mlsd", draw),
            how_to_get="python -m export annotator mlsd lllyasviel/Annotators:mlsd_large_512_fp32.pth",
        ),
        Algorithm(
            name="lsd",
            description="Line segments by the detector LSD; an algorithm.",
            source="von Gioi et al., IPOL 2012; OpenCV",
            parameters=(
                Parameter("minimum_length", "Shortest line to keep, share of the picture's shorter side.", 0, 1, 0.05),
                Parameter("minimum_gradient", "Least gradient across a line, grey levels per pixel.", 0.1, 255, 5.2),
            ),
            extract=extract,
        ),
    ),
    ready=Ready(grey=True, light_on_dark=True),
    controlnets={
        "sd15": (
            "lllyasviel/control_v11p_sd15_mlsd",
            "lllyasviel/sd-controlnet-mlsd",
        ),
        "sdxl": ("xinsir/controlnet-union-sdxl-1.0",),
    },
)
