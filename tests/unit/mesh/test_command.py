"""A command's first line is a sentence."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from mesh.command import plainly
from mesh.environment import refuse
from tests.rigs.mesh import ROOT


def fail(arguments: Sequence[str]) -> None:
    raise OSError(f"the folder is full\nof {list(arguments)}")


def test_an_unexpected_error_is_one_sentence_and_a_traceback_only_if_asked_for() -> None:
    with pytest.raises(SystemExit) as ended:
        plainly(fail, ["a"])
    assert ended.value.code == "OSError: the folder is full\nRun it again with --debug for the traceback."
    with pytest.raises(OSError, match=r"of \['a'\]"):
        plainly(fail, ["--debug", "a"])


def test_a_python_without_the_packages_is_told_which_has_them() -> None:
    with pytest.raises(SystemExit, match=r"typer is not installed .*\.venv/bin/python -m export, or: make setup"):
        refuse(ModuleNotFoundError("No module named 'typer'", name="typer.core"), "export")
    with pytest.raises(ModuleNotFoundError):
        refuse(ModuleNotFoundError("No module named 'gateway.nothing'", name="gateway.nothing"), "gateway")


@pytest.mark.parametrize("program", ["gateway", "local", "export", "demo"])
def test_every_command_says_so(program: str) -> None:
    # -S: without the environment's packages.
    ended = subprocess.run(
        [sys.executable, "-S", "-m", program, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert f"run .venv/bin/python -m {program}, or: make setup" in line
