"""Modules whose weights take no memory, until they are filled from their files.

A hollow weight is one number that is spread over the weight's shape. Tracers see a whole weight. (torch's meta device
would do the same, but its kernels don't run under the tracing exporter.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from export.stored import RESIDENT, Weight

_SHADES = 1_000_000
_numbers = itertools.count()


def make(module: Any, weights: Mapping[str, Weight]) -> None:
    """Make a module that is on the meta device hollow.

    Args:
        module: its parameters are those of `weights`, which has at least one of the names of a shared one.
        weights: by the names of the module's parameters.
    """
    made: dict[int, nn.Parameter] = {}
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None:
                if id(parameter) not in made:
                    made[id(parameter)] = _spread(next(weights[n] for n in names[id(parameter)] if n in weights))
                owner._parameters[name] = made[id(parameter)]
        for name, buffer in owner._buffers.items():
            if buffer is not None and buffer.is_meta:
                # The only buffer of these libraries' classes: CLIP's numbers of its positions.
                assert name == "position_ids", name
                owner._buffers[name] = torch.arange(buffer.shape[-1]).expand(buffer.shape)


def _spread(weight: Weight) -> nn.Parameter:
    # Each has a number of its own: an exporter may take equal ones for one and the same.
    number = 1e-3 + 1e-6 * (next(_numbers) % _SHADES)
    parameter = nn.Parameter(torch.full((1,), number).expand(weight.shape), requires_grad=False)
    parameter.stored = weight  # type: ignore[attr-defined]
    return parameter


def stored(parameter: Tensor) -> Weight:
    """What a hollow parameter stands for."""
    weight: Weight = parameter.stored  # type: ignore[attr-defined]
    return weight


def weights(module: nn.Module, once: bool = False) -> dict[str, Weight]:
    """The hollow weights of `module` by their names; shared ones by each of these, or only the first (`once`)."""
    named = module.named_parameters(remove_duplicate=once)
    return {name: stored(parameter) for name, parameter in named if hasattr(parameter, "stored")}


def size(*modules: nn.Module) -> int:
    """Bytes of all hollow weights of `modules` in FP32."""
    found = {id(p): stored(p) for module in modules for p in module.parameters() if hasattr(p, "stored")}
    return sum(weight.bytes for weight in found.values())


@contextmanager
def filled(*modules: nn.Module, resident: int = RESIDENT) -> Iterator[None]:
    """Within it, hollow `modules` compute with their weights. If these take more than `resident` bytes together, they
    are read anew for each call, a layer at a time."""
    with ExitStack() as stack:
        if size(*modules) <= resident:
            known: dict[int, nn.Parameter] = {}
            for owner in _owners(modules):
                stack.enter_context(_fill(owner, known))
        else:
            for owner in _owners(modules, whole=(nn.MultiheadAttention,)):
                for handle in _hooked(owner):
                    stack.callback(handle.remove)
        yield


def _owners(modules: tuple[nn.Module, ...], whole: tuple[type, ...] = ()) -> list[nn.Module]:
    """Modules with hollow weights of their own; those of the classes `whole` stand for all that is in them."""
    found: dict[int, nn.Module] = {}
    inside: set[int] = set()
    for module in modules:
        for owner in module.modules():
            if isinstance(owner, whole):
                inside |= {id(child) for child in owner.modules()} - {id(owner)}
            if id(owner) not in inside and any(hasattr(p, "stored") for p in owner._parameters.values()):
                found[id(owner)] = owner
    return list(found.values())


@contextmanager
def _fill(owner: nn.Module, known: dict[int, nn.Parameter]) -> Iterator[None]:
    hollow = {name: p for name, p in owner._parameters.items() if p is not None and hasattr(p, "stored")}
    for name, parameter in hollow.items():
        if id(parameter) not in known:
            known[id(parameter)] = nn.Parameter(stored(parameter).read(), requires_grad=False)
        owner._parameters[name] = known[id(parameter)]
    try:
        yield
    finally:
        owner._parameters.update(hollow)


def _hooked(owner: nn.Module) -> list[Any]:
    """Hooks that fill `owner` while it computes. Attention of torch's own reads its output layer's weights without
    calling the layer, so all that is in it is filled."""
    inner = list(owner.modules()) if isinstance(owner, nn.MultiheadAttention) else [owner]
    stack = ExitStack()

    def fill(*_: Any) -> None:
        for module in inner:
            stack.enter_context(_fill(module, {}))

    def drain(*_: Any) -> None:
        stack.close()

    return [owner.register_forward_pre_hook(fill), owner.register_forward_hook(drain, always_call=True)]
