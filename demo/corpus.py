"""The training set: rendered on demand, never stored. Picture number i is the same in every process and run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from demo.captions import caption
from demo.hints import hint
from demo.recipe import CAPTIONS_EACH, PICTURE_SIZE
from demo.render import render
from demo.scene import Scene, Stream, sample_scene, scene_generator

Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Example:
    """A training scene and its captions."""

    scene: Scene
    captions: tuple[str, ...]


def examples(numbers: Sequence[int], stream: Stream = Stream.TRAINING) -> list[Example]:
    """The scenes of these picture numbers of a stream with their captions."""
    made = []
    for number in numbers:
        rng = scene_generator(stream, number)
        scene = sample_scene(rng)
        made.append(Example(scene, tuple(caption(scene, rng) for _ in range(CAPTIONS_EACH))))
    return made


def pictures(chosen: Sequence[Example], told: Told) -> NDArray[np.uint8]:
    """Renders, uint8 RGB [n, size, size, 3]; told(done, total) after every hundred."""
    return _draw(chosen, told, lambda scene: render(scene, PICTURE_SIZE).image)


def hint_pictures(chosen: Sequence[Example], kind: str, told: Told) -> NDArray[np.uint8]:
    """Hints of one control kind, uint8 [n, size, size, 3], or 4 with a mask."""
    return _draw(chosen, told, lambda scene: hint(kind, render(scene, PICTURE_SIZE)))


def coverage(chosen: Sequence[Example], cells: int) -> NDArray[np.float32]:
    """How much of each latent cell is solid, 0..1, float32 [n, 1, cells, cells]."""
    return np.stack([cell_shares(render(example.scene, PICTURE_SIZE).ids > 0, cells) for example in chosen])


def cell_shares(mask: NDArray[np.bool_], cells: int) -> NDArray[np.float32]:
    """How much of each of cells x cells squares is marked: bool [size, size] -> 0..1, float32 [1, cells, cells]."""
    side = mask.shape[0] // cells
    return mask.reshape(1, cells, side, cells, side).mean((2, 4), dtype=np.float32)


def _draw(chosen: Sequence[Example], told: Told, draw: Callable[[Scene], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    drawn = np.empty((len(chosen), *draw(chosen[0].scene).shape), np.uint8)
    for index, example in enumerate(chosen):
        drawn[index] = draw(example.scene)
        if index % 100 == 99:
            told(index + 1, len(chosen))
    return drawn


def to_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 [n, h, w, 3] 0..255 -> float32 [n, 3, h, w] -1..1, as the VAE reads pictures."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def token_ids(tokenizer: CLIPTokenizer, chosen: Sequence[Example]) -> torch.Tensor:
    """Every caption's tokens, int16 [n, captions, 77], padded."""
    flat = [text for example in chosen for text in example.captions]
    ids = tokenizer(flat, padding="max_length", truncation=True, max_length=tokenizer.model_max_length).input_ids
    return torch.tensor(ids, dtype=torch.int16).view(len(chosen), CAPTIONS_EACH, -1)
