"""shuffle: the picture's colours and textures, moved out of place."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.pictures import Pixels
from preprocess_svc.extraction.control import Algorithm, ControlType, Parameter

_CELL = 256


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Fetch each pixel from where a smooth random field points.

    The rule of controlnet_aux's ContentShuffleDetector, without its resizing: after `numpy.random.seed(seed)` it gives
    the same hint.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: seed of the field, a whole number, 0 to 65535.

    Returns:
        UINT8 [h, w, 3] in colour, distorted beyond recognition. Taken by lllyasviel/control_v11e_sd15_shuffle.
    """
    height, width = picture.shape[:2]
    # The legacy generator on purpose: NumPy guarantees its stream, so a seed always gives the same hint, and
    # controlnet_aux uses it.
    random = np.random.RandomState(int(parameters["seed"]))
    columns = _field(random, height, width, width - 1)
    rows = _field(random, height, width, height - 1)
    return cv2.remap(picture, columns, rows, cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _field(random: np.random.RandomState, height: int, width: int, most: float) -> NDArray[np.float32]:
    """Smooth noise FLOAT32 [height, width] from 0 to `most`: cubic between random values 256 pixels or more apart."""
    cells = random.uniform(size=(height // _CELL + 2, width // _CELL + 2))
    field = _weights(height).T @ cells @ _weights(width)
    field -= field.min()
    field /= field.max() or 1.0
    field *= most
    return field.astype(np.float32)


def _weights(length: int) -> NDArray[np.float64]:
    """The weight of each random value at each pixel of a side, FLOAT64 [values, length].

    They are OpenCV's own: the unit vectors, resized to the side plus a margin of one cell at each end. Two products
    with them give the same as resizing the values, without the margins and in a quarter of the time.
    """
    count = length // _CELL + 2
    stretched = cv2.resize(np.eye(count), (length + 2 * _CELL, count), interpolation=cv2.INTER_CUBIC)
    return stretched[:, _CELL : _CELL + length].astype(np.float64, copy=False)


SHUFFLE = ControlType(
    kind="shuffle",
    description="The picture's colours and textures moved out of place by a smooth random field.",
    extractors=(
        Algorithm(
            name="content",
            description="Pixels fetched through a smooth random field.",
            source="controlnet_aux's ContentShuffleDetector",
            parameters=(Parameter("seed", "Seed of the field, a whole number.", 0, 65535, 0, whole=True),),
            extract=extract,
        ),
    ),
    controlnets={"sd15": ("lllyasviel/control_v11e_sd15_shuffle",)},
)
