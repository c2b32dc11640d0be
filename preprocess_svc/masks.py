"""Masks: white where the picture is to be repainted, black elsewhere."""

import numpy as np
from PIL import Image

from mesh.pictures import Pixels, decode, resize


def fit_mask(content: bytes, size: tuple[int, int], field: str = "mask") -> Pixels:
    """Decode a mask at the picture's size, as the mask processor of diffusers' inpainting pipelines does.

    VaeImageProcessor(do_normalize=False, do_binarize=True, do_convert_grayscale=True): Lanczos, then grey (ITU-R 601-2
    luma), then white from 128 on. Transparent pixels count as white.

    Args:
        content: PNG, JPEG or WebP file.
        size: (width, height) in pixels.
        field: name of the request's field, for errors.

    Returns:
        UINT8 [height, width]: 255 repaint, 0 keep.

    Raises:
        InvalidInput: the picture is broken, too large or of an unknown format.
    """
    fitted = resize(decode(content, field=field), *size)
    grey = np.asarray(Image.fromarray(fitted).convert("L"))
    return np.where(grey >= 128, 255, 0).astype(np.uint8)


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
