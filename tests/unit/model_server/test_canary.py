"""What the canary sends, whom it asks, and when a late answer means a dead model."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2, service_pb2

from families import annotators, graphs
from families.facts import skips
from model_server.canary import Answer, Count, covering, failing
from model_server.canary_inputs import canary_request, card_of, faults
from model_server.watch import ModelLost, Watch
from tests.rigs.model_cards import annotator, facts

FACTS = facts(
    residuals=skips(((16, 1), (16, 1), (32, 2), (64, 16), (64, 16))),
    controls=("canny", "depth"),
)
CONFIGS = graphs.configs(FACTS)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_request_fits_its_graph_and_carries_every_byte(name: str) -> None:
    config = CONFIGS[name]
    request = canary_request(config, FACTS)
    sizes = {1: 1, 2: 1, 9: 8, 11: 4}
    for tensor, sent, raw in zip(config.input, request.inputs, request.raw_input_contents, strict=True):
        assert sent.shape[0] == 1
        assert all(a == b or a == -1 < b for a, b in zip(tensor.dims, sent.shape[1:], strict=True))
        assert len(raw) == np.prod(sent.shape) * sizes[tensor.data_type]


def test_free_sizes_agree_with_one_another() -> None:
    sent = {tensor.name: tuple(tensor.shape) for tensor in canary_request(CONFIGS["small_unet"], FACTS).inputs}
    # The deepest residual has stride 16, so the latents are 16 cells wide.
    assert sent["sample"] == (1, 4, 16, 16)
    assert sent["text"] == (1, 1, 77, 32)
    assert sent["residual_2"] == (1, 1, 32, 8, 8)
    assert sent["residual_4"] == (1, 1, 64, 1, 1)
    sent = {t.name: tuple(t.shape) for t in canary_request(CONFIGS["small_denoise__canny__depth"], FACTS).inputs}
    assert sent["hint_1"] == (1, 3, 128, 128)
    assert sent["scale_1"] == (1, 1, 5)
    sent = {t.name: tuple(t.shape) for t in canary_request(CONFIGS["small_vae_encoder"], FACTS).inputs}
    assert sent["image"] == (1, 128, 128, 3)


def test_a_graph_belongs_to_the_longest_name_it_begins_with() -> None:
    other = msgspec.structs.replace(FACTS, name="small_two")
    assert card_of("small_two_unet", [FACTS, other]) is other
    assert card_of("small_unet", [FACTS, other]) is FACTS
    assert card_of("annotator_depth", [FACTS, other]) is None


@pytest.mark.parametrize(
    ("changes", "side"),
    [({"multiple": 8}, 64), ({"multiple": 14}, 70), ({"multiple": 1}, 64), ({"square": True, "side": 384}, 384)],
)
def test_an_annotator_is_asked_at_the_smallest_size_that_it_was_verified_with(
    changes: dict[str, int], side: int
) -> None:
    card = annotator("near", depth="annotator_near", **changes)
    (config,) = annotators.configs(card.heads).values()
    (sent,) = canary_request(config, card_of("annotator_near", [FACTS, card])).inputs
    assert tuple(sent.shape) == (1, side, side, 3)


def test_a_graph_belongs_to_the_annotator_that_lists_it() -> None:
    near = annotator("near", depth="annotator_near")
    pose = annotator("near_pose", body="annotator_near_pose_body", hand="annotator_near_pose_hand")
    assert card_of("annotator_near_pose_hand", [FACTS, near, pose]) is pose
    assert card_of("annotator_near", [pose, near]) is near
    assert card_of("annotator_near_unet", [near, pose]) is None


def test_an_answer_must_have_every_byte_and_be_finite() -> None:
    config = CONFIGS["small_unet"]
    whole = np.zeros((1, 4, 2, 2), np.float32)

    def answer(raw: bytes | None) -> service_pb2.ModelInferResponse:
        response = service_pb2.ModelInferResponse()
        if raw is not None:
            response.outputs.add(name="prediction", datatype="FP32", shape=whole.shape)
            response.raw_output_contents.append(raw)
        return response

    assert faults(config, answer(whole.tobytes())) == ""
    assert faults(config, answer(b"")) == "output 'prediction' has 0 bytes for shape [1, 4, 2, 2]"
    assert faults(config, answer((whole * np.nan).tobytes())) == "output 'prediction' is not finite"
    assert faults(config, answer(None)) == "output 'prediction' is missing"


def test_few_requests_reach_every_graph() -> None:
    targets = covering(CONFIGS)
    assert set(targets) == {
        "small_denoise__canny__depth",
        "small_denoise",
        "small_text_encoder",
        "small_vae_decoder",
        "small_vae_encoder",
    }
    assert {graph for reached in targets.values() for graph in reached} == set(graphs.graph_names(FACTS))


class ScriptedCanary:
    """Stands where a Triton would: two graphs, with answers and totals that the test sets."""

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.ready: tuple[str, ...] = ("double",)
        self.broken: dict[str, str] = {}
        self.answering = True
        self.graph = model_config_pb2.ModelConfig()
        self.count = Count(answered=0, failed=0, executions=0)

    async def states(self) -> tuple[tuple[str, ...], dict[str, str]]:
        return self.ready, self.broken

    async def config(self, name: str) -> model_config_pb2.ModelConfig:
        return self.graph

    async def counts(self) -> dict[str, Count]:
        return {"double": self.count}

    async def ask(self, name: str) -> Answer:
        self.asked.append(name)
        answer = self.answers.pop(0) if self.answers else Answer()
        done = not answer.fault or answer.unsound
        self.count = Count(self.count.answered + done, self.count.failed + (not done), self.count.executions + done)
        return answer

    async def is_alive(self) -> bool:
        return self.answering


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def watch_over(canary: ScriptedCanary, clock: Clock) -> Watch:
    return Watch(canary, ["double"], interval_s=0.0, misses=3, stall_s=60.0, clock=clock)  # type: ignore[arg-type]


DEAD = Answer("Stub process 'double_0_0' is not healthy.")
LATE = Answer("Deadline Exceeded", late=True)


async def test_not_ready_before_the_first_answer() -> None:
    watch = watch_over(ScriptedCanary(), Clock())
    assert not watch.ready
    await watch.round()
    assert watch.ready


async def test_three_misses_in_a_row_lose_the_model() -> None:
    canary = ScriptedCanary([Answer(), DEAD, DEAD, Answer(), DEAD, DEAD, DEAD])
    with pytest.raises(ModelLost, match="'double' failed 3 consecutive canary requests: Stub process"):
        await watch_over(canary, Clock()).run()
    assert canary.answers == [], "two misses with an answer after them are forgiven"


async def test_a_late_model_that_still_finishes_work_is_busy() -> None:
    canary, clock = ScriptedCanary([Answer()]), Clock()
    watch = watch_over(canary, clock)
    await watch.round()
    for _ in range(10):
        clock.now += 50.0
        canary.answers = [LATE]
        canary.count = Count(canary.count.answered, canary.count.failed, canary.count.executions + 1)
        await watch.round()
        assert watch.ready


async def test_a_late_model_that_finishes_nothing_is_lost_in_the_end() -> None:
    canary, clock = ScriptedCanary([Answer(), *[LATE] * 5]), Clock()
    watch = watch_over(canary, clock)
    await watch.round()
    await watch.round()
    clock.now = 59.0
    await watch.round()
    assert watch.ready
    clock.now = 61.0
    await watch.round()
    assert watch.failing == {"double": "Deadline Exceeded"}


async def test_a_model_that_serves_real_requests_is_not_asked() -> None:
    canary = ScriptedCanary()
    watch = watch_over(canary, Clock())
    await watch.round()
    assert canary.asked == ["double"]
    canary.count = Count(canary.count.answered + 5, canary.count.failed, canary.count.executions + 5)
    await watch.round()
    assert canary.asked == ["double"]
    await watch.round()
    assert canary.asked == ["double", "double"], "no real request since the last round"
    canary.count = Count(canary.count.answered + 5, canary.count.failed + 1, canary.count.executions + 5)
    await watch.round()
    assert len(canary.asked) == 3, "a failed request is a reason to ask"


async def test_a_failed_load_at_run_time_costs_nobody_the_server() -> None:
    canary = ScriptedCanary()
    canary.broken = {"wrong_combination": "ensemble contains models that are not available"}
    watch = watch_over(canary, Clock())
    await watch.round()
    assert watch.ready


async def test_a_required_model_must_stay_loaded() -> None:
    canary = ScriptedCanary()
    watch = watch_over(canary, Clock())
    await watch.round()
    canary.ready, canary.broken = (), {"double": "Internal: out of memory"}
    await watch.round()
    assert watch.failing == {"double": "Internal: out of memory"}


async def test_a_server_that_stopped_is_not_ready_while_a_round_still_waits_for_it() -> None:
    canary = ScriptedCanary()
    watch = watch_over(canary, Clock())
    await watch.round()
    canary.answering = False
    listening = asyncio.create_task(watch.listen())
    async with asyncio.timeout(5):
        while watch.ready:  # noqa: ASYNC110 - it listens in turns
            await asyncio.sleep(0)
    listening.cancel()
    assert watch.failing == {}, "no round has noticed"


NOTHING = Answer("output 'image' shows nothing", unsound=True)


async def test_a_model_that_shows_nothing_is_not_ready_and_is_no_reason_to_restart() -> None:
    canary = ScriptedCanary([NOTHING] * 9)
    watch = watch_over(canary, Clock())
    for _ in range(9):
        # Probes of vae_svc are real requests, too, and Triton counts each as a success.
        canary.count = Count(canary.count.answered + 5, canary.count.failed, canary.count.executions + 5)
        await watch.round()
        assert watch.failing == {"double": "output 'image' shows nothing"}
    await watch.round()
    assert watch.ready and not watch._misses


async def test_a_decoder_is_asked_however_often_it_answered_others() -> None:
    canary = ScriptedCanary()
    canary.graph.input.add(name="latents")
    watch = watch_over(canary, Clock())
    for round in range(1, 4):
        canary.count = Count(canary.count.answered + 5, canary.count.failed, canary.count.executions + 5)
        await watch.round()
        assert len(canary.asked) == round


def decoded(picture: np.ndarray) -> str:
    """What is wrong with a decoder that answers the canary with this picture."""
    config = graphs.graph_config(FACTS, graphs.vae_decoder(FACTS.name))
    sent = np.frombuffer(canary_request(config, FACTS).raw_input_contents[0], np.float32)
    assert sent.std() > 0.5, "of latents with content"
    response = service_pb2.ModelInferResponse(raw_output_contents=[picture.tobytes()])
    response.outputs.add(name="image", datatype="UINT8", shape=picture.shape)
    return faults(config, response)


def test_a_decoder_that_makes_one_colour_of_everything_fails() -> None:
    assert "shows nothing" in decoded(np.zeros((1, 64, 64, 3), np.uint8))
    assert "shows nothing" in decoded(np.full((1, 64, 64, 3), (255, 127, 0), np.uint8))
    content = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)
    assert decoded(content) == ""
    assert "shows nothing of one colour" in decoded(content * np.array([0, 1, 1], np.uint8))
    assert "next to nothing" in decoded(126 + content % 2)


class Script(ScriptedCanary):
    """Answers of one probe, and counts of which each look takes the next."""

    def __init__(self, answer: Answer, executions: list[int]) -> None:
        super().__init__([answer])
        self.executions = executions

    async def counts(self) -> dict[str, Count]:
        return {"double": Count(0, 0, self.executions.pop(0) if len(self.executions) > 1 else self.executions[0])}


@pytest.mark.parametrize(
    ("answer", "executions", "dead"),
    [
        (Answer(), [0], False),
        (LATE, [7, 8], False),
        (Answer("Exceeds maximum queue size", late=True), [7, 7, 8], False),
        (LATE, [7, 7], True),
        (DEAD, [7, 8], True),
        (NOTHING, [7, 8], False),
    ],
)
async def test_only_what_a_restart_mends_is_dead(answer: Answer, executions: list[int], dead: bool) -> None:
    probing: Any = Script(answer, executions)
    assert bool(await failing(probing, patience_s=0.05)) == dead
    probing = Script(answer, executions)
    assert bool(await failing(probing)) == bool(answer.fault), "a start waits for an answer"


async def test_a_model_that_was_exported_a_moment_ago_is_no_reason_to_restart() -> None:
    probing: Any = ScriptedCanary()
    assert await failing(probing, required=["new"]) == {"new": "not loaded"}
    assert await failing(probing, patience_s=0.05) == {}
