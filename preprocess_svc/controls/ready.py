"""Ready hints: what a caller's own map must look like, recognised and put right where that is certain."""

from dataclasses import dataclass

from mesh.pictures import Pixels


@dataclass(frozen=True, slots=True)
class Ready:
    """What a kind's ready hints look like.

    Args:
        grey: its three channels are equal.
        light_on_dark: its strokes are light on a dark ground, and most of it is ground.
    """

    grey: bool = False
    light_on_dark: bool = False

    def put_right(self, kind: str, hint: Pixels) -> tuple[Pixels, tuple[str, ...]]:
        """The hint as the ControlNet wants it, UINT8 [h, w, 3], and remarks on what was changed or looks wrong."""
        return hint, ()
