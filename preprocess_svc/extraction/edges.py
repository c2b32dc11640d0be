"""Soft edges found by annotators: shared by the kinds hed and softedge."""

from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.annotators import Seen
from preprocess_svc.extraction.channels import tripled
from preprocess_svc.extraction.control import DETECT_RESOLUTION, Learned, Parameter
from preprocess_svc.extraction.maps import Drawing, drawn, grey_levels, numbers, resized

_PARAMETERS = (
    DETECT_RESOLUTION,
    Parameter("safe", "1 for three grey levels only, which hide the details of faint edges.", 0, 1, 0, whole=True),
    Parameter("scribble", "1 for the ridges of the edges as thick strokes, 255 or 0.", 0, 1, 0, whole=True),
)
_SAFE_STEPS = 2
# As in the library's scribbles: level of a ridge, blur in pixels, and level of the second blur that becomes ink.
_RIDGE, _RIDGE_SIGMA, _INK = 127, 3.0, 4
_DIRECTIONS = tuple(
    np.array(kernel, np.uint8)
    for kernel in (
        [[0, 0, 0], [1, 1, 1], [0, 0, 0]],
        [[0, 1, 0], [0, 1, 0], [0, 1, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
    )
)


def drawing(name: str) -> Drawing:
    """A Drawing of the map `name`: the probability of an edge, 0 to 1, as grey levels.

    The rule of controlnet_aux's HEDdetector and PidiNetDetector. Returns UINT8 [height, width, 3], white edges of 0 to
    255 on black, three equal channels. Taken by lllyasviel/sd-controlnet-hed and lllyasviel/control_v11p_sd15_softedge;
    with `scribble` by lllyasviel/control_v11p_sd15_scribble.
    """

    def draw(seen: Seen, size: tuple[int, int], parameters: Mapping[str, float]) -> Pixels:
        edges = numbers(seen, name)
        if parameters["safe"]:
            edges = np.floor(edges * np.float32(_SAFE_STEPS + 1)) / np.float32(_SAFE_STEPS)
        hint = resized(grey_levels(edges), size)
        return tripled(_scribbled(hint) if parameters["scribble"] else hint)

    return draw


def _scribbled(edges: Pixels) -> Pixels:
    blurred = cv2.GaussianBlur(edges.astype(np.float32), (0, 0), _RIDGE_SIGMA)
    ridge = np.zeros(edges.shape, bool)
    for direction in _DIRECTIONS:
        ridge |= cv2.dilate(blurred, direction) == blurred
    ridge &= blurred > _RIDGE
    ink = cv2.GaussianBlur(np.multiply(ridge, 255, dtype=np.uint8), (0, 0), _RIDGE_SIGMA) > _INK
    return np.multiply(ink, 255, dtype=np.uint8)


BY_HED = Learned(
    name="hed",
    description="Soft edges by the annotator, drawn by HED's rule.",
    source="Xie and Tu 2015; controlnet_aux's HEDdetector",
    parameters=_PARAMETERS,
    heads=("hed",),
    annotate=drawn("hed", drawing("hed")),
    how_to_get="python -m export annotator hed lllyasviel/Annotators:ControlNetHED.pth",
)
BY_PIDINET = Learned(
    name="pidinet",
    description="Soft edges by the annotator, drawn by PiDiNet's rule.",
    source="Su et al. 2021; controlnet_aux's PidiNetDetector",
    parameters=_PARAMETERS,
    heads=("softedge",),
    annotate=drawn("softedge", drawing("softedge")),
    how_to_get="python -m export annotator softedge lllyasviel/Annotators:table5_pidinet.pth",
)
