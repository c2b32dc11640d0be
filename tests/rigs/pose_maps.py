"""OpenPose's maps of people that are drawn by hand: what its network would say of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from families.annotators import HEADS
from mesh.pictures import Pixels
from preprocess_svc.annotators import Annotators, Seen
from preprocess_svc.pose.skeleton import AFFINITIES, LIMBS, PARTS
from tests.rigs.annotator_maps import card

Figure = dict[int, tuple[float, float]]
Maps = NDArray[np.float32]
Network = Callable[[Pixels], tuple[Maps, ...]]
"""The picture that a network sees, UINT8 RGB -> the outputs of its head."""


class Networks(Annotators):
    """Annotators that are functions.

    Args:
        networks: by head.
        side: of the card.

    Attributes:
        seen: (head, picture) of all that was asked.
    """

    def __init__(self, networks: Mapping[str, Network], side: int = 512) -> None:
        super().__init__([msgspec.structs.replace(card(list(networks)), side=side)])
        self._networks = networks
        self.seen: list[tuple[str, Pixels]] = []

    async def infer(self, head: str, fitted: Pixels) -> Seen:
        self.seen.append((head, fitted))
        served = self.card(head)
        assert served is not None
        outputs = self._networks[head](fitted)
        for output in outputs:
            output.setflags(write=False)
        return Seen({of.name: output for of, output in zip(HEADS[head], outputs, strict=True)}, fitted, served)


# x and y of the 18 parts, shares of a person's width and height.
_STANDING = (
    *((0.5, 0.08), (0.5, 0.2)),
    *((0.36, 0.21), (0.24, 0.36), (0.14, 0.5)),
    *((0.64, 0.21), (0.77, 0.35), (0.87, 0.49)),
    *((0.42, 0.52), (0.4, 0.74), (0.38, 0.95)),
    *((0.58, 0.52), (0.6, 0.74), (0.63, 0.95)),
    *((0.44, 0.05), (0.56, 0.05), (0.37, 0.07), (0.63, 0.07)),
)


def standing(left: float, top: float, width: float, height: float) -> Figure:
    """Someone upright in a box of the picture: part -> (x, y), pixels."""
    return {part: (left + x * width, top + y * height) for part, (x, y) in enumerate(_STANDING)}


def blot(cells: tuple[int, int], at: tuple[float, float], radius: float) -> NDArray[np.float64]:
    """A Gaussian of height 1 on a map of (height, width) cells; `at` is (x, y) in cells."""
    y, x = np.mgrid[: cells[0], : cells[1]]
    return np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * radius**2))


def body_maps(
    figures: Iterable[Figure],
    size: tuple[int, int],
    cells: tuple[int, int],
    seen: tuple[int, int],
    noise: float = 0.0,
) -> tuple[Maps, Maps]:
    """Affinities [38, h, w] and heatmaps [19, h, w] of figures.

    Args:
        figures: in a picture of `size`.
        size, seen: (height, width) of the picture and of what the network saw of it, pixels.
        cells: (height, width) of the maps.
        noise: deviation of what is added to each value.
    """
    random = np.random.default_rng(5)
    affinities, parts = np.zeros((38, *cells)), np.zeros((19, *cells))
    y, x = np.mgrid[: cells[0], : cells[1]].astype(np.float64)
    for figure in figures:
        # A pixel's centre is half a pixel from its corner, and a cell is 8 pixels of what the network saw.
        at = {
            part: np.array([(px + 0.5) * seen[1] / size[1], (py + 0.5) * seen[0] / size[0]]) / 8 - 0.5
            for part, (px, py) in figure.items()
        }
        for part, place in at.items():
            parts[part] = np.maximum(parts[part], blot(cells, (place[0], place[1]), 0.9))
        for (first, second), pair in zip(LIMBS, AFFINITIES, strict=True):
            if first not in at or second not in at:
                continue
            way = at[second] - at[first]
            length = np.hypot(*way)
            along = ((x - at[first][0]) * way[0] + (y - at[first][1]) * way[1]) / length
            beside = np.abs((x - at[first][0]) * way[1] - (y - at[first][1]) * way[0]) / length
            limb = (along > -0.5) & (along < length + 0.5) & (beside < 0.8)
            for axis, index in enumerate(pair):
                affinities[index][limb] = way[axis] / length
    parts[PARTS] = 1 - parts[:PARTS].max(0)
    for maps in (affinities, parts):
        maps += noise * random.standard_normal(maps.shape)
    return affinities.astype(np.float32), parts.astype(np.float32)


def point_maps(points: Sequence[tuple[float, float] | None], count: int, cells: int, radius: float = 1.2) -> Maps:
    """Heatmaps [count + 1, cells, cells] of a hand or a face; points are shares of its box, None for a missing one."""
    maps = np.zeros((count + 1, cells, cells))
    for heatmap, point in zip(maps, points, strict=False):
        if point is not None:
            heatmap += blot((cells, cells), (point[0] * cells - 0.5, point[1] * cells - 0.5), radius)
    # A level field has no highest place: what tells its cells apart is far above rounding and far below a point.
    maps[count] = 1 - maps[:count].max(0) - 1e-3 * np.random.default_rng(3).random((cells, cells))
    return maps.astype(np.float32)
