"""The Python-based `onnxruntime` backend inside the real tritonserver."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc.aio as triton_aio
from google.protobuf import json_format, text_format
from onnx import helper
from tritonclient.grpc import InferInput, model_config_pb2
from tritonclient.utils import InferenceServerException

from model_server.environment import find_environment
from model_server.launch import TritonProcess
from tests.rigs.ports import free_port
from tests.rigs.tiny_graphs import (
    PLANE,
    TRITON_ENVIRONMENT,
    ensemble_config,
    write_ensemble,
    write_graph,
    write_scaling,
    write_slow,
)

# A batch of eight starts the moment it is full; the delay only bounds a client that never comes.
FULL_BATCHES = "dynamic_batching { preferred_batch_size: [8] max_queue_delay_microseconds: 10000000 }"
OPENVINO = """dynamic_batching { }
optimization { execution_accelerators { cpu_execution_accelerator [{ name: "openvino" }] } }"""

SHRINKING = 'parameters { key: "shrink_arena_over" value { string_value: "500" } }'


def fill(repository: Path) -> None:
    write_scaling(repository, "double", 2.0)
    write_scaling(repository, "negate", -1.0)
    write_scaling(repository, "eights", 3.0, FULL_BATCHES)
    write_scaling(repository, "by_openvino", 5.0, OPENVINO)
    write_graph(
        repository,
        "renamed_by_openvino",
        # Compiling drops the casts, so that the input and an output get the names of what follows and what precedes.
        [
            helper.make_node("Cast", ["time"], ["time_float"], to=1),
            helper.make_node("Mul", ["x", "time_float"], ["total"]),
            helper.make_node("Cast", ["total"], ["y"], to=1),
        ],
        [("time", "FP32", ("batch", 1)), ("x", "FP32", ("batch", 3))],
        [("y", "FP32", ("batch", 3))],
        extra=OPENVINO,
    )
    write_ensemble(repository, "negated_double", ["double", "negate"])
    write_slow(repository, "slow", 200)
    write_graph(
        repository,
        "many_types",
        [
            helper.make_node("Cast", ["ids"], ["ids_float"], to=1),
            helper.make_node("Cast", ["picture"], ["picture_float"], to=1),
            helper.make_node("Add", ["ids_float", "picture_float"], ["total"]),
            helper.make_node("Identity", ["ids"], ["same_ids"]),
            helper.make_node("Identity", ["picture"], ["same_picture"]),
            helper.make_node("Not", ["flag"], ["other_flag"]),
            helper.make_node("Neg", ["half"], ["negative_half"]),
        ],
        [("ids", "INT64", ("batch", 5)), ("picture", "UINT8", ("batch", 5)), ("flag", "BOOL", ("batch", 1)),
         ("half", "FP16", ("batch", 3))],
        [("total", "FP32", ("batch", 5)), ("same_ids", "INT64", ("batch", 5)), ("same_picture", "UINT8", ("batch", 5)),
         ("other_flag", "BOOL", ("batch", 1)), ("negative_half", "FP16", ("batch", 3))],
    )  # fmt: skip
    write_graph(
        repository,
        "loses_rows",
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)],
        [("x", "FP32", PLANE)],
        [("y", "FP32", PLANE)],
        {"axes": np.int64([0])},
        FULL_BATCHES,
    )
    write_graph(
        repository,
        "divides",
        [helper.make_node("Reshape", ["x", "halves"], ["y"])],
        [("x", "FP32", ("batch", "n"))],
        [("y", "FP32", ("batch", 2, "m"))],
        {"halves": np.int64([0, 2, -1])},
    )
    for name, extra in (("keeps", ""), ("shrinks", SHRINKING)):
        write_graph(
            repository,
            name,
            # n numbers become n * n, twice.
            [
                helper.make_node("Unsqueeze", ["x", "last"], ["column"]),
                helper.make_node("Unsqueeze", ["x", "middle"], ["row"]),
                helper.make_node("MatMul", ["column", "row"], ["square"]),
                helper.make_node("Sqrt", ["square"], ["root"]),
                helper.make_node("ReduceMean", ["root"], ["y"], axes=[2], keepdims=0),
            ],
            [("x", "FP32", ("batch", "n"))],
            [("y", "FP32", ("batch", "n"))],
            {"last": np.int64([2]), "middle": np.int64([1])},
            f"dynamic_batching {{ }}\n{extra}",
        )


@pytest.fixture(scope="module")
async def triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TritonProcess]:
    repository = tmp_path_factory.mktemp("graphs")
    fill(repository)
    models = [folder.name for folder in repository.iterdir()]
    port = free_port()
    async with TritonProcess(find_environment(TRITON_ENVIRONMENT), repository, models, grpc_port=port) as running:
        yield running


@pytest.fixture(scope="module")
async def client(triton: TritonProcess) -> AsyncIterator[triton_aio.InferenceServerClient]:
    async with triton_aio.InferenceServerClient(triton.url) as opened:
        yield opened


async def infer(client: triton_aio.InferenceServerClient, model: str, deadline_s: float = 30.0, **arrays: np.ndarray):
    names = {"float32": "FP32", "float16": "FP16", "int64": "INT64", "uint8": "UINT8", "bool": "BOOL"}
    inputs = []
    for name, array in arrays.items():
        inputs.append(InferInput(name, array.shape, names[array.dtype.name]))
        inputs[-1].set_data_from_numpy(array)
    return await client.infer(model, inputs, client_timeout=deadline_s)


async def totals(client: triton_aio.InferenceServerClient, model: str) -> tuple[int, int]:
    """Requests answered and executions run so far."""
    (one,) = (await client.get_inference_statistics(model)).model_stats
    return one.inference_stats.success.count, one.execution_count


async def totals_once(client: triton_aio.InferenceServerClient, model: str, answered: int) -> tuple[int, int]:
    """`totals` when `answered` requests have been counted: Triton answers first and counts afterwards."""
    async with asyncio.timeout(5):
        while True:
            now = await totals(client, model)
            if now[0] >= answered:
                return now


def process_of(triton: TritonProcess, model: str) -> Path:
    """/proc folder of the model's process."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().split("\0")
            group = (process / "stat").read_text().rpartition(")")[2].split()[2]
        except OSError:
            continue
        if group == str(triton.pid) and any(part.endswith(f"/{model}/1/model.onnx") for part in command):
            return process
    raise AssertionError(f"no process of {model}")


def cpu_ticks(process: Path) -> int:
    """Clock ticks of CPU that a process has used, in user and kernel mode."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def planes(rows: int, height: int = 3, width: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 2, height, width)).astype(np.float32)


async def test_answers_with_every_type_unchanged(client: triton_aio.InferenceServerClient) -> None:
    ids = np.int64([[0, 1, -1, 2**60, 49407], [5, 6, 7, 8, 9]])
    picture = np.uint8([[0, 1, 127, 128, 255], [9, 8, 7, 6, 5]])
    answer = await infer(
        client,
        "many_types",
        ids=ids,
        picture=picture,
        flag=np.array([[True], [False]]),
        half=np.float16([[1, 2, 3]] * 2),
    )
    np.testing.assert_array_equal(answer.as_numpy("same_ids"), ids)
    np.testing.assert_array_equal(answer.as_numpy("same_picture"), picture)
    np.testing.assert_array_equal(answer.as_numpy("total"), ids.astype(np.float32) + picture)
    np.testing.assert_array_equal(answer.as_numpy("other_flag"), [[False], [True]])
    np.testing.assert_array_equal(answer.as_numpy("negative_half"), np.float16([[-1, -2, -3]] * 2))


@pytest.mark.parametrize(("rows", "height", "width"), [(1, 1, 1), (3, 7, 2), (8, 64, 65)])
async def test_free_sizes_follow_the_request(client, rows: int, height: int, width: int) -> None:
    x = planes(rows, height, width)
    np.testing.assert_array_equal((await infer(client, "double", x=x)).as_numpy("y"), 2 * x)


async def test_eight_clients_share_one_execution_and_get_their_own_rows(client) -> None:
    answered, executions = await totals(client, "eights")
    sent = [planes(1, seed=seed) for seed in range(8)]
    answers = await asyncio.gather(*(infer(client, "eights", x=x) for x in sent))
    for x, answer in zip(sent, answers, strict=True):
        np.testing.assert_array_equal(answer.as_numpy("y"), 3 * x)
    assert await totals_once(client, "eights", answered + 8) == (answered + 8, executions + 1)


async def test_requests_of_several_rows_are_merged_and_dealt(client) -> None:
    answered, executions = await totals(client, "eights")
    sent = [planes(rows, seed=rows) for rows in (1, 2, 5)]
    answers = await asyncio.gather(*(infer(client, "eights", x=x) for x in sent))
    for x, answer in zip(sent, answers, strict=True):
        np.testing.assert_array_equal(answer.as_numpy("y"), 3 * x)
    assert await totals_once(client, "eights", answered + 3) == (answered + 3, executions + 1)


async def test_requests_of_several_sizes_at_once_get_their_own_answers(client) -> None:
    """As prompts of one and of two chunks do, or pictures of two sizes: they can't share a batch, whoever waits."""
    answered, executions = await totals(client, "double")
    sent = [planes(1, height, width, seed) for seed, (height, width) in enumerate([(3, 5), (3, 10), (6, 5)] * 8)]
    answers = await asyncio.gather(*(infer(client, "double", x=x) for x in sent))
    for x, answer in zip(sent, answers, strict=True):
        np.testing.assert_array_equal(answer.as_numpy("y"), 2 * x)
    now_answered, now_executions = await totals_once(client, "double", answered + 24)
    assert now_answered == answered + 24
    assert now_executions >= executions + 3


async def test_an_ensemble_passes_tensors_through_its_graphs(client) -> None:
    x = planes(3)
    np.testing.assert_array_equal((await infer(client, "negated_double", x=x)).as_numpy("y"), -2 * x)


async def test_an_ensemble_registered_at_run_time_serves(client) -> None:
    config = model_config_pb2.ModelConfig()
    text_format.Parse(
        'name: "late" max_batch_size: 8 '
        'input [{ name: "x" data_type: TYPE_FP32 dims: [2, -1, -1] }] '
        'output [{ name: "y" data_type: TYPE_FP32 dims: [2, -1, -1] }] '
        + ensemble_config("late", ["double", "negate", "double"]),
        config,
    )
    described = json.dumps(json_format.MessageToDict(config, preserving_proto_field_name=True))
    await client.load_model("late", config=described, files={"file:1/graph": b"-"})
    x = planes(2)
    np.testing.assert_array_equal((await infer(client, "late", x=x)).as_numpy("y"), -4 * x)


async def test_the_openvino_accelerator_runs_openvino(triton: TritonProcess, client) -> None:
    x = planes(4)
    np.testing.assert_allclose((await infer(client, "by_openvino", x=x)).as_numpy("y"), 5 * x, rtol=1e-6)
    # Which library a model's process has mapped is the fact behind the configuration.
    mapped = {model: (process_of(triton, model) / "maps").read_text() for model in ("by_openvino", "double")}
    assert "libopenvino" in mapped["by_openvino"]
    assert "libopenvino" not in mapped["double"]


async def test_openvino_knows_a_tensor_by_the_name_that_the_graphs_file_has(client) -> None:
    time, x = np.float32([[2], [3]]), np.float32([[1, 2, 3], [4, 5, 6]])
    answer = await infer(client, "renamed_by_openvino", time=time, x=x)
    np.testing.assert_allclose(answer.as_numpy("y"), time * x, rtol=1e-6)


async def test_a_graph_that_loses_rows_is_named(client) -> None:
    with pytest.raises(InferenceServerException, match=r"output 'y' has shape \[1, 2, 3, 5\] for a batch of 8 rows"):
        await infer(client, "loses_rows", x=planes(8))


async def test_a_failing_run_answers_the_request_and_the_next_one_is_served(client) -> None:
    with pytest.raises(InferenceServerException) as caught:
        await infer(client, "divides", x=np.zeros((1, 3), np.float32))
    assert "could not run the graph" in str(caught.value)
    assert "/1/model.onnx" not in str(caught.value)
    assert (await infer(client, "divides", x=np.zeros((1, 4), np.float32))).as_numpy("y").shape == (1, 2, 2)


async def test_a_request_given_up_in_the_queue_is_not_run(triton: TritonProcess, client) -> None:
    x = np.ones((1, 64, 1024), np.float32)
    process = process_of(triton, "slow")

    before = cpu_ticks(process)
    np.testing.assert_array_equal((await infer(client, "slow", x=x)).as_numpy("y"), x)
    one_run = cpu_ticks(process) - before

    before = cpu_ticks(process)
    running = asyncio.create_task(infer(client, "slow", x=x))
    while cpu_ticks(process) == before:  # noqa: ASYNC110 - another process gives no event
        await asyncio.sleep(0.002)
    with pytest.raises(InferenceServerException) as caught:
        await infer(client, "slow", deadline_s=0.02, x=x)
    assert "DEADLINE_EXCEEDED" in str(caught.value.status())
    await running
    # The next one stands behind the abandoned one, so when it is answered both have been dealt with.
    await infer(client, "slow", x=x)
    runs = (cpu_ticks(process) - before) / one_run
    assert runs < 2.5, "the abandoned request was computed"


def resident_mib(process: Path) -> float:
    return int((process / "statm").read_text().split()[1]) * 4096 / 2**20


async def test_memory_of_a_large_request_goes_back_where_the_configuration_says_what_is_large(
    triton: TritonProcess, client: triton_aio.InferenceServerClient
) -> None:
    after = {}
    for model in ("keeps", "shrinks"):
        small, large = np.full((2, 500), 4, np.float32), np.full((1, 5000), 4, np.float32)
        # Two rows of what is usual are not large, however many numbers they are together.
        np.testing.assert_allclose((await infer(client, model, x=small)).as_numpy("y"), small)
        before = resident_mib(process_of(triton, model))
        np.testing.assert_allclose((await infer(client, model, x=large)).as_numpy("y"), large)
        after[model] = resident_mib(process_of(triton, model)) - before
        np.testing.assert_allclose((await infer(client, model, x=small)).as_numpy("y"), small)
    # 95 MiB a square.
    assert after["keeps"] > 90 and after["shrinks"] < 30, after
