"""Requests and rows: B requests carry R text rows each; the network sees B*R rows, request by request."""

from __future__ import annotations

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
