"""Requests and rows: B requests carry R text rows each; the network sees B*R rows, request by request."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def split(x: Tensor, rows: int) -> Tensor:
    """[B*R, ...] -> [B, R, ...]."""
    return x.reshape(-1, rows, *x.shape[1:])


def merge(x: Tensor) -> Tensor:
    """[B, R, ...] -> [B*R, ...]."""
    return x.flatten(0, 1)


def repeat(x: Tensor, rows: int) -> Tensor:
    """[B, ...] -> [B*R, ...]: every request's tensor once for each of its text rows."""
    return merge(x.unsqueeze(1).expand(-1, rows, *x.shape[1:]))


def concatenated(inputs: Mapping[str, Tensor]) -> Tensor:
    """What the first layer of a denoiser reads: `sample` FP32 [B,C,h,w], and behind its channels those of `concat`, if
    the model reads more than the latents."""
    sample = inputs["sample"]
    return torch.cat([sample, inputs["concat"]], dim=1) if "concat" in inputs else sample
