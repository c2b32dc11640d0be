"""What decoder processes do with a client's picture: decode it and fit it, so that only the fitted pixels travel.

Nothing here imports a model's or a server's code: decoder processes are small.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from mesh.pictures import Ground, Pixels, Traits, decode, encode_as, inspect, resize

Fit = Callable[[Pixels, tuple[int, int]], Pixels]
"""(picture UINT8 [h, w, 3], (width, height)) -> UINT8 [height, width, 3]."""

# Luma from which on a mask's pixel is white.
_WHITE = 128


@dataclass(frozen=True, slots=True)
class FittedMask:
    """A mask at its picture's size.

    Attributes:
        pixels: UINT8 [height, width]: 255 repaint, 0 keep.
        brightest: its greatest luma before it became black and white, 0 to 255.
        traits: of the file.
    """

    pixels: Pixels
    brightest: int
    traits: Traits


def fitted(content: bytes, size: tuple[int, int], fit: Fit, *, field: str, ground: Ground) -> tuple[Pixels, Traits]:
    """Decode a picture and `fit` it to (width, height). Raises InvalidInput as mesh.pictures.decode."""
    cv2.setNumThreads(1)
    pixels, traits = inspect(content, field=field, ground=ground)
    return np.ascontiguousarray(fit(pixels, size)), traits


def fitted_mask(content: bytes, size: tuple[int, int], *, field: str) -> FittedMask:
    """Decode a mask at the picture's size, as the mask processor of diffusers' inpainting pipelines does.

    VaeImageProcessor(do_normalize=False, do_binarize=True, do_convert_grayscale=True): Lanczos, then grey (ITU-R 601-2
    luma), then white from 128 on. Transparent pixels are black: a pixel is its light times its opacity.

    Args:
        content: PNG, JPEG or WebP file.
        size: (width, height) in pixels.
        field: name of the request's field, for errors.

    Raises:
        InvalidInput: the picture is broken, too large or of an unknown format.
    """
    pixels, traits = inspect(content, field=field, ground=Ground.BLACK)
    grey = np.asarray(Image.fromarray(resize(pixels, *size)).convert("L"))
    return FittedMask(np.where(grey >= _WHITE, 255, 0).astype(np.uint8), int(grey.max()), traits)


def fit_source(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize a picture to extract from, UINT8 [h, w, 3], to (width, height): Lanczos to enlarge, else area means.

    The rule of the ControlNet annotators' `resize_image` (controlnet_aux, the Hugging Face handler's hinter), bit for
    bit: thresholds tuned on pictures shrunk by area find different edges in those that Pillow's Lanczos sharpens.
    """
    if picture.shape[1::-1] == size:
        return picture
    grows = min(size) > min(picture.shape[:2])
    fitted = cv2.resize(picture, size, interpolation=cv2.INTER_LANCZOS4 if grows else cv2.INTER_AREA)
    return fitted.astype(np.uint8, copy=False)


def converted(content: bytes, square: bool, format: str, *, field: str) -> tuple[bytes, int, int]:
    """Write a picture anew in `format`, Pillow's name of it; `square` keeps only the square in its middle.

    Returns the file, its width and its height. Raises InvalidInput as mesh.pictures.decode.
    """
    pixels = decode(content, field=field)
    height, width = pixels.shape[:2]
    if square:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
        height = width = side
    return encode_as(pixels, format), width, height
