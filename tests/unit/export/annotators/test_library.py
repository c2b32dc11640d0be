"""controlnet_aux's modules alone, and the weights that its networks are given."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from export.annotators import checkpoint, library, library_files
from export.annotators.table import ARCHITECTURES
from export.errors import SourceRefused

ALONE = """
import sys
from export.annotators import library

before = set(sys.modules)
face = library.module("open_pose.face")
bae = library.module("normalbae")
assert face.FaceNet.__module__ == "controlnet_aux.open_pose.face"
assert library.module("open_pose.face") is face
left = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(left & {"controlnet_aux", "torchvision", "timm", "mediapipe"}))
"""


def test_a_module_comes_without_its_package_and_leaves_nothing_behind() -> None:
    """In a process of its own, where nobody else has imported the package."""
    run = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_modules_that_were_there_are_there_again() -> None:
    before = {
        name: module for name, module in sys.modules.items() if name.startswith(("controlnet_aux", "torchvision"))
    }
    library.module.__wrapped__("pidi.model")
    after = {name: module for name, module in sys.modules.items() if name.startswith(("controlnet_aux", "torchvision"))}
    assert after == before


def test_torchvision_s_normalisation_or_its_stand_in_computes() -> None:
    norm = library.module("normalbae").NormalBaeDetector(nn.Identity()).norm
    x = torch.rand(2, 3, 4, 5)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(norm(x), ((x.movedim(1, -1) - mean) / std).movedim(-1, 1))


def test_what_is_not_installed_is_said_with_the_command_that_installs_it() -> None:
    with pytest.raises(SourceRefused, match=r"no_such_network cannot be imported: .*pip install --no-deps control"):
        library.module("no_such_network")


def test_rows_name_the_files_that_they_take() -> None:
    rows = {row.name: row for row in ARCHITECTURES}
    for row in library_files.ROWS:
        assert rows[row.name] is row
        assert {name for name in row.fetch if name.endswith((".pth", ".pt")) and name in row.description}


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


WEIGHTS: dict[str, Tensor] = dict(network().state_dict())


@pytest.mark.parametrize(
    ("file", "written"),
    [
        ("plain.pth", WEIGHTS),
        ("data_parallel.pt", {f"module.{name}": x for name, x in WEIGHTS.items()}),
        ("training.pth", {"epoch": 3, "state_dict": {f"module.{name}": x for name, x in WEIGHTS.items()}}),
        ("model.pt", {"model": WEIGHTS}),
        ("half.pth", {name: x.half() if x.is_floating_point() else x for name, x in WEIGHTS.items()}),
        ("plain.safetensors", WEIGHTS),
    ],
)
def test_weights_are_restored(tmp_path: Path, file: str, written: dict[str, Any]) -> None:
    (save_file if file.endswith(".safetensors") else torch.save)(written, tmp_path / file)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    checkpoint.restore(net, tmp_path / file)
    assert not net.training
    for name, found in net.state_dict().items():
        torch.testing.assert_close(found, WEIGHTS[name], atol=1e-3 if file == "half.pth" else 0, rtol=0)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (
            {name: x for name, x in WEIGHTS.items() if name != "0.bias"},
            r"not contain the weights of Sequential: .*0\.bias",
        ),
        ({**WEIGHTS, "2.weight": torch.zeros(1)}, r"not contain the weights of Sequential: .*2\.weight"),
        ({**WEIGHTS, "0.weight": torch.zeros(4, 3, 5, 5)}, r"not contain the weights of Sequential: .*size mismatch"),
        ({**WEIGHTS, "epoch": 3}, "has no state dict"),
        ([*WEIGHTS.values()], "has no state dict"),
    ],
)
def test_other_weights_are_refused(tmp_path: Path, written: object, says: str) -> None:
    torch.save(written, tmp_path / "weights.pth")
    with pytest.raises(SourceRefused, match=says):
        checkpoint.restore(network(), tmp_path / "weights.pth")


class Trap:
    """Makes a folder when it is unpickled by anyone who runs what a pickle says."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    trap = Trap(tmp_path / "sprung")
    pickle.loads(pickle.dumps(trap))
    (tmp_path / "sprung").rmdir()
    torch.save({**WEIGHTS, "0.bias": trap}, tmp_path / "weights.pth")
    with pytest.raises(SourceRefused, match="is not a plain state dict"):
        checkpoint.restore(network(), tmp_path / "weights.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", library_files.SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"\x80\x02garbage", b"PK\x03\x04" + bytes(64), bytes(range(256))])
def test_a_broken_file_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(SourceRefused, match="is not a plain state dict"):
        checkpoint.restore(network(), path)
