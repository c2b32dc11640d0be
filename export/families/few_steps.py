"""Models that were distilled to few steps, told by the scheduler that their own files name.

Sources: the model cards and scheduler_config.json of SDXL Turbo (Sauer et al. 2023), SDXL Lightning (Lin et al. 2024),
Hyper-SD (Ren et al. 2024) and the latent consistency models (Luo et al. 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from families.defaults import Defaults

STEPS = 4
"""What the cards recommend, or the middle of it."""
CONSISTENT_GUIDANCE = 8.0
"""Of a latent consistency model whose guidance is an input, as in its paper."""
_TRAILING = frozenset({"EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DDIMScheduler"})


def suited(scheduler: Mapping[str, Any], network: Mapping[str, Any]) -> Defaults:
    """Few steps without a second row, for a model that was distilled; nothing for others.

    Those of Turbo's, Lightning's and Hyper's kind begin at the last timestep (`trailing`) and predict noise. A model of
    zero terminal SNR begins there, too, but takes as many steps as others.

    Args:
        scheduler: the source's scheduler_config.json.
        network: configuration of its UNet.
    """
    if network.get("time_cond_proj_dim"):
        return Defaults(steps=STEPS, guidance_scale=CONSISTENT_GUIDANCE)
    named = scheduler.get("_class_name")
    trailing = named in _TRAILING and scheduler.get("timestep_spacing") == "trailing"
    plain = scheduler.get("prediction_type", "epsilon") == "epsilon" and not scheduler.get("rescale_betas_zero_snr")
    if named == "LCMScheduler" or (trailing and plain):
        return Defaults(steps=STEPS, guidance_scale=1.0)
    return Defaults()
