"""Check that a graph and its `config.pbtxt` have the same tensors."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any


class SignatureError(Exception):
    """Graph and configuration differ; the message names every difference."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a graph. `dims` have -1 for a size that depends on the request."""

    name: str
    dtype: str
    """Triton's name of the type, such as TYPE_FP32."""
    dims: tuple[int, ...]


def declared(config: Mapping[str, Any], side: str) -> tuple[Tensor, ...]:
    """The tensors of `config["input"]` or `config["output"]`, with the batch dimension first if there is one."""
    batch = (-1,) if config.get("max_batch_size", 0) > 0 else ()
    return tuple(
        Tensor(entry["name"], entry["data_type"], batch + tuple(int(size) for size in entry["dims"]))
        for entry in config[side]
    )


def positions(names: Sequence[str], ports: Sequence[Set[str]]) -> dict[str, int]:
    """The position in `ports` of the port that has each name.

    Args:
        names: of a graph's inputs, or of its outputs, as its file has them.
        ports: all names of each port of the compiled graph.

    Raises:
        SignatureError: no port has a name.
    """
    found: dict[str, int] = {}
    for name in names:
        at = next((place for place, held in enumerate(ports) if name in held), None)
        if at is None:
            raise SignatureError(f"the compiled graph has no input or output {name!r}")
        found[name] = at
    return found


def require_match(config: Mapping[str, Any], inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Raise SignatureError unless the graph takes exactly the declared inputs and has every declared output."""
    wanted_in, wanted_out = declared(config, "input"), declared(config, "output")
    differences = [
        *_differences("input", wanted_in, inputs),
        *(
            f"the graph needs input {name!r}, which config.pbtxt does not list"
            for name in sorted({t.name for t in inputs} - {t.name for t in wanted_in})
        ),
        *_differences("output", wanted_out, outputs),
    ]
    if differences:
        raise SignatureError("; ".join(differences))


def _differences(side: str, wanted: Sequence[Tensor], found: Sequence[Tensor]) -> list[str]:
    by_name = {tensor.name: tensor for tensor in found}
    lines = []
    for tensor in wanted:
        other = by_name.get(tensor.name)
        if other is None:
            lines.append(f"config.pbtxt lists {side} {tensor.name!r}, which the graph does not have")
        elif other.dtype != tensor.dtype:
            lines.append(f"{side} {tensor.name!r} is {tensor.dtype} in config.pbtxt and {other.dtype} in the graph")
        elif not _fits(tensor.dims, other.dims):
            lines.append(
                f"{side} {tensor.name!r} is {list(tensor.dims)} in config.pbtxt and {list(other.dims)} in the graph"
            )
    return lines


def _fits(wanted: Sequence[int], found: Sequence[int]) -> bool:
    if len(wanted) != len(found):
        return False
    return all(a == b or -1 in (a, b) for a, b in zip(wanted, found, strict=True))
