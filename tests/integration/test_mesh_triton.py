"""The mesh's Triton client against the real tritonserver: outputs, shared memory, errors in our words."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from families.protocols import repository_metadata
from mesh.errors import DeadlineExceeded, InternalError, NotFound, Overloaded, Unavailable
from mesh.server import checked
from mesh.triton import Triton
from model_server.environment import find_environment
from model_server.launch import TritonProcess
from tests.rigs.ports import free_port
from tests.rigs.tiny_graphs import TRITON_ENVIRONMENT, write_ensemble, write_scaling, write_slow

BOUNDED = "dynamic_batching { default_queue_policy { max_queue_size: 2 } }"
PLANE = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
GRAPHS = ("double", "negate", "crowded", "slow")


KEY = "a-key-of-this-run"
KEYED = repository_metadata(KEY)


def start(repository: Path, port: int) -> TritonProcess:
    environment = find_environment(TRITON_ENVIRONMENT)
    return TritonProcess(environment, repository, GRAPHS, grpc_port=port, repository_key=KEY)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    write_scaling(folder, "double", 2.0)
    write_scaling(folder, "negate", -1.0)
    write_slow(folder, "slow", 200)
    write_slow(folder, "crowded", 100)
    config = folder / "crowded" / "config.pbtxt"
    config.write_text(config.read_text().replace("dynamic_batching { }", "") + BOUNDED)
    return folder


@pytest.fixture(scope="module")
async def server(graphs: Path) -> AsyncIterator[TritonProcess]:
    async with start(graphs, free_port()) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["wire", "shared memory"])
async def triton(server: TritonProcess, request: pytest.FixtureRequest) -> AsyncIterator[Triton]:
    client = Triton(server.url, repository=KEYED, shared_memory=request.param, timeout_s=30)
    yield client
    await client.close()


async def test_held_tensors_reach_the_graph_call_after_call(triton: Triton) -> None:
    async with await triton.hold({"x": PLANE, "other": PLANE * 10}) as held:
        for _ in range(3):
            outputs = await triton.infer("double", {}, ["y"], held.renamed({"x": "x"}))
            np.testing.assert_array_equal(outputs["y"], PLANE * 2)
        outputs = await triton.infer("double", {}, ["y"], held.renamed({"x": "other"}))
        np.testing.assert_array_equal(outputs["y"], PLANE * 20)


async def test_memory_is_reused_and_gone_at_the_end(server: TritonProcess) -> None:
    before = set(os.listdir("/dev/shm"))
    client = Triton(server.url, repository=KEYED, shared_memory=True)
    for _ in range(5):
        async with await client.hold({"x": PLANE}) as held:
            await client.infer("double", {}, ["y"], held)
    async with await client.hold({"x": PLANE}) as first, await client.hold({"x": PLANE * 3}) as second:
        ours = {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("psm_")}
        assert len(ours) == 2
        for held, factor in ((first, 2), (second, 6)):
            outputs = await client.infer("double", {}, ["y"], held)
            np.testing.assert_array_equal(outputs["y"], PLANE * factor)
    await client.close()
    assert not ours & set(os.listdir("/dev/shm"))


async def test_a_full_queue_is_overload_not_an_outage(server: TritonProcess) -> None:
    client = Triton(server.url)
    x = np.ones((1, 64, 1024), np.float32)
    answers = await asyncio.gather(
        *(client.infer("crowded", {"x": x}, ["y"]) for _ in range(24)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, Overloaded)]
    assert refused
    assert all(answer.retry_after_s for answer in refused)
    assert any(isinstance(answer, dict) for answer in answers)
    await client.close()


async def test_errors_are_in_our_words(server: TritonProcess) -> None:
    client = Triton(server.url)
    with pytest.raises(NotFound, match="no graph nothing"):
        await client.infer("nothing", {"x": PLANE}, ["y"])
    with pytest.raises(DeadlineExceeded):
        await client.infer("slow", {"x": np.ones((1, 64, 1024), np.float32)}, ["y"], timeout_s=0.05)
    with pytest.raises(InternalError) as caught:
        await client.infer("double", {"x": PLANE[0]}, ["y"])
    assert "shape" not in caught.value.message
    await client.close()
    nobody = Triton(f"127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable):
        await nobody.infer("double", {"x": PLANE}, ["y"])
    await nobody.close()


async def test_an_ensemble_can_be_registered_while_it_runs(server: TritonProcess, tmp_path: Path) -> None:
    client = Triton(server.url, repository=KEYED)
    assert not await client.is_ready("both")
    write_ensemble(tmp_path, "both", ["double", "negate"])
    written = (tmp_path / "both" / "config.pbtxt").read_text()
    config = text_format.Parse(written, model_config_pb2.ModelConfig())
    text = json_format.MessageToJson(config, preserving_proto_field_name=True)
    await client.load("both", text, {"file:1/ensemble": b"\n"})
    assert await client.is_ready("both")
    outputs = await client.infer("both", {"x": PLANE}, ["y"])
    np.testing.assert_array_equal(outputs["y"], PLANE * -2)
    await client.close()


async def test_a_restarted_server_is_told_of_the_memory_again(graphs: Path) -> None:
    port = free_port()
    client = Triton(f"127.0.0.1:{port}", repository=KEYED, shared_memory=True)
    async with start(graphs, port):
        held = await client.hold({"x": PLANE})
        await client.infer("double", {}, ["y"], held)
    async with start(graphs, port):
        outputs = await client.infer("double", {}, ["y"], held)
        np.testing.assert_array_equal(outputs["y"], PLANE * 2)
    await client.close()


async def test_a_server_that_goes_away_is_away_and_has_not_lost_its_graphs(graphs: Path) -> None:
    refused = 0
    async with start(graphs, free_port()) as server:
        client = Triton(server.url, repository=KEYED, timeout_s=30)
        # Holds the server back in its end, where it has dropped what nobody uses.
        held_back = asyncio.create_task(client.infer("slow", {"x": np.ones((1, 64, 1024), np.float32)}, ["y"]))
        await client.infer("double", {"x": PLANE}, ["y"])
        os.kill(server.pid, signal.SIGTERM)
        ended = asyncio.create_task(server.wait())
        while not ended.done():
            try:
                await client.infer("double", {"x": PLANE}, ["y"])
            except Unavailable:
                refused += 1
                await asyncio.wait({ended}, timeout=0.01)
        await asyncio.gather(held_back, return_exceptions=True)
        await client.close()
    assert refused


async def test_a_graph_whose_process_died_is_away(graphs: Path) -> None:
    async with start(graphs, free_port()) as server:
        client = Triton(server.url, repository=KEYED, timeout_s=30)
        (stub,) = [
            child
            for child in psutil.Process(server.pid).children(recursive=True)
            if "python_backend_stub" in child.name() and f"{graphs}/double/" in " ".join(child.cmdline())
        ]
        stub.kill()
        with pytest.raises(Unavailable) as caught:
            while True:
                await client.infer("double", {"x": PLANE}, ["y"])
        assert caught.value.retry_after_s
        await client.close()


async def test_without_the_key_nothing_is_loaded_listed_or_unloaded(server: TritonProcess, tmp_path: Path) -> None:
    """preprocess_svc and vae_svc decode strangers' pictures; whoever takes them over must not run code in Triton."""
    for metadata in ((), repository_metadata("another")):
        stranger = Triton(server.url, repository=metadata)
        for change in (
            stranger.loaded(),
            stranger.load_stored("double"),
            stranger.load("mine", "{}", {"file:1/model.py": b"import os"}),
            stranger.unload("double"),
        ):
            with pytest.raises(InternalError, match="another repository key"):
                await change
        sharing = Triton(server.url, shared_memory=True, repository=metadata)
        with pytest.raises(InternalError, match="can't read this service's memory"):
            # Its memory would have to be registered.
            async with await sharing.hold({"x": PLANE}) as held:
                await sharing.infer("double", {}, ["y"], held)
        await sharing.close()
        assert await stranger.is_ready("double")
        np.testing.assert_array_equal((await stranger.infer("double", {"x": PLANE}, ["y"]))["y"], PLANE * 2)
        await stranger.close()


def stopped(pid: int) -> bool:
    """Whether every thread of a process is stopped: the signal reaches them one by one."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return all((thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)


async def test_a_server_that_is_stopped_does_not_answer_and_one_that_computes_does(server: TritonProcess) -> None:
    client = Triton(server.url, timeout_s=30)
    await client.answers()
    assert not client.busy()
    calls = [asyncio.create_task(client.infer("slow", {"x": np.ones((1, 64, 1024), np.float32)}, ["y"])) for _ in "ab"]
    await asyncio.sleep(0)
    assert client.busy()
    await client.answers()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            while not stopped(server.pid):  # noqa: ASYNC110 - another process gives no event
                await asyncio.sleep(0.01)
            with pytest.raises(Unavailable):
                await client.answers()
            with pytest.raises(Unavailable, match="does not answer"):
                await checked(lambda: client.infer("double", {"x": PLANE}, ["y"]), client, 60)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await asyncio.gather(*calls)
    await client.answers()
    await client.close()
