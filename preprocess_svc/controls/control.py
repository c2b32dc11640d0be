"""What a control type is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from families.graphs import MASKED_CONTROLS
from mesh.errors import InvalidInput
from mesh.pictures import Pixels


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number that tunes an extractor: its name, meaning and unit, range and default; `whole` for whole numbers."""

    name: str
    description: str
    minimum: float
    maximum: float
    default: float
    whole: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` is allowed; NaN never is."""
        return self.minimum <= value <= self.maximum and (not self.whole or float(value).is_integer())

    def __str__(self) -> str:
        return f"{'a whole number, ' if self.whole else ''}{self.minimum:g} to {self.maximum:g}"


@dataclass(frozen=True, slots=True)
class ControlType:
    """One kind of control.

    Args:
        kind: name in requests and of the ControlNet.
        description: what its hint looks like, one sentence.
        parameters: what its extractor takes.
        extract: (picture UINT8 [h, w, 3], every parameter by name) -> hint UINT8 [h, w, 3]; None where only ready hints
            are taken.
        how_to_get: for a kind without extractor, what the caller can do instead.
    """

    kind: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    extract: Callable[[Pixels, Mapping[str, float]], Pixels] | None = None
    how_to_get: str = ""

    @property
    def reads_mask(self) -> bool:
        """Whether a mask goes with the hint, as its fourth channel; `extract` neither sees nor makes it."""
        return self.kind in MASKED_CONTROLS

    def settle(self, given: Mapping[str, float], at: str = "parameters") -> dict[str, float]:
        """Every parameter's value: the given one, else the default. `at` is where they stand in the request.

        Raises:
            InvalidInput: a name that the kind doesn't take, or a value out of range.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                takes = ", ".join(known) or "none"
                raise InvalidInput(
                    f"control {self.kind!r} takes no parameter {name!r}; it takes: {takes}", field=f"{at}.{name}"
                )
            if not known[name].holds(value):
                raise InvalidInput(f"{name} must be {known[name]}, not {value:g}", field=f"{at}.{name}")
        return {name: given.get(name, parameter.default) for name, parameter in known.items()}
