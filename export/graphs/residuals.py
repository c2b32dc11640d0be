"""`<model>_no_control` and `<model>_add_residuals`: the arithmetic between ControlNets and the UNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from families.tensors import Dim, stride_of


class NoControl(nn.Module):
    """Zeros in the residuals' shapes: a step outside every control's window goes through the same UNet graph."""

    def __init__(self, residuals: tuple[tuple[Dim, ...], ...]) -> None:
        super().__init__()
        self.residuals = [(int(channels), stride_of(height)) for _, channels, height, _ in residuals]

    def forward(self, sample: Tensor, text: Tensor) -> tuple[Tensor, ...]:
        """sample FP32 [B,4,h,w], text FP32 [B,R,T,D] -> n residuals FP32 [B,R,C_i,ceil(h/s_i),ceil(w/s_i)]."""
        batch, rows = text.shape[0], text.shape[1]
        height, width = sample.shape[2], sample.shape[3]
        return tuple(
            torch.zeros(batch, rows, channels, (height + stride - 1) // stride, (width + stride - 1) // stride)
            for channels, stride in self.residuals
        )


class AddResiduals(nn.Module):
    """The sum of two ControlNets' residuals, as diffusers' MultiControlNetModel forms it."""

    def forward(self, *addends: Tensor) -> tuple[Tensor, ...]:
        """a_0..a_{n-1}, b_0..b_{n-1}, each FP32 [B,R,C_i,h_i,w_i] -> n sums of the same shapes."""
        half = len(addends) // 2
        return tuple(a + b for a, b in zip(addends[:half], addends[half:], strict=True))
