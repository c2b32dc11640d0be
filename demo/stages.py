"""The stages of a training run: what each needs, how long it trains, and what it writes into its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTokenizer

from demo import annotator_train, assemble, controlnet, corpus, recipe, text_encoder, tokenizer, unet, vae
from demo.annotator_net import save_net
from demo.corpus import Example
from demo.distributed import Crew
from demo.recipe import Schedule
from demo.scene import Stream

HELD_OUT = 64
WHITENED_ON = 256
PIPELINE_PARTS = ("tokenizer", "vae", "text_encoder", "unet")
ANNOTATOR = "annotator"


class MissingPart(RuntimeError):
    """A stage needs the result of another one, which is missing."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a run keeps its parts, one folder each. scale: factor for steps and pictures, 1 for a full training.

    base: a finished diffusers folder whose parts are used if this run has none of its own.
    """

    folder: Path
    scale: float = 1.0
    base: Path | None = None

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def part(self, name: str) -> Path:
        """Folder of a finished part. Raises MissingPart if it is not trained yet."""
        found = self._find(name)
        if found is None:
            raise MissingPart(f"{self.folder / name} is missing; train the stage {name!r} first.")
        return found

    def _find(self, name: str) -> Path | None:
        places = [self.folder / name, *([self.base / name] if self.base is not None else [])]
        return next((place for place in places if place.is_dir()), None)

    def pictures(self, count: int) -> int:
        return max(2 * WHITENED_ON, round(count * self.scale))

    def tokenizer(self) -> CLIPTokenizer:
        return CLIPTokenizer.from_pretrained(self.part("tokenizer"))

    def latents(self, share: range) -> torch.Tensor:
        """Latents of one process's share of the pictures, float16 [n, 4, h, w]."""
        files = sorted(self.part("latents").glob("share-*.npy"))
        shares = [np.load(file) for file in files]
        whole = np.empty((sum(map(len, shares)), *shares[0].shape[1:]), np.float16)
        for rank, latents in enumerate(shares):
            whole[rank :: len(shares)] = latents
        return torch.from_numpy(whole[share])


Notes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """work(crew, workshop, schedule, folder) -> notes; the first process writes the result into `folder`.

    needs: parts that it requires. seconds: rough cost of a step (or of the stage, without a schedule) on two idle
    cores, used only to estimate the remaining time. alone: one process is enough.
    """

    work: Callable[[Crew, Workshop, Schedule | None, Path], Notes]
    needs: tuple[str, ...] = ()
    schedule: Schedule | None = None
    seconds: float = 5.0
    alone: bool = field(default=False, kw_only=True)

    def cost(self, scale: float) -> float:
        return self.seconds * (self.schedule.scaled(scale).steps if self.schedule else 1)


def _examples(crew: Crew, count: int) -> list[Example]:
    return corpus.examples(crew.share(count))


def _progress_of(crew: Crew, doing: str) -> Callable[[int, int], None]:
    return lambda done, total: crew.report(doing, done, total)


def _held_out() -> Sequence[Example]:
    """Examples that no stage trains on."""
    return corpus.examples(range(HELD_OUT), Stream.HELD_OUT)


def _tokenizer(crew: Crew, shop: Workshop, schedule: Schedule | None, folder: Path) -> Notes:
    texts = [text for example in corpus.examples(range(shop.pictures(5000))) for text in example.captions]
    return {"tokens": len(tokenizer.train_tokenizer(texts, folder))}


def _vae(crew: Crew, shop: Workshop, schedule: Schedule | None, folder: Path) -> Notes:
    assert schedule is not None
    count = min(shop.pictures(recipe.VAE_PICTURES), recipe.PICTURES)
    images = corpus.pictures(_examples(crew, count), _progress_of(crew, "rendering"))
    trained, losses = vae.train_vae(crew, images, schedule)
    if crew.rank != 0:
        return {}
    vae.whitened(trained, images[:WHITENED_ON]).save_pretrained(folder)
    held_out = corpus.pictures(_held_out(), _progress_of(crew, "checking"))
    return {"losses": losses, "psnr": vae.psnr(AutoencoderKL.from_pretrained(folder), held_out)}


def _latents(crew: Crew, shop: Workshop, schedule: Schedule | None, folder: Path) -> Notes:
    encoder = AutoencoderKL.from_pretrained(shop.part("vae"), torch_dtype=torch.float32).eval()
    chosen = _examples(crew, shop.pictures(recipe.PICTURES))
    parts = []
    for start in range(0, len(chosen), vae.ENCODED_TOGETHER):
        images = corpus.pictures(chosen[start : start + vae.ENCODED_TOGETHER], _progress_of(crew, "encoding"))
        parts.append(vae.encode(encoder, images))
        crew.report("encoding", start + len(images), len(chosen))
    latents = torch.cat(parts)
    np.save(folder / f"share-{crew.rank}.npy", latents.numpy())
    return {"deviation": float(latents.float().std())}


def _text_encoder(crew: Crew, shop: Workshop, schedule: Schedule | None, folder: Path) -> Notes:
    assert schedule is not None
    words, chosen = shop.tokenizer(), _examples(crew, shop.pictures(recipe.PICTURES))
    reader, losses = text_encoder.train_text_encoder(crew, words, chosen, schedule)
    if crew.rank != 0:
        return {}
    reader.encoder.save_pretrained(folder)
    return {"losses": losses, "accuracy": text_encoder.reading_accuracy(reader, words, _held_out())}


def _captions(shop: Workshop, chosen: Sequence[Example]) -> unet.Captions:
    encoder = text_encoder.load_text_encoder(shop.part("text_encoder"))
    return unet.Captions(shop.tokenizer(), encoder, chosen)


def _unet(crew: Crew, shop: Workshop, schedule: Schedule | None, folder: Path) -> Notes:
    assert schedule is not None
    count = shop.pictures(recipe.PICTURES)
    captions = _captions(shop, _examples(crew, count))
    trained, losses = unet.train_unet(crew, shop.latents(crew.share(count)), captions, schedule)
    if crew.rank != 0:
        return {}
    trained.save_pretrained(folder)
    return {"losses": losses}


def _controlnet(kind: str) -> Callable[[Crew, Workshop, Schedule | None, Path], Notes]:
    def work(crew: Crew, shop: Workshop, schedule: Schedule | None, folder: Path) -> Notes:
        assert schedule is not None
        count = shop.pictures(recipe.PICTURES)
        chosen = _examples(crew, count)
        hints = corpus.hint_pictures(chosen, kind, _progress_of(crew, "rendering"))
        frozen = UNet2DConditionModel.from_pretrained(shop.part("unet"), torch_dtype=torch.float32)
        latents, captions = shop.latents(crew.share(count)), _captions(shop, chosen)
        trained, losses = controlnet.train_controlnet(crew, frozen, chosen, hints, latents, captions, schedule)
        if crew.rank != 0:
            return {}
        trained.save_pretrained(folder)
        return {"losses": losses}

    return work


def _annotator(crew: Crew, shop: Workshop, schedule: Schedule | None, folder: Path) -> Notes:
    assert schedule is not None
    redrawing = AutoencoderKL.from_pretrained(shop.part("vae"), torch_dtype=torch.float32)
    trained, losses = annotator_train.train_annotator(crew, redrawing, schedule)
    if crew.rank != 0:
        return {}
    save_net(trained, folder)
    return {"losses": losses}


def _assemble(crew: Crew, shop: Workshop, schedule: Schedule | None, folder: Path) -> Notes:
    parts = {name: shop.part(name) for name in PIPELINE_PARTS}
    controls = {kind: shop.part(f"controlnet-{kind}") for kind in recipe.CONTROLS}
    assemble.assemble(parts, controls, shop.part(ANNOTATOR), folder)
    return {"bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}


_DENOISING = ("tokenizer", "text_encoder", "latents")

#: In the order they run. A control's stage follows from its row in recipe.CONTROLS.
STAGES: dict[str, Stage] = {
    "tokenizer": Stage(_tokenizer, alone=True),
    "text_encoder": Stage(_text_encoder, ("tokenizer",), recipe.TEXT_ENCODER, 0.15),
    "vae": Stage(_vae, (), recipe.VAE, 0.25),
    "latents": Stage(_latents, ("vae",), None, 120.0),
    "unet": Stage(_unet, _DENOISING, recipe.UNET, 0.50),
    **{
        f"controlnet-{kind}": Stage(_controlnet(kind), (*_DENOISING, "unet"), schedule, 0.60)
        for kind, schedule in recipe.CONTROLS.items()
    },
    ANNOTATOR: Stage(_annotator, ("vae",), recipe.ANNOTATOR, 0.30),
    "weights": Stage(
        _assemble, (*PIPELINE_PARTS, *(f"controlnet-{kind}" for kind in recipe.CONTROLS), ANNOTATOR), alone=True
    ),
}


def work_stage(crew: Crew, name: str, shop: Workshop, folder: Path, outcome: Path) -> None:
    """Run one stage as a member of its crew; the first process leaves its notes in `outcome` as JSON."""
    torch.manual_seed(recipe.SEED + list(STAGES).index(name) * 100 + crew.rank)
    stage = STAGES[name]
    notes = stage.work(crew, shop, stage.schedule.scaled(shop.scale) if stage.schedule else None, folder)
    if crew.rank == 0:
        outcome.write_text(json.dumps(notes), encoding="utf-8")
