"""The demo's committed configurations are what the exporter writes; and the command line says so."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from export import configs
from export.facts import facts_of
from export.source import open_source

ROOT = Path(__file__).parents[3]
REPOSITORY = ROOT / "model_repository"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "export", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for path in REPOSITORY.glob("demo_*/config.pbtxt"):
        (tmp_path / path.parent.name).mkdir()
        shutil.copy(path, tmp_path / path.parent.name)
    return tmp_path


def test_committed_configurations_of_the_demo_are_fresh() -> None:
    assert configs.stale(REPOSITORY, facts_of(open_source("demo", {}), "demo"), "cpu") == []


def test_check_configs_finds_a_changed_a_missing_and_a_superfluous_one(copied: Path) -> None:
    assert command("demo", "--check-configs", "--repository", str(copied)).returncode == 0
    with (copied / "demo_unet" / "config.pbtxt").open("a") as opened:
        opened.write("\n")
    shutil.rmtree(copied / "demo_denoise")
    shutil.copytree(copied / "demo_denoise__canny", copied / "demo_denoise__pose")
    found = command("demo", "--check-configs", "--repository", str(copied))
    assert found.returncode == 6
    for name in ("demo_unet", "demo_denoise", "demo_denoise__pose"):
        assert name in found.stderr


def test_configs_only_writes_the_same_bytes_again(copied: Path) -> None:
    before = {path: path.read_bytes() for path in copied.rglob("config.pbtxt")}
    (copied / "demo_unet" / "config.pbtxt").write_text("")
    assert command("demo", "--configs-only", "--repository", str(copied)).returncode == 0
    assert {path: path.read_bytes() for path in copied.rglob("config.pbtxt")} == before


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("./nowhere",), 3),
        (("nobody/no-such-model", "--offline"), 4),
        (("demo", "--controlnet", "canny"), 2),
        (("demo", "--name", "../up"), 3),
    ],
)
def test_exit_statuses_tell_causes_apart(tmp_path: Path, arguments: tuple[str, ...], status: int) -> None:
    found = command(*arguments, "--repository", str(tmp_path))
    assert found.returncode == status, found.stderr
    assert "Traceback" not in found.stderr
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_hub_that_does_not_answer_is_one_sentence_of_advice(tmp_path: Path) -> None:
    """The real client against a port of this machine that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        environ = os.environ | {"HF_ENDPOINT": f"http://127.0.0.1:{held.getsockname()[1]}", "HF_HOME": str(tmp_path)}
        found = subprocess.run(
            [sys.executable, "-m", "export", "nobody/no-such-model", "--repository", str(tmp_path / "r")],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert found.returncode == 4, found.stderr
    assert "hf download nobody/no-such-model --local-dir FOLDER" in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


def test_neither_help_nor_checking_waits_for_torch() -> None:
    code = (
        "import sys; from export import __main__ as m\n"
        "try: m.app(['demo', '--check-configs'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode == 0
