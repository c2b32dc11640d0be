"""Resident memory of decoding and of every control, measured in processes of their own."""

import json
import subprocess
import sys

import pytest

from tests.rigs import peak_memory as peak
from tests.rigs.mesh import ROOT


@pytest.fixture(scope="module")
def peaks() -> dict[str, int]:
    command = [sys.executable, "-m", "tests.rigs.peak_memory"]
    return json.loads(subprocess.run(command, check=True, cwd=ROOT, capture_output=True, timeout=300).stdout)


@pytest.mark.parametrize("name", [*peak.DECODES, *peak.EXTRACTORS, *peak.READY])
def test_memory_is_a_small_multiple_of_the_picture(peaks: dict[str, int], name: str) -> None:
    assert peaks[name] <= peak.allowed(name)


def test_the_measure_sees_what_is_taken(peaks: dict[str, int]) -> None:
    """A picture of three bytes a pixel is decoded into at least that; grey of one channel into three."""
    assert peaks["decode png"] >= 3 * peak.DECODE_SIDE**2
    assert peaks["gray luma"] >= 3 * peak.CONTROL_SIDE**2
