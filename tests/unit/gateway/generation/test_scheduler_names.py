"""Schedulers by the names that clients write."""

import pytest

from controlmesh.v1 import unet_pb2
from gateway.generation.catalogue import Offer

# What the documentation of the vendors lists.
NAMES = (
    "DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler",
    "DPMSolverSinglestepScheduler", "KDPM2AncestralDiscreteScheduler", "UniPCMultistepScheduler",
    "DDIMInverseScheduler", "DEISMultistepScheduler", "IPNDMScheduler", "KarrasVeScheduler", "ScoreSdeVeScheduler",
    "LCMScheduler",
)  # fmt: skip
OFFER = Offer([], [], [unet_pb2.Scheduler(name=name) for name in NAMES], [])


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_its_bare_and_lower_case_forms(name: str) -> None:
    bare = name.removesuffix("Scheduler")
    for spelling in (name, bare, name.lower(), bare.upper(), f" {bare} "):
        entry = OFFER.scheduler(spelling)
        assert entry is not None and entry.name == name


@pytest.mark.parametrize("name", ["", " ", "Scheduler", "Euler", "DDIMSchedulerScheduler", "DDIM Scheduler", "../DDIM"])
def test_other_names_are_nobodys(name: str) -> None:
    assert OFFER.scheduler(name) is None


def test_only_what_is_on_offer_is_found() -> None:
    assert Offer([], [], [unet_pb2.Scheduler(name="DDIMScheduler")], []).scheduler("LCM") is None
