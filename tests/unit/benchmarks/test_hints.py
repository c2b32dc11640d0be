"""The comparison of hints, on sides whose answers are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.hints import Pair, compared, photo

Pixels = NDArray[np.uint8]


class Clock:
    """Goes on as the sides say."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Side:
    """Adds `levels` to the first pixel; `seconds` pass on the clock, one entry a call, the last one for good."""

    def __init__(self, clock: Clock, *seconds: float, levels: int = 0) -> None:
        self.calls = 0
        self._clock, self._seconds, self._levels = clock, seconds, levels

    def __call__(self, picture: Pixels) -> Pixels:
        self._clock.now += self._seconds[min(self.calls, len(self._seconds) - 1)]
        self.calls += 1
        made = picture.copy()
        made[0, 0, 0] ^= self._levels
        return made


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [(1, 2), (2, 2), (6, 3), (9, 4), (12, 5), (600, 8)],  # the first fills caches and doesn't count
)
def test_both_sides_take_turns_until_there_is_no_time_or_no_point(seconds: float, rounds: int) -> None:
    clock = Clock()
    theirs, ours = Side(clock, 2), Side(clock, 1)
    row = compared(Pair("three seconds a round", theirs, ours), 64, seconds, clock)
    assert theirs.calls == ours.calls == rounds
    assert ("one round" in row) == (rounds == 2)


def test_the_ratio_says_how_many_times_as_fast_ours_is() -> None:
    clock = Clock()
    theirs, ours = Side(clock, 9, 2, 3, 4, levels=0), Side(clock, 9, 1, 1, 1)
    row = compared(Pair("cold once", theirs, ours, most=3), 64, 60, clock)
    assert row == "64 | 3000.0 | 1000.0 | **3.00** (2.00-4.00) | equal"


def test_differences_of_the_maps_are_told() -> None:
    clock = Clock()
    row = compared(Pair("off", Side(clock, 1), Side(clock, 1, levels=4)), 64, 1, clock)
    assert row.endswith("up to 4, in 1 of 4,096 px")


def test_the_picture_is_the_same_every_time_and_has_grain() -> None:
    first = photo(128)
    np.testing.assert_array_equal(photo(128), first)
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 5000
