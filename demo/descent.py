"""The training loop of all stages: AdamW on gradients averaged over the crew, and a running average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import nn

from demo.distributed import Crew
from demo.recipe import Schedule

Trained = TypeVar("Trained", bound=nn.Module)

LARGEST_GRADIENT = 1.0


def descend(
    crew: Crew,
    model: Trained,
    schedule: Schedule,
    loss_of_step: Callable[[int], torch.Tensor],
    faster: Mapping[str, float] | None = None,
) -> tuple[Trained, list[float]]:
    """Train `model` in place; return the average of its weights (a frozen copy) and the loss of every step.

    loss_of_step: step 0..steps-1 -> scalar loss of this process's part of the batch.
    faster: parameter name prefix -> factor on its learning rate.
    The crew exchanges one flat tensor per step: all gradients and the loss. Gradients are clipped to norm 1.
    """
    model.train()
    crew.align_(model)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    rates = faster or {}
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        factor = next((f for prefix, f in rates.items() if name.startswith(prefix)), 1.0)
        groups.setdefault(factor, []).append(parameter)
    optimiser = torch.optim.AdamW(
        [{"params": parameters, "factor": factor} for factor, parameters in groups.items()],
        lr=schedule.rate,
        betas=schedule.betas,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    weights, averages = list(model.parameters()), list(average.parameters())
    losses = []
    for step in range(schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate_at(step) * group["factor"]
        optimiser.zero_grad()
        loss = loss_of_step(step)
        loss.backward()
        losses.append(_exchange(crew, weights, loss))
        optimiser.step()
        keep = min(schedule.averaging, (step + 1) / (step + 31))
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, 1 - keep)
        crew.report("training", step + 1, schedule.steps, losses[-1])
    return average, losses


def _exchange(crew: Crew, weights: list[nn.Parameter], loss: torch.Tensor) -> float:
    """Average gradients and loss over the crew, clip the gradients, and return the mean loss."""
    used = [w for w in weights if w.grad is not None]
    flat = torch.cat([*(w.grad.reshape(-1) for w in used if w.grad is not None), loss.detach().reshape(1)])
    crew.average_(flat)
    gradient = flat[:-1]
    gradient *= min(1.0, LARGEST_GRADIENT / max(gradient.norm().item(), 1e-12))
    for weight, part in zip(used, gradient.split([w.numel() for w in used]), strict=True):
        weight.grad = part.view_as(weight)
    return float(flat[-1])


def autocast() -> torch.autocast:
    """bfloat16 arithmetic for forward passes; weights and losses stay float32."""
    return torch.autocast("cpu", torch.bfloat16)
