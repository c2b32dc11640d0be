"""Inversion: from a picture to the noise that leads to it (Song et al., 2021, section 5.3)."""

from torch import Tensor

from unet_svc.loops.common import CommonLoop


class InversionLoop(CommonLoop):
    """diffusers' DDIMInverseScheduler: DDIM's steps in reverse, so it starts from the picture and not from noise."""

    def start(self, noise: Tensor, initial: Tensor | None) -> Tensor:
        """See Loop."""
        return noise if initial is None else initial
