"""Find people in the body network's maps: peaks of the parts, limbs between the peaks, people from the limbs."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocess_svc.pose.resampling import Matrix, blurred, gain, stretch
from preprocess_svc.pose.skeleton import AFFINITIES, DRAWN_LIMBS, LIMBS, PARTS

Map = NDArray[np.float32]

MOST_PEAKS = 96
"""Most peaks of one part, the highest: bounds the pairs to try in a picture full of false peaks."""
MOST_PEOPLE = 32
"""Most people in a picture, those with the best scores."""

_SIGMA = 3.0
_PEAK = 0.1
_ALONG = 10
"""Points along a limb at which the affinities are read."""
_AFFINITY, _AGREEING = 0.05, 0.8
_FEWEST_PARTS, _LEAST_SCORE = 4, 0.4
_NONE, _GONE = -1, -2


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One person found.

    Attributes:
        points: FLOAT64 [18, 2], x and y in pixels of the picture; NaN where a part was not found.
        score: sum over the parts and limbs.
    """

    points: NDArray[np.float64]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class _Peaks:
    """Peaks of one part in reading order: position, INT [n, 2] (x, y), and height in the map before the blur."""

    where: NDArray[np.intp]
    heights: NDArray[np.float64]


class _Link(NamedTuple):
    """One limb: the peaks of its first and second part that it joins, and its score."""

    first: int
    second: int
    score: float


def find_people(affinities: Map, parts: Map, seen: tuple[int, int], size: tuple[int, int]) -> list[Person]:
    """Find the people of a picture, by the rule of controlnet_aux's Body.

    Up to 96 peaks of each part and 32 people are kept; the library keeps all. If one limb would join three or more
    people, the first two are joined; the library fails.

    Args:
        affinities: FLOAT32 [38, h, w], of the limbs.
        parts: FLOAT32 [19, h, w], heatmaps of the parts and the background; cells of both maps are 8 pixels wide.
        seen: (height, width) of what the network saw without padding, pixels.
        size: (height, width) of the picture in which the points are given, pixels.
    """
    shrinks = sum(size) < sum(seen)
    rows, columns = (
        stretch(cells, inside, goal, shrinks) for cells, inside, goal in zip(parts.shape[1:], seen, size, strict=True)
    )
    soft_rows, soft_columns = blurred(rows, _SIGMA), blurred(columns, _SIGMA)
    peaks = []
    for part in parts[:PARTS].astype(np.float64):
        where = _peaks(part, soft_rows, soft_columns)
        heights = ((rows[where[:, 1]] @ part) * columns[where[:, 0]]).sum(1)
        peaks.append(_Peaks(where, heights))
    links = [
        _links(peaks[first], peaks[second], affinities[list(pair)].astype(np.float64), rows, columns)
        for (first, second), pair in zip(LIMBS, AFFINITIES, strict=True)
    ]
    return _assembled(peaks, links)


def _peaks(part: Matrix, rows: Matrix, columns: Matrix) -> NDArray[np.intp]:
    """Where the blurred heatmap is above the threshold and not below any of its four neighbours: INT [n, 2] (x, y)."""
    half = rows @ part
    # Rows and columns in which nothing can reach the threshold are not computed.
    top, bottom = _span(np.abs(half).max(1) * gain(columns) > _PEAK)
    left, right = _span(np.abs(columns @ part.T).max(1) * gain(rows) > _PEAK)
    field = half[top:bottom] @ columns[left:right].T
    peak = field > _PEAK
    # Everything outside is below the threshold.
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        peak[one] &= field[one] >= field[other]
        peak[other] &= field[other] >= field[one]
    y, x = np.nonzero(peak)
    if len(x) > MOST_PEAKS:
        kept = np.sort(np.argsort(-field[y, x], kind="stable")[:MOST_PEAKS])
        y, x = y[kept], x[kept]
    return np.stack([x + left, y + top], axis=1)


def _span(wanted: NDArray[np.bool_]) -> tuple[int, int]:
    """The range from the first to the last True; (0, 0) if there is none."""
    at = np.flatnonzero(wanted)
    return (int(at[0]), int(at[-1]) + 1) if at.size else (0, 0)


def _links(first: _Peaks, second: _Peaks, affinity: Matrix, rows: Matrix, columns: Matrix) -> list[_Link]:
    """The limbs between two parts, chosen greedily by score, each peak in at most one."""
    scores = _limb_scores(first, second, affinity, rows, columns)
    begins, ends = np.nonzero(scores > 0)
    best_first = np.argsort(-scores[begins, ends], kind="stable")
    joined: dict[int, int] = {}
    taken: set[int] = set()
    for begin, end in zip(begins[best_first].tolist(), ends[best_first].tolist(), strict=True):
        if begin not in joined and end not in taken:
            joined[begin] = end
            taken.add(end)
    return [_Link(begin, end, float(scores[begin, end])) for begin, end in joined.items()]


def _limb_scores(first: _Peaks, second: _Peaks, affinity: Matrix, rows: Matrix, columns: Matrix) -> Matrix:
    """How well the affinities follow each pair of peaks, FLOAT64 [n, m]; -inf where too few points agree.

    The mean of the component along the limb at ten points, minus a penalty for limbs longer than half the picture's
    height.
    """
    scores = np.full((len(first.where), len(second.where)), -np.inf)
    if not scores.size:
        return scores
    along_rows = rows @ affinity
    for index, begin in enumerate(first.where):
        way = (second.where - begin).astype(np.float64)
        length = np.maximum(np.hypot(way[:, 0], way[:, 1]), 0.001)
        x, y = (np.rint(np.linspace(begin[axis], second.where[:, axis], _ALONG)).astype(np.intp) for axis in (0, 1))
        # [2, points, m]: x and y of the affinity.
        field = np.einsum("dpmc,pmc->dpm", along_rows[:, y], columns[x])
        share = (field * (way / length[:, None]).T[:, None]).sum(0)
        score = share.mean(0) + np.minimum(0.5 * len(rows) / length - 1, 0)
        agrees = (share > _AFFINITY).sum(0) > _AGREEING * _ALONG
        scores[index, agrees] = score[agrees]
    return scores


def _assembled(peaks: list[_Peaks], links: list[list[_Link]]) -> list[Person]:
    """Assemble people: each limb extends the person that has one of its ends, joins two people, or starts a new one."""
    members = np.full((sum(map(len, links)), PARTS), _NONE)
    scores, counts = np.zeros(len(members)), np.zeros(len(members), np.intp)
    used = 0
    for number, ((first, second), found) in enumerate(zip(LIMBS, links, strict=True)):
        for link in found:
            end_score = peaks[second].heights[link.second] + link.score
            owners = np.flatnonzero((members[:used, first] == link.first) | (members[:used, second] == link.second))
            if len(owners) > 1 and not ((members[owners[0]] >= 0) & (members[owners[1]] >= 0)).any():
                one, other = owners[:2]
                members[one] = np.maximum(members[one], members[other])
                scores[one] += scores[other] + link.score
                counts[one] += counts[other]
                members[other] = _GONE
            elif len(owners):
                one = owners[0]
                # Of two people who share parts, the first gets the end even if it has it already.
                if len(owners) > 1 or members[one, second] != link.second:
                    members[one, second] = link.second
                    scores[one] += end_score
                    counts[one] += 1
            elif number < DRAWN_LIMBS:
                members[used, [first, second]] = link.first, link.second
                scores[used] = peaks[first].heights[link.first] + end_score
                counts[used] = 2
                used += 1
    whole = (members[:used] != _GONE).all(1) & (counts[:used] >= _FEWEST_PARTS)
    kept = np.flatnonzero(whole)
    kept = kept[scores[kept] / counts[kept] >= _LEAST_SCORE]
    best = np.sort(kept[np.argsort(-scores[kept], kind="stable")[:MOST_PEOPLE]])
    return [Person(_points(peaks, members[one]), float(scores[one])) for one in best]


def _points(peaks: list[_Peaks], member: NDArray[np.intp]) -> NDArray[np.float64]:
    points = np.full((PARTS, 2), np.nan)
    for part in np.flatnonzero(member >= 0):
        points[part] = peaks[part].where[member[part]]
    return points
