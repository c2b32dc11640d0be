"""The model as the loop sees it: latents and a timestep in, one guided prediction out, one Triton call per step."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
from numpy.typing import NDArray

from families import graphs
from families.facts import ModelFacts
from families.manifest import Manifest
from families.table import family_of
from mesh.errors import NotFound
from mesh.shared_memory import Held
from mesh.soundness import not_finite, sound
from mesh.triton import Triton
from unet_svc.task import Hint, Task
from unet_svc.turns import Turns

Array = NDArray[np.generic]

_BROKEN = not_finite(
    "the model's predictions", "try other controls or lower weights; weights of the model or a ControlNet may be broken"
)


MOVING = ("sample", "timestep")
"""Inputs of a step that another one has otherwise; the rest is placed once."""
_BLANK = frozenset({"sample", "text"})
_CELLS = 8
_DTYPES = {"FP32": np.float32, "UINT8": np.uint8, "INT64": np.int64}


def residual_scale(hint: Hint, facts: ModelFacts, rows: int, guess_mode: bool = False) -> Array:
    """The scale of each residual of a control, FLOAT32 [1, rows, residuals]; [1, 1] for one that acts once a request.

    As in diffusers: guess mode skips the negative row and rises from a tenth of the weight at the first residual to the
    full weight at the mid block's. A control whose residuals are pooled over the picture always skips the negative row
    and never rises.
    """
    if family_of(facts).control_rows == "positive":
        return np.array([[hint.weight]], np.float32)
    pooled, count = facts.net_of(hint.kind).pooled, len(facts.residuals)
    rise = np.logspace(-1, 0, count) if guess_mode and not pooled else np.ones(count)
    scale = np.tile((rise * hint.weight).astype(np.float32), (1, rows, 1))
    if rows == 2 and (guess_mode or pooled):
        scale[:, 0] = 0
    return scale


def _constant(task: Task, concat: Array | None) -> dict[str, Array]:
    """What every step of a task reads alike, whatever controls act: by the names that the model's graphs declare."""
    known: dict[str, Array | None] = {
        "text": task.text[None],
        "vector": None if task.vector is None else task.vector[None],
        "guidance": np.array([[_guidance(task)]], np.float32),
        "distilled": np.array([[task.guidance_scale]], np.float32),
        "concat": concat,
    }
    declared = [tensor.name for tensor in graphs.step_inputs(task.facts) if tensor.name not in MOVING]
    return {name: value for name in declared if (value := known[name]) is not None}


def _guidance(task: Task) -> float:
    """The scale of classifier-free guidance, 1 for none."""
    if family_of(task.facts).true_guidance:
        return task.true_guidance_scale
    return 1.0 if task.facts.distilled else task.guidance_scale


def _with_channels(pixels: Array, channels: int) -> Array:
    """A hint [c, h, w] for a net that reads `channels`: a mask that marks nothing where it has none of its own."""
    missing = channels - pixels.shape[0]
    if not missing:
        return pixels
    return np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), pixels.dtype)])


class Prediction:
    """The denoiser for one loop: the model server holds everything except latents and timestep."""

    def __init__(self, denoiser: "Denoiser", task: Task, held: Held, placed: Collection[str], number: int) -> None:
        self._denoiser = denoiser
        self._task = task
        self._number = number
        self._held = held
        self._placed = frozenset(placed)
        self._shared = tuple(tensor.name for tensor in graphs.step_inputs(task.facts) if tensor.name not in MOVING)

    async def __call__(self, sample: Array, timestep: float, step: int, steps: int) -> Array:
        """The guided prediction, FLOAT32 [1, channels, h, w], for `sample` (same shape) at `timestep`.

        A control outside its window isn't computed: the ensemble without it gives the same numbers at lower cost.
        """
        active = [index for index, hint in enumerate(self._task.hints) if hint.acts(step, steps)]
        names = {name: name for name in self._shared}
        for place, index in enumerate(active):
            for own in (graphs.hint, graphs.scale, graphs.mode):
                if own(index) in self._placed:
                    names[own(place)] = own(index)
        nets = [self._task.facts.net_of(self._task.hints[index].kind).name for index in active]
        inputs = {"sample": sample, "timestep": np.array([[timestep]], np.float32)}
        work = sample.size * (1 + len(nets))
        async with self._denoiser.turns.step(self._task.owner, self._number, work):
            return await self._denoiser.infer(self._task.facts, nets, inputs, self._held.renamed(names))


class Denoiser:
    """The denoising graphs of every loaded model.

    Args:
        triton: client of the model server.
        turns: at the model server, of the loops' steps.
    """

    def __init__(self, triton: Triton, turns: Turns) -> None:
        self.turns = turns
        self._triton = triton
        self._registering = asyncio.Lock()
        # The model server's index lists only what is in its repository.
        self._registered: set[str] = set()

    @asynccontextmanager
    async def open(
        self, task: Task, hints: Sequence[Array] = (), concat: Array | None = None
    ) -> AsyncIterator[Prediction]:
        """Place the task's constant tensors and yield its `Prediction`; leaving the context frees the memory.

        hints: for models that read them as latents, a draw of each of the task's, in its order; concat: what the model
        reads beside the latents, FLOAT32 [1, channels, h, w].
        """
        rows = task.text.shape[0]
        tensors = _constant(task, concat)
        for index, hint in enumerate(task.hints):
            net = task.facts.net_of(hint.kind)
            if hint.pixels is None:
                tensors[graphs.hint(index)] = hints[index]
            else:
                tensors[graphs.hint(index)] = _with_channels(hint.pixels, net.channels)[None]
            tensors[graphs.scale(index)] = residual_scale(hint, task.facts, rows, task.guess_mode)
            if net.union:
                tensors[graphs.mode(index)] = np.array([[net.kinds[hint.kind]]], np.int64)
        with self.turns.loop(task.owner) as number:
            async with await self._triton.hold(tensors) as held:
                yield Prediction(self, task, held, tensors, number)

    async def infer(self, facts: ModelFacts, nets: Sequence[str], inputs: dict[str, Array], held: Held) -> Array:
        """Run one step with `nets`, sorted; a combination without an ensemble is registered on its first use.

        Raises:
            InternalError: the prediction is not finite.
            MeshError: as `Triton.infer`.
        """
        name = graphs.denoise(facts.name, nets)
        ask = partial(self._triton.infer, name, inputs, ["prediction"], held)
        try:
            return (await sound(ask, _BROKEN))["prediction"]
        except NotFound:
            if tuple(sorted(nets)) in graphs.ensemble_nets(facts):
                raise
        await self._register(facts, nets)
        return (await sound(ask, _BROKEN))["prediction"]

    async def _register(self, facts: ModelFacts, nets: Sequence[str]) -> None:
        name = graphs.denoise(facts.name, nets)
        # Two loops with the same new combination must not both load it: a load resets its statistics.
        async with self._registering:
            if not await self._triton.is_ready(name):
                # The load API requires a file beside the configuration, with any content.
                config = graphs.to_json(graphs.denoise_config(facts, nets))
                await self._triton.load(name, config, {"file:1/ensemble": b"\n"})
            self._registered.add(name)

    async def load(self, card: Manifest, before: Manifest | None = None) -> None:
        """Load a model's graphs from the model server's repository, in place of those of `before`.

        `before` is its previous card, None for a new model. If the graphs that both cards have are equal, the loaded
        ones are kept; those that only `before` has are unloaded.

        Raises:
            MeshError: as `Triton.infer`.
        """
        reload = before is not None and _differs(card, before)
        loaded = frozenset() if reload else await self._triton.loaded()
        for name in graphs.repository_names(card):
            if name not in loaded:
                await self._triton.load_stored(name)
        removed = {net.name for net in before.nets} - {net.name for net in card.nets} if before is not None else set()
        if removed:
            dropped = [graphs.controlnet(card.name, net) for net in sorted(removed)]
            await self._drop(dropped, lambda nets: not removed.isdisjoint(nets), card.name)

    async def unload(self, facts: ModelFacts) -> None:
        """Unload a model's graphs from the model server.

        Raises:
            MeshError: as `Triton.infer`.
        """
        await self._drop(graphs.graph_names(facts), lambda nets: True, facts.name)

    async def _drop(self, names: Sequence[str], uses: Callable[[Sequence[str]], bool], model: str) -> None:
        """Unload the graphs `names`, and first the model's ensembles, stored or registered, that `uses` selects."""
        loaded = await self._triton.loaded() | self._registered
        nets_of = {name: nets for name in loaded if (nets := graphs.nets_of(model, name)) is not None}
        ensembles = sorted(name for name, nets in nets_of.items() if uses(nets))
        for name in (*ensembles, *names):
            if name in loaded:
                await self._triton.unload(name)
                self._registered.discard(name)

    async def probe(self, facts: ModelFacts, nets: Sequence[str]) -> None:
        """Run one tiny real step, so that readiness is proved by inference. Raises MeshError if it fails."""
        free = facts.dimensions(height=_CELLS, width=_CELLS)
        tensors = {
            tensor.name: (np.zeros if tensor.name in _BLANK or tensor.dtype == "UINT8" else np.ones)(
                (1, *tensor.sized(free)), _DTYPES[tensor.dtype]
            )
            for tensor in graphs.step_inputs(facts, sorted(nets))
        }
        inputs = {name: tensors.pop(name) for name in MOVING}
        # By the way that requests take: what the model server can't read shows here.
        async with await self._triton.hold(tensors) as held:
            await self.infer(facts, sorted(nets), inputs, held)


def _differs(card: Manifest, before: Manifest) -> bool:
    """Whether a graph that both cards have, or their target, differs."""
    shared = card.graphs.keys() & before.graphs.keys()
    return card.target != before.target or any(card.graphs[name] != before.graphs[name] for name in shared)
