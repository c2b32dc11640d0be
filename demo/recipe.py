"""The numbers of a training run, each stated once. Lengths are in steps, so a busy machine only takes longer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

#: Pictures in the training set, and how many of them the VAE sees (a picture is eight times as many values
#: to it as to the denoiser).
PICTURES = 24_000
VAE_PICTURES = 16_000
CAPTIONS_EACH = 4
PICTURE_SIZE = 128

#: Two processes of one thread train faster than one process of two threads: no operation waits for a partner.
PROCESSES = 2
SEED = 2026


@dataclass(frozen=True, slots=True)
class Schedule:
    """One stage's descent. Learning rate: linear warm-up, constant for `hold` of the steps, cosine to `last`.

    steps: optimiser steps. batch: examples per step over all processes. rate: peak learning rate of AdamW.
    warmup: steps. hold, last: shares of the steps and of the rate. averaging: decay of the weight average,
    which is the stage's result. betas, weight_decay: AdamW's.
    """

    steps: int
    batch: int
    rate: float
    warmup: int = 60
    hold: float = 0.35
    last: float = 0.01
    averaging: float = 0.997
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)

    def rate_at(self, step: int) -> float:
        """Learning rate of step 0..steps-1."""
        warm = min(1.0, (step + 1) / self.warmup)
        done = max(0.0, step / self.steps - self.hold) / (1 - self.hold)
        return self.rate * warm * (self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * done)))

    def scaled(self, factor: float) -> Schedule:
        """The same schedule over `factor` times the steps, at least two."""
        return replace(self, steps=max(2, round(self.steps * factor)))


VAE = Schedule(steps=1200, batch=24, rate=1.5e-3, warmup=50, hold=0.0, averaging=0.998, weight_decay=1e-4)
TEXT_ENCODER = Schedule(steps=900, batch=64, rate=2e-3, warmup=30, hold=0.0, betas=(0.9, 0.98))
UNET = Schedule(steps=4000, batch=64, rate=1.2e-3)
ANNOTATOR = Schedule(steps=3600, batch=16, rate=2.5e-3, hold=0.2)
#: Control kind -> its ControlNet's schedule. A kind of demo.hints is trained when it has a row here.
CONTROLS: dict[str, Schedule] = {
    "canny": Schedule(steps=2400, batch=48, rate=1.5e-3),
    "depth": Schedule(steps=2000, batch=48, rate=1.5e-3),
    "scribble": Schedule(steps=1400, batch=48, rate=1.5e-3),
    "segmentation": Schedule(steps=2200, batch=48, rate=1.5e-3),
    "inpaint": Schedule(steps=1600, batch=48, rate=1.5e-3),
}
