"""Masks: white where the picture is to be repainted, black elsewhere."""

import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.fitting import fitted_mask


def fit_mask(content: bytes, size: tuple[int, int], field: str = "mask") -> Pixels:
    """The mask of `fitted_mask`, UINT8 [height, width]: 255 repaint, 0 keep. Raises InvalidInput as that."""
    return fitted_mask(content, size, field=field).pixels


def mark(picture: Pixels, mask: Pixels) -> Pixels:
    """Add the mask to `picture` as its fourth channel, with black where the mask is set.

    Args:
        picture: UINT8 [h, w, 3].
        mask: UINT8 [h, w], 255 or 0.

    Returns:
        UINT8 [h, w, 4]. The ControlNet's graph puts -1 in place of the black, as diffusers' `make_inpaint_condition`.
    """
    marked = np.dstack([picture, mask])
    marked[mask > 0, :3] = 0
    return marked
