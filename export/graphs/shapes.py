"""Reshapes that become one ONNX node.

Tracing `x.reshape(x.shape[0], 4, -1)` writes a chain of Shape, Gather and Concat nodes; a small graph then spends a
tenth of its time on them. ONNX can say "copy this dimension" (0) and "the shape of that tensor" directly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Copying(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        return x.reshape([x.shape[i] if side == 0 else side for i, side in enumerate(shape)])

    @staticmethod
    def symbolic(g: Any, x: Any, shape: tuple[int, ...]) -> Any:
        return g.op("Reshape", x, g.op("Constant", value_t=torch.tensor(shape, dtype=torch.int64)))


class _Like(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, like: Tensor) -> Tensor:
        return x.reshape(like.shape)

    @staticmethod
    def symbolic(g: Any, x: Any, like: Any) -> Any:
        return g.op("Reshape", x, g.op("Shape", like))


def reshape(x: Tensor, *shape: int) -> Tensor:
    """`x` in a shape of constants, where 0 copies the dimension of `x` at the same place and one -1 is the rest."""
    reshaped: Tensor = _Copying.apply(x, shape)
    return reshaped


def reshape_like(x: Tensor, like: Tensor) -> Tensor:
    """`x` in the shape of `like`."""
    reshaped: Tensor = _Like.apply(x, like)
    return reshaped
