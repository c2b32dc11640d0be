"""The captions that the demo model is trained on: a small grammar over the names in a scene."""

from __future__ import annotations

import numpy as np

from demo.scene import Scene, Solid

#: Sentence -> share. {solids}: "a red ring and a blue star"; {ground}: "a green background"; {bare}: without article.
SENTENCES: dict[str, float] = {
    "{solids} on {ground}": 0.60,
    "{solids}, {bare}": 0.15,
    "{solids}": 0.07,
    "a photo of {solids} on {ground}": 0.10,
    "a 3d render of {solids}, {ground}": 0.08,
}


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A random caption for `scene`; some do not mention the ground."""
    solids = _solids(scene, rng, last=" and " if rng.random() < 0.5 else ", ")
    return _sentence(str(rng.choice(list(SENTENCES), p=list(SENTENCES.values()))), scene, solids, rng)


def prompt(scene: Scene, rng: np.random.Generator) -> str:
    """The plain full caption, which names every solid and the ground. Adherence is measured with these."""
    return _sentence("{solids} on {ground}", scene, _solids(scene, rng, last=" and "), rng)


def _sentence(pattern: str, scene: Scene, solids: str, rng: np.random.Generator) -> str:
    bare = _ground(scene, rng)
    return pattern.format(solids=solids, bare=bare, ground=_with_article(bare))


def _solids(scene: Scene, rng: np.random.Generator, last: str) -> str:
    names = [_with_article(_name(scene.solids[i])) for i in rng.permutation(len(scene.solids))]
    return last.join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _name(solid: Solid) -> str:
    return f"{solid.colour} {solid.shape}"


def _ground(scene: Scene, rng: np.random.Generator) -> str:
    if scene.ground_end is not None:
        return f"{scene.ground} to {scene.ground_end} gradient background"
    adjectives = [scene.ground] if scene.style == "plain" else [scene.ground, scene.style]
    return " ".join([*(adjectives if rng.random() < 0.5 else adjectives[::-1]), "background"])


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
