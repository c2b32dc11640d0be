"""Measuring exports at real size: what is counted, and that nothing of it stays behind."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.export_real import AIMS, DISK, measured

ROOT = Path(__file__).parents[3]
HELD = "import time; x = b'x' * (200 << 20); time.sleep(1)"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HELD!r}])"


def test_the_peak_is_that_of_a_command_and_its_children() -> None:
    assert measured([sys.executable, "-c", HELD]).peak > 200 << 20
    assert measured([sys.executable, "-c", CHILD]).peak > 200 << 20


def test_a_command_that_fails_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        measured([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    if shutil.disk_usage(tmp_path).free < DISK:
        pytest.skip("it needs more free disk")
    command = [sys.executable, "-m", "benchmarks.export_real", "--models", next(iter(AIMS)), "--folder", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*/source/scheduler")) and time.monotonic() < deadline:
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(number)
        running.communicate(timeout=30)
    assert running.returncode and not list(tmp_path.iterdir())
