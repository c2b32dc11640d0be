"""The command line that the container of production starts Triton with."""

from pathlib import Path

import pytest

from model_server.container import command
from model_server.flags import KeyMissing
from model_server.repository import RepositoryError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("demo_unet", "demo_denoise"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").touch()
    return tmp_path


def test_triton_is_closed_but_for_grpc_and_metrics(repository: Path) -> None:
    line = command(["--repository", str(repository), "--model", "demo_unet", "--model", "demo_denoise"])
    assert line[0] == "tritonserver"
    assert {"--allow-http=false", "--model-control-mode=explicit", f"--model-repository={repository}"} <= set(line)
    assert [flag for flag in line if flag.startswith("--load-model=")] == [
        "--load-model=demo_unet",
        "--load-model=demo_denoise",
    ]
    (closed,) = [flag for flag in line if flag.startswith("--grpc-restricted-protocol=")]
    protocols, _, key = closed.partition("=")[2].partition(":")
    assert protocols == "shared-memory,trace,logging"
    assert len(key) > len("admin-key=") + 20


def test_the_key_of_closed_protocols_is_never_the_same(repository: Path) -> None:
    arguments = ["--repository", str(repository), "--model", "demo_unet"]
    assert command(arguments) != command(arguments)


def test_shared_memory_can_be_opened_for_a_service_in_the_same_pod(repository: Path) -> None:
    arguments = ["--repository", str(repository), "--model", "demo_unet", "--closed", "trace,logging"]
    assert any(flag.startswith("--grpc-restricted-protocol=trace,logging:") for flag in command(arguments))


def test_what_it_does_not_know_goes_to_triton(repository: Path) -> None:
    arguments = ["--repository", str(repository), "--model", "demo_unet", "--model-config-name=tensorrt"]
    assert command(arguments)[-1] == "--model-config-name=tensorrt"


def test_an_empty_repository_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="has no model card"):
        command(["--repository", str(tmp_path)])


def restricted(line: list[str]) -> dict[str, str]:
    """Groups of calls -> name and key that they need."""
    flags = [flag.partition("=")[2] for flag in line if flag.startswith("--grpc-restricted-protocol=")]
    return dict(flag.split(":", 1) for flag in flags)


def test_loading_models_needs_the_key_of_the_file(repository: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    arguments = ["--repository", str(repository), "--model", "demo_unet", "--repository-key-file", str(key)]
    assert restricted(command(arguments))["model-repository"] == "repository-key=s3cret"
    beside = restricted(command([*arguments, "--closed", "trace,logging"]))
    assert beside["model-repository,shared-memory"] == "repository-key=s3cret", "who shares the pod has the key"
    key.write_text("\n")
    with pytest.raises(KeyMissing, match="is empty"):
        command(arguments)
    key.unlink()
    closed = restricted(command(arguments))["model-repository"]
    assert closed != restricted(command(arguments))["model-repository"], "a missing key opens nothing"
