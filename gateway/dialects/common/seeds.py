"""Seeds of up to 64 bits, as clients draw them, in dialects whose vendors take more than the mesh's 32."""

from families.limits import SEED
from gateway.generation import numbers

_COUNT = int(SEED.maximum) + 1
EXPECTED = "a whole number of at most 64 bits"


def whole(value: object) -> int | None:
    """A seed in any spelling, 7, 7.0 or "7", as a whole number of at most 64 bits; None if it is none."""
    number = numbers.whole(numbers.written(value) if isinstance(value, str) else value)
    return number if number is not None and abs(number) < 2**64 else None


def kept(name: str, number: int, remarks: list[str]) -> int:
    """The seed for `number`, which is not negative: modulo 2^32, with a remark if that is another one."""
    seed = number % _COUNT
    if seed != number:
        remarks.append(f"{name} was taken modulo 2^32: {seed}.")
    return seed
