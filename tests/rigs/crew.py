"""What the processes of a training crew are told to do by a test; apart, since each of them imports it anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from demo.descent import descend
from demo.distributed import Crew
from demo.recipe import Schedule


def record_average(crew: Crew, folder: Path) -> None:
    """Worker of the two-process test: one linear model, each process with examples of its own."""
    torch.manual_seed(crew.rank)
    model, inputs = torch.nn.Linear(3, 1), torch.full((4, 3), float(crew.rank + 1))
    average, losses = descend(
        crew, model, Schedule(steps=3, batch=8, rate=0.1, warmup=1), lambda step: model(inputs).square().mean()
    )
    flat = torch.cat([w.reshape(-1) for w in (*model.parameters(), *average.parameters())])
    np.save(folder / f"{crew.rank}.npy", np.append(flat.detach().numpy(), losses))


def fail_second(crew: Crew) -> None:
    if crew.rank == 1:
        raise ValueError("the second one gives up")
    crew.average_(torch.zeros(1))
