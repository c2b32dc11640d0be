"""The contract of a loop: its inputs, the model that it calls, and the protocol that it implements."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unet_svc.noise_levels import Levels


class Predict(Protocol):
    """The network: FLOAT32 [1, channels, h, w] in and out."""

    async def __call__(
        self, sample: NDArray[np.generic], timestep: float, step: int, steps: int
    ) -> NDArray[np.generic]:
        """Prediction for `sample` at `timestep`, the `step`-th of `steps` model calls counted from 0."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a loop is created from.

    scheduler: the diffusers class; options: arguments of its constructor in addition to the model's configuration;
    config: the model's scheduler_config.json; levels: the noise levels that the model was trained with; steps: as
    requested; skipped: how many of these an initial picture saves; None if there is none and the start is pure noise;
    patches: of the picture, as a transformer's tokens.
    """

    scheduler: Any
    options: dict[str, Any]
    config: dict[str, Any]
    levels: Levels
    steps: int
    skipped: int | None = None
    patches: int = 0


Noised = Callable[[Tensor, Tensor], Tensor]
"""(clean latents, noise) -> latents at the noise level of one step."""


def mixed(picture: float, noise: float) -> Noised:
    """A `Noised` that returns the weighted sum of both."""
    return lambda initial, drawn: picture * initial + noise * drawn


@dataclass(frozen=True, slots=True)
class Canvas:
    """What a loop starts from: FLOAT32 [1, channels, h, w] each, with one draw of noise.

    noise: unit variance; initial: clean latents, if there is an initial picture; mask: [1, 1, h, w], 1 where the
    picture is repainted and 0 where it is kept, None for models that read it themselves; hints: clean latents of each
    of the task's hints, for models that read them so; concat: what the model reads beside the latents, [1, k, h, w].
    """

    noise: Tensor
    initial: Tensor | None = None
    mask: Tensor | None = None
    hints: tuple[Tensor, ...] = ()
    concat: Tensor | None = None

    def keep(self, latents: Tensor, noised: Noised | None) -> Tensor:
        """Return `latents` where the mask repaints, and the initial picture where it does not.

        noised: adds as much noise to the initial picture as `latents` have; None after the last step.
        """
        if self.mask is None or self.initial is None:
            return latents
        kept = noised(self.initial, self.noise) if noised else self.initial
        return (1 - self.mask) * kept + self.mask * latents


@dataclass
class Model:
    """The network as loops call it; counts its calls.

    predict: the network; levels: how to interpret its predictions; calls: how many there will be.
    """

    predict: Predict
    levels: Levels
    calls: int
    done: int = field(default=0, init=False)
    _last: tuple[Tensor, Tensor, float] | None = field(default=None, init=False)

    async def __call__(self, z: Tensor, timestep: float) -> Tensor:
        """The network's prediction for `z`, which is scaled as in its training."""
        predicted = await self.predict(z.numpy(), timestep, self.done, self.calls)
        self.done += 1
        # A copy: the model server's answer is read-only memory, and torch would warn about that.
        prediction = torch.from_numpy(np.array(predicted))
        self._last = (z, prediction, timestep)
        return prediction

    async def noise(self, z: Tensor, sigma: float) -> Tensor:
        """The noise in `z`, unit variance, whatever the network predicts."""
        return self.levels.noise(z, await self(z, self.levels.timestep(sigma)), sigma)

    def picture(self) -> Tensor:
        """The clean latents that the last call predicts. Only valid after a call."""
        assert self._last is not None
        z, prediction, timestep = self._last
        return self.levels.picture(z, prediction, self.levels.sigma(timestep))


class Loop(Protocol):
    """One scheduler for one run of steps, created from a Plan."""

    calls: int
    """Model calls that `run` makes."""

    def start(self, noise: Tensor, initial: Tensor | None) -> Tensor:
        """Latents at the first step's noise level: pure noise, or `initial` mixed with `noise` if it is given."""

    def run(
        self, latents: Tensor, model: Model, canvas: Canvas, generator: torch.Generator
    ) -> AsyncGenerator[Tensor, None]:
        """Yield the latents after every model call, beginning with those of `start`; the last ones are finished."""
