"""UnetService over a network that needs no model server: progress, previews, notes and lists."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import numpy as np
import pytest

from controlmesh.v1 import types_pb2, unet_pb2
from families.defaults import Defaults
from families.facts import ModelFacts
from mesh.admission import Admission
from mesh.errors import InternalError, InvalidInput
from mesh.pictures import decode
from mesh.shared_memory import Held
from mesh.tensors import to_array, to_message
from tests.rigs.model_cards import card
from tests.rigs.unet_tasks import CONFIGS, exact, latents_of, make_facts, make_task
from unet_svc.denoiser import Denoiser
from unet_svc.preview import make_preview
from unet_svc.schedulers import FLOW_ONLY, SCHEDULERS
from unet_svc.servicer import UnetServicer
from unet_svc.task import Task
from unet_svc.turns import Turns

COLOURS = ((0.2, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, 0.0, 0.2), (0.05, 0.05, 0.05), (0.4, 0.4, 0.4))


class ExactDenoiser:
    """In the place of Denoiser."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._predict = exact(config)
        self.turns = Turns(2)

    @asynccontextmanager
    async def open(self, task: Task, hints: Sequence[Any] = (), concat: Any = None) -> AsyncIterator[Any]:
        yield self._predict


def servicer(places: int = 4, **changes: Any) -> UnetServicer:
    model = card(**msgspec.structs.asdict(make_facts(CONFIGS["v"])), preview=COLOURS, **changes)
    denoiser: Any = ExactDenoiser(CONFIGS["v"])
    return UnetServicer([model], denoiser, Admission(places, 0, "loops"))


async def answers(served: UnetServicer | None = None, **fields: Any) -> list[unet_pb2.DenoiseResponse]:
    text = to_message(np.zeros((2, 77, 8), np.float32))
    conditioning = types_pb2.Conditioning(model="x", text=text, width=96, height=64)
    whole = {"steps": 6, "guidance_scale": 7.5, "seed": 3, "scheduler": "DDIMScheduler", **fields}
    request = unet_pb2.DenoiseRequest(conditioning=conditioning, **whole)
    return [answer async for answer in (served or servicer()).Denoise(request, None)]


async def test_progress_then_latents() -> None:
    *reports, last = await answers()
    assert [(report.progress.step, report.progress.steps) for report in reports] == [(n, 6) for n in range(1, 7)]
    assert not any(report.progress.HasField("preview") or report.notes for report in reports)
    expected = await latents_of(make_task(CONFIGS["v"], "DDIMScheduler", 6), exact(CONFIGS["v"]))
    assert last.latents.model == "x"
    np.testing.assert_array_equal(to_array(last.latents.samples, field="latents", ndim=4), expected)
    assert not last.notes


async def test_notes_come_with_the_latents() -> None:
    *_, last = await answers(use_karras_sigmas=True, algorithm_type="deis")
    assert ["use_karras_sigmas" in note or "'deis'" in note for note in last.notes] == [True, True]


async def test_a_request_far_outside_of_what_the_model_is_made_for_is_told_so() -> None:
    own = servicer(defaults=Defaults(guidance_scale=3.0, scheduler="UniPCMultistepScheduler"))
    *_, last = await answers(own)
    assert [("guidance" in note) for note in last.notes] == [True]
    *_, last = await answers(own, guidance_scale=3.0)
    assert not last.notes
    *_, last = await answers(servicer(trained_sizes=((512, 512),)))
    assert [("trained at 512 x 512" in note) for note in last.notes] == [True]


async def test_the_list_of_models_has_their_defaults() -> None:
    (plain,) = (await servicer().ListModels(unet_pb2.ListModelsRequest(), None)).models
    assert plain.default_scheduler == plain.defaults.scheduler == "DDIMScheduler"
    # What its card leaves out is its family's.
    assert (plain.defaults.steps, plain.defaults.guidance_scale) == (20, 7.5)
    assert (plain.limits.least_side, plain.limits.most_side, plain.limits.multiple) == (64, 1024, 8)
    assert (
        [(size.width, size.height) for size in plain.trained_sizes]
        == [(64, 64)]
        == [(plain.defaults.size.width, plain.defaults.size.height)]
    )
    made = Defaults(size=(96, 64), steps=9, guidance_scale=3.0, scheduler="UniPCMultistepScheduler")
    (model,) = (await servicer(defaults=made).ListModels(unet_pb2.ListModelsRequest(), None)).models
    assert (model.defaults.size.width, model.defaults.steps, model.defaults.guidance_scale) == (96, 9, 3.0)
    assert model.default_scheduler == "UniPCMultistepScheduler"
    unknown = servicer(defaults=Defaults(scheduler="NobodysScheduler"))
    (model,) = (await unknown.ListModels(unet_pb2.ListModelsRequest(), None)).models
    assert model.default_scheduler == "DDIMScheduler", "a card may be of a newer version"


async def test_a_preview_comes_every_so_many_calls() -> None:
    *reports, last = await answers(preview_every=3)
    shown = {report.progress.step: report.progress.preview for report in reports if report.progress.preview.content}
    assert sorted(shown) == [3, 6]
    assert (shown[6].width, shown[6].height, shown[6].format) == (12, 8, types_pb2.IMAGE_FORMAT_PNG)
    # At the last step the guess is the picture, up to what one step of DDIM leaves in it.
    latents = to_array(last.latents.samples, field="latents", ndim=4)
    expected = decode(make_preview(latents, COLOURS).content).astype(int)
    assert np.abs(decode(shown[6].content).astype(int) - expected).max() <= 20
    assert np.abs(decode(shown[6].content).astype(int) - decode(shown[3].content)).max() > 20


def test_a_preview_is_the_linear_map() -> None:
    latents = np.zeros((1, 4, 2, 3), np.float32)
    latents[0, 0, 0, 0], latents[0, 1, 1, 2], latents[0, 2, 0, 2] = 1, -1, 100
    pixels = decode(make_preview(latents, COLOURS).content)
    assert pixels.shape == (2, 3, 3)
    assert pixels[0, 0].tolist() == [153, 102, 102]
    assert pixels[1, 2].tolist() == [102, 51, 102]
    assert pixels[0, 2].tolist() == [102, 102, 255]
    assert pixels[1, 1].tolist() == [102, 102, 102]


async def test_what_can_t_be_done_is_refused_before_a_place_is_taken() -> None:
    request = unet_pb2.DenoiseRequest(
        conditioning=types_pb2.Conditioning(
            model="x", text=to_message(np.zeros((2, 77, 8), np.float32)), width=64, height=64
        ),
        steps=60,
        guidance_scale=2,
        scheduler="LCMScheduler",
    )
    with pytest.raises(InvalidInput, match="steps must be 1 to 50"):
        _ = [answer async for answer in servicer(places=0).Denoise(request, None)]


async def test_the_list_of_schedulers_is_the_table() -> None:
    listed = (await servicer().ListSchedulers(unet_pb2.ListSchedulersRequest(), None)).schedulers
    assert [row.name for row in listed] == [*sorted(SCHEDULERS), *FLOW_ONLY]
    rows = {row.name: row for row in listed}
    solver = rows["DPMSolverMultistepScheduler"]
    assert solver.karras_sigmas
    assert list(solver.algorithm_types) == ["dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"]
    assert [name for name, row in rows.items() if row.inverts] == ["DDIMInverseScheduler"]
    assert rows["ScoreSdeVeScheduler"].model_calls == "2n"
    assert rows["LCMScheduler"].stochastic
    assert all(row.description and row.model_calls for row in listed)
    assert [name for name, row in rows.items() if row.flow_only] == list(FLOW_ONLY)
    assert rows["HeunDiscreteScheduler"].on_flow == "FlowMatchHeunDiscreteScheduler"
    assert [name for name, row in rows.items() if not row.on_flow] == [
        "DDIMInverseScheduler", "KarrasVeScheduler", "ScoreSdeVeScheduler",
    ]  # fmt: skip


class Recorded:
    """In the place of Triton: keeps what it was asked."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    async def hold(self, tensors: Any) -> Held:
        return Held.inline(tensors)

    async def infer(self, model: str, inputs: Any, outputs: Sequence[str], held: Any) -> dict[str, Any]:
        self.shapes = {name: array.shape for name, array in {**inputs, **held.inlined}.items()}
        return {"prediction": inputs["sample"]}


@pytest.mark.parametrize(
    ("kinds", "channels"), [(("canny",), [3]), (("inpaint",), [4]), (("inpaint", "canny"), [3, 4])]
)
async def test_the_probe_s_hints_have_their_kind_s_channels(kinds: tuple[str, ...], channels: list[int]) -> None:
    triton: Any = Recorded()
    facts: ModelFacts = make_facts(CONFIGS["v"])
    await Denoiser(triton, Turns(2)).probe(facts, kinds)
    assert [triton.shapes[f"hint_{index}"] for index in range(len(kinds))] == [(1, n, 64, 64) for n in channels]


class Broken(Recorded):
    """In the place of Triton: predictions of the values that come next."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = list(values)

    async def infer(self, model: str, inputs: Any, outputs: Sequence[str], held: Any) -> dict[str, Any]:
        return {"prediction": np.full_like(inputs["sample"], self.values.pop(0))}


async def test_a_prediction_that_is_no_number_is_asked_for_once_more_and_then_an_error() -> None:
    facts: ModelFacts = make_facts(CONFIGS["v"])
    triton: Any = Broken(np.nan, 1.0)
    await Denoiser(triton, Turns(2)).probe(facts, ("canny",))
    assert triton.values == []
    broken: Any = Broken(np.inf, np.nan)
    with pytest.raises(InternalError, match="predictions are not finite numbers"):
        await Denoiser(broken, Turns(2)).probe(facts, ())
