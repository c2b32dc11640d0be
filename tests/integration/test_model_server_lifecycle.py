"""How the model server starts, fails, loses a model and ends: `python -m model_server` as a process."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from model_server.canary import Canary
from model_server.environment import find_environment
from model_server.launch import TritonProcess
from model_server.watch import ModelLost, Watch
from model_server.workspace import SHARED_MEMORY, shm_prefix
from tests.rigs.ports import free_port, free_ports
from tests.rigs.tiny_graphs import ROOT, TRITON_ENVIRONMENT, write_ensemble, write_scaling


@dataclass
class Server:
    """A running `python -m model_server`."""

    process: subprocess.Popen[bytes]
    grpc_port: int
    admin_port: int
    log: Path

    def page(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stub(self, model: str) -> psutil.Process:
        (found,) = [p for p in self.family() if any(a.endswith(f"/{model}/1/model.onnx") for a in p.cmdline())]
        return found

    def left_behind(self) -> list[str]:
        shared = SHARED_MEMORY.glob(f"{shm_prefix(self.process.pid)}*")
        folders = Path(tempfile.gettempdir()).glob(f"controlmesh-triton-{self.process.pid}-*")
        return [path.name for path in (*shared, *folders)]


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts model servers and waits until they are ready; whatever still runs at the end is killed."""
    servers: list[Server] = []

    def begin(repository: Path, *models: str, wait: bool = True, **settings: str) -> Server:
        grpc_port, metrics_port, admin_port = free_ports(3)
        variables = {
            "ENVIRONMENT": str(TRITON_ENVIRONMENT),
            "REPOSITORY": str(repository),
            "MODELS": ",".join(models),
            "GRPC_PORT": str(grpc_port),
            "METRICS_PORT": str(metrics_port),
            "ADMIN_PORT": str(admin_port),
            "CANARY_INTERVAL_S": "0.2",
            **settings,
        }
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CN_")}
        environ |= {f"CN_MODEL_SERVER_{name}": value for name, value in variables.items()}
        log = tmp_path / f"{len(servers)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "model_server"], cwd=ROOT, env=environ, stdout=out, stderr=subprocess.STDOUT
            )
        servers.append(Server(process, grpc_port, admin_port, log))
        if wait:
            until(lambda: servers[-1].page("/readyz")[0] == 200 or process.poll() is not None)
            assert process.poll() is None, log.read_text()
        return servers[-1]

    yield begin
    for server in servers:
        family = server.family() if server.process.poll() is None else []
        for one in (server.process, *family):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        server.process.wait()


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for another process to bring something about."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def a_repository(folder: Path) -> Path:
    write_scaling(folder, "double", 2.0)
    write_scaling(folder, "negate", -1.0)
    write_ensemble(folder, "negated_double", ["double", "negate"])
    return folder


async def test_instances_of_a_group_are_processes_of_their_own(tmp_path: Path) -> None:
    repository = a_repository(tmp_path)
    config = repository / "double" / "config.pbtxt"
    config.write_text(config.read_text().replace("count: 1", "count: 3"))
    port = free_port()
    async with TritonProcess(find_environment(TRITON_ENVIRONMENT), repository, ["double"], grpc_port=port) as triton:
        assert len(psutil.Process(triton.pid).children()) == 3


def test_ready_is_said_after_every_model_answered_and_sigterm_leaves_nothing(start: Start, tmp_path: Path) -> None:
    server = start(a_repository(tmp_path / "graphs"), "negated_double")
    status, body = server.page("/readyz")
    assert (status, json.loads(body)["models"]) == (200, ["double", "negate", "negated_double"])
    assert server.page("/healthz")[0] == 200
    assert "cn_model_server_ready 1.0" in server.page("/metrics")[1]
    assert [e for e in server.events() if e["event"] == "ready"]
    family = server.family()
    assert len(family) == 3, "tritonserver and a process for each graph"
    assert server.left_behind()

    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=30) == 0
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert server.left_behind() == []


def test_sigterm_while_models_load_leaves_nothing(start: Start, tmp_path: Path) -> None:
    server = start(a_repository(tmp_path / "graphs"), "negated_double", wait=False)
    until(lambda: any(p.name().startswith("triton_python") for p in alive(server)))
    family = server.family()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=30) == 0
    assert not [e for e in server.events() if e["event"] == "ready"]
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert server.left_behind() == []


def alive(server: Server) -> list[psutil.Process]:
    """Its processes, less those that ended while they were listed."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [p for p in server.family() if p.is_running() and p.name()]
    return []


def test_a_killed_model_process_fails_the_canary_and_ends_the_server(start: Start, tmp_path: Path) -> None:
    server = start(a_repository(tmp_path / "graphs"), "negated_double", CANARY_INTERVAL_S="0.5", STOP_TIMEOUT_S="1")
    family = server.family()
    server.stub("negate").kill()
    until(lambda: server.page("/readyz")[0] == 503)
    assert "negate" in json.loads(server.page("/readyz")[1])["failing"]["negated_double"]
    assert server.process.wait(timeout=30) == 1
    assert server.events()[-1]["event"] == "ended"
    assert "failed 3 consecutive canary requests" in str(server.events()[-1]["reason"])
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert server.left_behind() == []


def test_after_kill_9_no_process_stays_and_the_next_start_sweeps(start: Start, tmp_path: Path) -> None:
    repository = a_repository(tmp_path / "graphs")
    killed = start(repository, "double")
    family = killed.family()
    killed.process.kill()
    killed.process.wait()
    until(lambda: not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])
    assert killed.left_behind(), "kill -9 leaves files, or this test proves nothing"
    start(repository, "double")
    assert killed.left_behind() == []


def test_a_server_that_ends_by_itself_ends_the_process(start: Start, tmp_path: Path) -> None:
    server = start(a_repository(tmp_path / "graphs"), "double")
    (triton,) = [p for p in server.family() if "--model-control-mode=explicit" in p.cmdline()]
    triton.kill()
    assert server.process.wait(timeout=30) == 1
    assert "Triton exited unexpectedly with status -9" in str(server.events()[-1]["reason"])
    assert server.left_behind() == []


def loading(server: Server) -> list[tuple[psutil.Process, psutil.Process]]:
    """Triton and a process that loads its graph, once both are there."""
    try:
        here = alive(server)
        tritons = [p for p in here if "--model-control-mode=explicit" in p.cmdline()]
        return [(triton, p) for triton in tritons for p in here if p.name().startswith("triton_python")]
    except psutil.Error:
        # One has ended meanwhile.
        return []


def test_a_server_that_is_killed_while_models_load_ends_the_process(start: Start, tmp_path: Path) -> None:
    server = start(a_repository(tmp_path / "graphs"), "double", wait=False)
    found: list[tuple[psutil.Process, psutil.Process]] = []
    until(lambda: bool(found.extend(loading(server)) or found))
    triton, stub = found[0]
    # One that loads a large graph does not look up for a while.
    stub.suspend()
    triton.kill()
    assert server.process.wait(timeout=60) == 1
    assert not stub.is_running() or stub.status() == psutil.STATUS_ZOMBIE
    assert server.left_behind() == []


def test_an_empty_repository_is_told_how_to_be_filled(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path, wait=False)
    assert server.process.wait(timeout=30) == 1
    assert "has no model card; export a model with" in str(server.events()[-1]["reason"])


def test_the_probe_command_answers_for_the_models(start: Start, tmp_path: Path) -> None:
    server = start(a_repository(tmp_path / "graphs"), "negated_double", CANARY_MISSES="1000")

    def probe(*arguments: str) -> subprocess.CompletedProcess[str]:
        url = f"127.0.0.1:{server.grpc_port}"
        command = [sys.executable, "-m", "model_server.canary", "--url", url, "--repository", str(tmp_path), *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert probe().returncode == 0
    absent = probe("--model", "absent")
    assert (absent.returncode, absent.stderr.strip()) == (1, "absent: not loaded")
    server.stub("double").kill()
    dead = probe()
    assert dead.returncode == 1
    assert dead.stderr.startswith("negated_double: ")


async def test_a_failed_registration_at_run_time_leaves_the_server_ready(tmp_path: Path) -> None:
    repository = a_repository(tmp_path)
    port = free_port()
    async with (
        TritonProcess(find_environment(TRITON_ENVIRONMENT), repository, ["double"], grpc_port=port) as triton,
        triton_aio.InferenceServerClient(triton.url) as client,
    ):
        canary = Canary(triton.url, [])
        watch = Watch(canary, ["double"])
        plane = {"data_type": "TYPE_FP32", "dims": [2, -1, -1]}
        config = {
            "name": "wrong",
            "platform": "ensemble",
            "max_batch_size": 8,
            "input": [{**plane, "name": "x"}],
            "output": [{**plane, "name": "y"}],
            "ensemble_scheduling": {
                "step": [
                    {"model_name": "absent", "model_version": -1, "input_map": {"x": "x"}, "output_map": {"y": "y"}}
                ]
            },
        }
        with pytest.raises(InferenceServerException):
            await client.load_model("wrong", config=json.dumps(config), files={"file:1/graph": b"-"})
        await watch.round()
        assert watch.failing == {}
        await canary.close()


async def test_a_server_that_is_gone_is_lost_after_three_rounds() -> None:
    port = free_port()
    canary = Canary(f"127.0.0.1:{port}", [], timeout_s=1.0)
    watch = Watch(canary, interval_s=0.01, misses=3)
    try:
        with pytest.raises(ModelLost, match="model 'triton' failed 3 consecutive canary requests: does not answer"):
            await asyncio.wait_for(watch.run(), 20)
    finally:
        await canary.close()
    assert not watch.ready
