"""What is said on a machine, a Python or an environment that can't run Triton; leftovers; the log."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model_server.environment import UnfitEnvironment, find_environment
from model_server.platform_check import glibc_fault, library_fault, platform_fault, version_fault
from model_server.repository import RepositoryError, models_to_load
from model_server.triton_log import Line, load_failures, parse
from model_server.workspace import shm_prefix, sweep


def test_this_machine_passes_the_check_that_setup_runs() -> None:
    script = Path(__file__).parents[3] / "model_server" / "platform_check.py"
    subprocess.run([sys.executable, "-I", "-S", script], check=True)


@pytest.mark.parametrize("machine", [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "aarch64")])
def test_another_platform_is_told_what_exists(machine: tuple[str, str]) -> None:
    assert f"Linux x86-64 only; this is {machine[0]} {machine[1]}" in platform_fault(*machine)


def test_versions() -> None:
    assert [version_fault((3, minor)) == "" for minor in (10, 11, 12, 13, 14)] == [False, True, True, True, False]
    assert [glibc_fault(version) == "" for version in ("2.31", "2.35", "2.41", "")] == [False, True, True, True]


def test_a_python_without_its_library_is_named(tmp_path: Path) -> None:
    said = library_fault((3, 11), "libpython3.11.a", str(tmp_path))
    assert "comes without its shared library" in said
    assert "libpython3.11" in library_fault((3, 11), "libpython3.11.so.1.0", str(tmp_path))
    (tmp_path / "libpython3.11.so.1.0").touch()
    assert library_fault((3, 11), "libpython3.11.so.1.0", str(tmp_path)) == ""
    assert library_fault((3, 13), "", "") == "", "its library comes with the server"


def test_an_environment_without_triton_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UnfitEnvironment, match="nowhere is not a virtual environment; create it with `make setup`"):
        find_environment(tmp_path / "nowhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "empty"], check=True)
    with pytest.raises(UnfitEnvironment, match="empty lacks pytriton, numpy, onnxruntime; install"):
        find_environment(tmp_path / "empty")


def test_only_what_dead_processes_of_this_user_left_is_swept(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    shared, temporary = tmp_path / "shm", tmp_path / "tmp"
    ours = (f"{shm_prefix(gone.pid)}0_a", f"controlmesh-triton-{gone.pid}-b")
    kept = (f"{shm_prefix(os.getpid())}0_a", "cn_triton_x_y", "another")
    for folder in (shared, temporary):
        folder.mkdir()
    for name in (ours[0], *kept):
        (shared / name).touch()
    (temporary / ours[1]).mkdir()
    (temporary / f"controlmesh-triton-{os.getpid()}-c").mkdir()
    assert sweep(shared, temporary) == sorted(ours)
    assert sorted(path.name for path in shared.iterdir()) == sorted(kept)
    assert [path.name for path in temporary.iterdir()] == [f"controlmesh-triton-{os.getpid()}-c"]


def test_graphs_that_outlived_their_launcher_are_ended(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stubs = {}
    for launcher in (gone.pid, os.getpid()):
        program = tmp_path / f"controlmesh-triton-{launcher}-a" / "python" / "stub"
        program.parent.mkdir(parents=True)
        shutil.copy2("/bin/sleep", program)
        stubs[launcher] = subprocess.Popen([program, "600"])
    try:
        assert sweep(tmp_path / "shm", tmp_path) == [f"controlmesh-triton-{gone.pid}-a"]
        assert stubs[gone.pid].wait(30) == -signal.SIGKILL
        assert stubs[os.getpid()].poll() is None
    finally:
        for stub in stubs.values():
            stub.kill()
            stub.wait()


def test_a_repository_without_graphs_is_told_how_to_be_filled(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="'absent' does not exist; create it with `make models`"):
        models_to_load(tmp_path / "absent")
    with pytest.raises(RepositoryError, match="has no model card; export a model"):
        models_to_load(tmp_path)
    with pytest.raises(RepositoryError, match=f"{tmp_path.name}/double/config.pbtxt is missing"):
        models_to_load(tmp_path, ("double",))


def test_a_line_of_triton_becomes_an_event() -> None:
    line = parse("E1121 00:01:02.345678 99 model_lifecycle.cc:642] \"failed to load 'a'\"\n")
    assert line == Line("error", "failed to load 'a'", "model_lifecycle.cc:642")
    assert parse("I1121 00:01:02.345678 99 server.cc:345] quiet") == Line("debug", "quiet", "server.cc:345")
    assert parse("said by a graph's process") == Line("info", "said by a graph's process", "")
    assert parse("+-----+") is None
    assert parse("\n") is None


def test_the_reason_of_a_failed_load_is_kept_without_frames() -> None:
    raw = (
        "E1121 00:01:02.345678 99 model_lifecycle.cc:642] \"failed to load 'a' version 1: Internal: "
        "TritonModelException: model 'a': a/1/model.onnx is missing\\n\\nAt:\\n  /x/model.py(40): initialize\\n\""
    )
    line = parse(raw)
    assert line is not None
    assert load_failures([line]) == {"a": "model 'a': a/1/model.onnx is missing"}
