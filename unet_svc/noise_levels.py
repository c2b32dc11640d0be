"""The noise levels that a model was trained with, and the meaning of its predictions at each of them.

A noisy picture is z = alpha * picture + beta * noise with alpha^2 + beta^2 = 1, which is the network's input; or
x = z / alpha = picture + sigma * noise with sigma = beta / alpha, which some samplers use.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import diffusers
import numpy as np
from torch import Tensor

from families.facts import ModelFacts
from families.table import family_of


@dataclass(frozen=True, slots=True)
class Parameterization:
    """How to get the noise and the picture from (z, prediction, alpha, beta) for one kind of prediction."""

    noise: Callable[[Tensor, Tensor, float, float], Tensor]
    picture: Callable[[Tensor, Tensor, float, float], Tensor]


PARAMETERIZATIONS: dict[str, Parameterization] = {
    "epsilon": Parameterization(
        noise=lambda z, predicted, alpha, beta: predicted,
        picture=lambda z, predicted, alpha, beta: (z - beta * predicted) / alpha,
    ),
    # Salimans and Ho (2022): v = alpha * noise - beta * picture.
    "v_prediction": Parameterization(
        noise=lambda z, predicted, alpha, beta: alpha * predicted + beta * z,
        picture=lambda z, predicted, alpha, beta: alpha * z - beta * predicted,
    ),
    "sample": Parameterization(
        noise=lambda z, predicted, alpha, beta: (z - alpha * predicted) / beta,
        picture=lambda z, predicted, alpha, beta: predicted,
    ),
}


def mix_of(sigma: float) -> tuple[float, float]:
    """(alpha, beta) for the ratio `sigma` of noise to picture."""
    alpha = 1 / math.sqrt(sigma**2 + 1)
    return alpha, sigma * alpha


class Levels(Protocol):
    """What a prediction of a model means at each of its noise levels."""

    def timestep(self, sigma: float) -> float:
        """The timestep at which the noise is `sigma`."""

    def sigma(self, timestep: float) -> float:
        """The inverse of `timestep`."""

    def noise(self, z: Tensor, prediction: Tensor, sigma: float) -> Tensor:
        """The noise in `z`, unit variance, according to a prediction at `sigma`."""

    def picture(self, z: Tensor, prediction: Tensor, sigma: float) -> Tensor:
        """The clean latents in `z`, according to a prediction at `sigma`."""


class FlowLevels:
    """Levels of a rectified flow (Liu et al. 2022): z = (1 - sigma) * picture + sigma * noise, where sigma is a
    thousandth of the timestep, and the model predicts noise - picture."""

    _TIMESTEPS = 1000

    def timestep(self, sigma: float) -> float:
        """See Levels."""
        return sigma * self._TIMESTEPS

    def sigma(self, timestep: float) -> float:
        """See Levels."""
        return timestep / self._TIMESTEPS

    def noise(self, z: Tensor, prediction: Tensor, sigma: float) -> Tensor:
        """See Levels."""
        return z + (1.0 - sigma) * prediction

    def picture(self, z: Tensor, prediction: Tensor, sigma: float) -> Tensor:
        """See Levels."""
        return z - sigma * prediction


class NoiseLevels:
    """The ratio of noise to picture at each timestep of a model's training, and its parameterization.

    Args:
        alphas_cumprod: alpha squared at timestep 0, 1, ...; falling.
        prediction_type: a key of PARAMETERIZATIONS.
    """

    def __init__(self, alphas_cumprod: Tensor, prediction_type: str = "epsilon") -> None:
        # Zero at the end of a schedule with zero terminal SNR; diffusers' Euler uses the same number there.
        alphas = alphas_cumprod.double().clamp(min=2**-24).numpy()
        self._log_sigmas = 0.5 * np.log((1 - alphas) / alphas)
        self._parameterization = PARAMETERIZATIONS[prediction_type]

    @classmethod
    def of(cls, model_config: dict[str, Any]) -> Self:
        """The noise levels of a model's scheduler_config.json."""
        scheduler: Any = diffusers.DDPMScheduler
        trained = scheduler.from_config(model_config)
        return cls(trained.alphas_cumprod, trained.config.prediction_type)

    @property
    def least(self) -> float:
        """Sigma at timestep 0."""
        return float(np.exp(self._log_sigmas[0]))

    @property
    def most(self) -> float:
        """Sigma at the last timestep."""
        return float(np.exp(self._log_sigmas[-1]))

    def timestep(self, sigma: float) -> float:
        """The timestep at which the noise is `sigma`: interpolated logarithmically, clamped to the model's range."""
        return float(np.interp(math.log(sigma), self._log_sigmas, np.arange(len(self._log_sigmas))))

    def sigma(self, timestep: float) -> float:
        """The inverse of `timestep`."""
        return float(np.exp(np.interp(timestep, np.arange(len(self._log_sigmas)), self._log_sigmas)))

    def noise(self, z: Tensor, prediction: Tensor, sigma: float) -> Tensor:
        """The noise in `z`, unit variance, according to a prediction at `sigma`."""
        return self._parameterization.noise(z, prediction, *mix_of(sigma))

    def picture(self, z: Tensor, prediction: Tensor, sigma: float) -> Tensor:
        """The clean latents in `z`, according to a prediction at `sigma`."""
        return self._parameterization.picture(z, prediction, *mix_of(sigma))


def levels_of(facts: ModelFacts) -> Levels:
    """The noise levels of a model."""
    return FlowLevels() if family_of(facts).noise == "flow" else NoiseLevels.of(facts.scheduler)
