"""Dark lines on white paper, drawn by annotators: shared by the kinds lineart and lineart_anime."""

from collections.abc import Mapping

import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.annotators import Seen
from preprocess_svc.extraction.channels import tripled
from preprocess_svc.extraction.maps import Drawing, grey_levels, numbers, resized


def drawing(name: str) -> Drawing:
    """A Drawing of the map `name`: paper, 0 dark line to 1 blank, inverted.

    The rule of controlnet_aux's LineartDetector and LineartAnimeDetector. Returns UINT8 [height, width, 3], white
    strokes of 0 to 255 on black, three equal channels. Taken by lllyasviel/control_v11p_sd15_lineart and
    lllyasviel/control_v11p_sd15s2_lineart_anime.
    """

    def draw(seen: Seen, size: tuple[int, int], parameters: Mapping[str, float]) -> Pixels:
        paper = resized(grey_levels(numbers(seen, name)), size)
        return tripled(np.subtract(255, paper, out=paper))

    return draw
