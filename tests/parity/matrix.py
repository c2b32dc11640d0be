"""The matrix of features and schedulers that the mesh's pictures are compared with diffusers' over."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from local.demo import CANNY, source_picture
from mesh.pictures import decode
from tests.parity.reference import Asked, Pixels, Steered
from tests.rigs.hints import make_hint
from unet_svc.schedulers import SCHEDULERS

MODELS = ("demo", "tiny")
#: diffusers has no pipeline that drives these; tests/unit compares them with an exact Gaussian.
WITHOUT_REFERENCE = frozenset({"KarrasVeScheduler", "ScoreSdeVeScheduler", "IPNDMScheduler"})
INVERTING = "DDIMInverseScheduler"
COMPARED = tuple(name for name in SCHEDULERS if name not in WITHOUT_REFERENCE | {INVERTING})


def picture(width: int = 128, height: int = 128) -> Pixels:
    """An ordinary picture of that size."""
    return np.ascontiguousarray(cv2.resize(decode(source_picture()), (width, height), interpolation=cv2.INTER_AREA))


def edges(width: int = 128, height: int = 128) -> Pixels:
    return make_hint("canny", source_picture(), True, CANNY, (width, height))


def nearness(width: int = 128, height: int = 128) -> Pixels:
    """A depth map with one near box."""
    hint = np.full((height, width, 3), 90, np.uint8)
    hint[height // 3 : height * 2 // 3, width // 4 : width * 3 // 4] = 200
    return hint


def repainted(width: int = 128, height: int = 128) -> Pixels:
    """A mask whose white part ends between two latent cells."""
    mask = np.zeros((height, width, 3), np.uint8)
    mask[height // 4 + 3 :, width // 3 + 2 : -5] = 255
    return mask


def _canny(asked: Asked) -> Asked:
    return replace(asked, controls=(Steered("canny", edges(asked.width, asked.height)),))


def _wide(asked: Asked) -> Asked:
    return _canny(replace(asked, width=136, height=96))


def _two(asked: Asked) -> Asked:
    canny, depth = Steered("canny", edges(), weight=0.8, end=0.7), Steered("depth", nearness(), weight=0.6, start=0.2)
    return replace(asked, controls=(canny, depth))


def _window(asked: Asked) -> Asked:
    return replace(asked, controls=(Steered("canny", edges(), start=0.2, end=0.6),))


def _guess(asked: Asked) -> Asked:
    return replace(_canny(asked), guess_mode=True, prompt="", negative_prompt="")


def _guess_two(asked: Asked) -> Asked:
    return replace(_two(asked), guess_mode=True)


def _single_row(asked: Asked) -> Asked:
    return replace(_canny(asked), guidance_scale=1.0)


def _image(asked: Asked) -> Asked:
    return replace(asked, image=picture(), strength=0.6)


def _image_canny(asked: Asked) -> Asked:
    return _image(_canny(asked))


def _mask(asked: Asked) -> Asked:
    return replace(asked, image=picture(), mask=repainted(), strength=1.0)


def _mask_some(asked: Asked) -> Asked:
    return replace(_mask(asked), strength=0.7)


def _mask_canny(asked: Asked) -> Asked:
    return _mask(_canny(asked))


def _inpaint_hint(asked: Asked) -> Asked:
    return replace(asked, controls=(Steered("inpaint", picture(), mask=repainted()),))


def _inpaint_both(asked: Asked) -> Asked:
    return _mask(_inpaint_hint(asked))


def _karras(asked: Asked) -> Asked:
    return replace(_canny(asked), options={"use_karras_sigmas": True})


def _algorithm(name: str) -> Callable[[Asked], Asked]:
    return lambda asked: replace(_canny(asked), options={"algorithm_type": name})


#: Feature -> what it adds to a plain request. "free" and "canny" are the pipelines' plain use.
FEATURES: dict[str, Callable[[Asked], Asked]] = {
    "free": lambda asked: asked,
    "canny": _canny,
    "canny 136x96": _wide,
    "canny window": _window,
    "canny + depth": _two,
    "guess mode": _guess,
    "guess mode, two": _guess_two,
    "guidance 1": _single_row,
    "img2img": _image,
    "img2img canny": _image_canny,
    "inpaint": _mask,
    "inpaint, strength 0.7": _mask_some,
    "inpaint canny": _mask_canny,
    "inpaint hint": _inpaint_hint,
    "inpaint hint + mask": _inpaint_both,
    "Karras sigmas": _karras,
    "dpmsolver": _algorithm("dpmsolver"),
    "sde-dpmsolver": _algorithm("sde-dpmsolver"),
    "sde-dpmsolver++": _algorithm("sde-dpmsolver++"),
}
_OWN_FEATURE = {"dpmsolver", "sde-dpmsolver", "sde-dpmsolver++"}


@dataclass(frozen=True)
class Case:
    """One comparison."""

    feature: str
    scheduler: str
    model: str

    @property
    def asked(self) -> Asked:
        return FEATURES[self.feature](Asked(self.scheduler))

    def __str__(self) -> str:
        return f"{self.feature}-{self.scheduler.removesuffix('Scheduler')}-{self.model}".replace(" ", "_")


def fits(feature: str, scheduler: str) -> bool:
    """Whether the scheduler takes what the feature asks of it."""
    kind = SCHEDULERS[scheduler]
    if feature == "Karras sigmas":
        return kind.karras_sigmas
    return feature not in _OWN_FEATURE or feature in kind.algorithm_types


def full() -> Iterator[Case]:
    """Every feature under every scheduler on both models."""
    for feature in FEATURES:
        for scheduler in COMPARED:
            if fits(feature, scheduler):
                yield from (Case(feature, scheduler, model) for model in MODELS)


def cover() -> Iterator[Case]:
    """A choice in which every scheduler meets most kinds of feature on one model, and every feature both models.

    Neighbouring schedulers take turns, so that over the features each is met several times.
    """
    for row, feature in enumerate(FEATURES):
        suitable = [scheduler for scheduler in COMPARED if fits(feature, scheduler)]
        for column, scheduler in enumerate(suitable):
            every = feature in _ALWAYS or len(suitable) < 3
            if every or (row + column) % 3 == 0:
                yield Case(feature, scheduler, MODELS[(row + column // 3) % 2])
    yield from _PECULIAR


#: One of diffusers' pipelines sets PNDM up differently from all others.
_PECULIAR = (Case("inpaint", "PNDMScheduler", "demo"),)
_ALWAYS = frozenset({"canny", "img2img canny", "inpaint canny"})


def mixed(count: int) -> list[Asked]:
    """That many requests that differ in scheduler, seed, steps and kind."""
    features = ("canny", "free", "img2img", "inpaint canny", "canny + depth", "guess mode")
    return [
        replace(
            FEATURES[features[number % len(features)]](Asked(COMPARED[number * 5 % len(COMPARED)])),
            seed=number,
            steps=6 + number % 3,
        )
        for number in range(count)
    ]
