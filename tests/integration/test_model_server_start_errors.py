"""A graph or a setting that can't be served ends the start with a sentence that says what to change."""

import os
from pathlib import Path

import pytest

from model_server.environment import find_environment
from model_server.launch import StartError, TritonProcess
from model_server.workspace import SHARED_MEMORY, shm_prefix
from tests.rigs.ports import free_port
from tests.rigs.tiny_graphs import PLANE, TRITON_ENVIRONMENT, write_config, write_scaling


async def start_error(repository: Path, *models: str) -> str:
    port = free_port()
    with pytest.raises(StartError) as caught:
        await TritonProcess(find_environment(TRITON_ENVIRONMENT), repository, models, grpc_port=port).start()
    assert str(repository) not in str(caught.value)
    assert not list(SHARED_MEMORY.glob(f"{shm_prefix(os.getpid())}*"))
    return str(caught.value)


async def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    write_config(tmp_path, "double", [("x", "FP32", PLANE)], [("y", "FP32", PLANE)])
    assert "double/1/model.onnx is missing: export the model again" in await start_error(tmp_path, "double")


async def test_a_broken_graph_is_named(tmp_path: Path) -> None:
    write_scaling(tmp_path, "double", 2.0)
    graph = tmp_path / "double" / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-40])
    assert "double/1/model.onnx can't be loaded; export the model again" in await start_error(tmp_path, "double")


async def test_each_difference_between_graph_and_configuration_is_named(tmp_path: Path) -> None:
    write_scaling(tmp_path, "double", 2.0)
    inputs = [("x", "FP16", PLANE), ("guidance", "FP32", ("batch", 1))]
    write_config(tmp_path, "double", inputs, [("y", "FP32", ("batch", 3, "h", "w"))])
    said = await start_error(tmp_path, "double")
    assert "input 'x' is TYPE_FP16 in config.pbtxt and TYPE_FP32 in the graph" in said
    assert "config.pbtxt lists input 'guidance', which the graph does not have" in said
    assert "output 'y' is [-1, 3, -1, -1] in config.pbtxt and [-1, 2, -1, -1] in the graph" in said


async def test_an_unknown_accelerator_is_named(tmp_path: Path) -> None:
    accelerator = 'optimization { execution_accelerators { cpu_execution_accelerator [{ name: "abacus" }] } }'
    write_scaling(tmp_path, "double", 2.0, accelerator)
    assert "cpu_execution_accelerator 'abacus' is unknown here; use 'openvino'" in await start_error(tmp_path, "double")


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    environment, repository = find_environment(TRITON_ENVIRONMENT), tmp_path
    write_scaling(repository, "double", 2.0)
    port = free_port()
    async with TritonProcess(environment, repository, ["double"], grpc_port=port):
        with pytest.raises(StartError, match=f"can't listen on 127.0.0.1:{port}"):
            await TritonProcess(environment, repository, ["double"], grpc_port=port).start()
