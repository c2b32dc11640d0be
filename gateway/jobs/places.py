"""Places for the pictures in the mesh, which owners share evenly.

Nobody is interrupted, so turns alone would let an owner's long jobs keep all places from whoever comes next. Of several
owners none holds more than some times what it leaves free (dynamic thresholds, Choudhury and Hahne, 1998): there is a
place for the next one, however many there are.
"""

import math

from gateway.generation.generation import Generation, Task
from mesh.fair_places import Caller, FairPlaces

_STEPS, _PIXELS = 20, 512 * 512
_MOST_OF_FREE = 3
"""How many times the places that it leaves free an owner may hold: three quarters of all, if it is alone."""


def cost(generation: Generation, task: Task) -> int:
    """The work of a job in pictures of 20 steps and 512 × 512 pixels, at least one a picture."""
    if task == Task.HINT:
        return 1
    pixels = (generation.width or 512) * (generation.height or 512)
    return generation.samples * max(1, math.ceil(generation.planned_steps / _STEPS * pixels / _PIXELS))


class Places(FairPlaces):
    """An owner that holds none may take what is free. One that holds some leaves the others a place.

    Args:
        places: their number; no caller may acquire more at once.
        everybody: the one owner who need not leave others a place, as where no keys are asked for.

    Attributes:
        number: of all places, free or not.
    """

    def __init__(self, places: int, everybody: str = "") -> None:
        super().__init__()
        self.number = places
        self._everybody = everybody

    @property
    def _free(self) -> int:
        return self.number - self.held.total()

    def may(self, caller: Caller) -> bool:
        """See FairPlaces."""
        held, left = self.held[caller.owner], self._free - caller.places
        return caller.owner == self._everybody or not held or held + caller.places <= _MOST_OF_FREE * left

    def fits(self, caller: Caller) -> bool:
        """See FairPlaces."""
        return caller.places <= self._free
