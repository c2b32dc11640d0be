"""Find the points of a face in the face network's maps."""

import numpy as np
from numpy.typing import NDArray

from mesh.pictures import Pixels
from preprocess_svc.pose.fitting import resized
from preprocess_svc.pose.resampling import between_corners

SIDE = 384
"""Side at which the network sees every face, pixels."""

_THRESHOLD = 0.05


def face_picture(crop: Pixels) -> Pixels:
    """The face network's input from the crop of a face's box: UINT8 [384, 384, 3]."""
    return resized(crop, (SIDE, SIDE))


def face_points(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.intp]:
    """Find the points of one face, by the rule of controlnet_aux's Face: where each map is highest.

    The last map, of the background, gives a point as well: the library draws it, so ControlNets were trained with it.

    Args:
        maps: FLOAT32 [71, h, w].
        size: (height, width) of the face's box in the picture, pixels.

    Returns:
        INT [n, 2], x and y in the box, pixels; n at most 71: points that were not found are omitted.
    """
    rows, columns = (between_corners(cells, goal) for cells, goal in zip(maps.shape[1:], size, strict=True))
    found = [point for heatmap in maps.astype(np.float64) if (point := _highest(heatmap, rows, columns)) is not None]
    return np.array(found, np.intp).reshape(-1, 2)


def _highest(
    heatmap: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[int, int] | None:
    """x and y of the maximum of `rows @ heatmap @ columns.T`; None if it is not above the threshold."""
    # The value nearest to the highest cell is a lower bound: a point above it has a neighbouring cell above it.
    y, x = np.unravel_index(np.argmax(heatmap), heatmap.shape)
    floor = rows[np.argmax(rows[:, y])] @ heatmap @ columns[np.argmax(columns[:, x])]
    cells = heatmap >= floor
    near_y, near_x = (
        np.flatnonzero(matrix[:, used].any(1)) for matrix, used in ((rows, cells.any(1)), (columns, cells.any(0)))
    )
    field = rows[near_y] @ heatmap @ columns[near_x].T
    at_y, at_x = np.unravel_index(np.argmax(field), field.shape)
    return (int(near_x[at_x]), int(near_y[at_y])) if field[at_y, at_x] > _THRESHOLD else None
