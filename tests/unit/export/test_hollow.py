"""Weights that take no memory: what a hollow module computes once it is filled, as a whole or a layer at a time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.external_data_helper import uses_external_data
from safetensors.torch import save_file
from torch import Tensor, nn

from export import hollow, pieces, trace, verify
from export.errors import Mismatch, SourceRefused
from export.initializers import WEIGHTS_FILE
from export.stored import Weight, in_files, in_memory
from families.tensors import Part
from families.tensors import Tensor as Declared

WIDTH = 24
PART = Part(
    "x_net", "denoiser", (Declared("x", "FP32", ("tokens", WIDTH)),), (Declared("y", "FP32", ("tokens", WIDTH)),)
)


class Net(nn.Module):
    """What a model's layers are like: shared weights, attention of torch's own, a weight that is cut in two."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(WIDTH))
        self.first = nn.Linear(WIDTH, WIDTH)
        self.again = nn.Linear(WIDTH, WIDTH)
        self.again.weight = self.first.weight
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.wide = nn.Linear(WIDTH, 2 * WIDTH)
        self.last = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """FP32 [B, S, WIDTH] -> the same."""
        x = x + self.again(self.first(x).relu()) * self.scale
        x = x + self.attention(x, x, x, need_weights=False)[0]
        value, gate = self.wide(x).chunk(2, dim=-1)
        y: Tensor = self.last((value * gate.sigmoid()).transpose(1, 2)).transpose(1, 2)
        return y


class Traced(Net):
    """As layers are written for graphs: a weight that is cut in two instead of what it computes."""

    def forward(self, x: Tensor) -> Tensor:
        """FP32 [B, S, WIDTH] -> the same."""
        x = x + self.again(self.first(x).relu()) * self.scale
        value, gate = self.wide.weight.chunk(2)
        x = nn.functional.linear(x, value) * nn.functional.linear(x, gate).sigmoid()
        y: Tensor = self.last(x.transpose(1, 2)).transpose(1, 2)
        return y


def pair(cls: Callable[[], nn.Module], seen: list[str] | None = None) -> tuple[nn.Module, nn.Module]:
    """A module with its weights, and one that is hollow; `seen` gets the name of each weight that is read."""
    torch.manual_seed(0)
    whole = cls().eval()
    with torch.device("meta"):
        empty = cls().eval()

    def known(name: str, tensor: Tensor) -> Weight:
        inner = in_memory(tensor)

        def read() -> Tensor:
            if seen is not None:
                seen.append(name)
            return inner.read()

        return Weight(inner.shape, read)

    hollow.make(empty, {name: known(name, tensor) for name, tensor in whole.state_dict().items()})
    return whole, empty


@torch.no_grad()
@pytest.mark.parametrize("resident", [1 << 20, 0])
def test_a_filled_module_computes_the_same_and_is_hollow_again_afterwards(resident: int) -> None:
    whole, empty = pair(Net)
    x = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(1))
    before = dict(empty.named_parameters())
    assert all(tensor.untyped_storage().nbytes() == 4 for tensor in before.values())
    with hollow.filled(empty, resident=resident):
        assert torch.equal(empty(x), whole(x))
    after = dict(empty.named_parameters())
    assert all(after[name] is tensor for name, tensor in before.items())
    assert not torch.allclose(empty(x), whole(x))


@torch.no_grad()
def test_a_layer_at_a_time_holds_no_other() -> None:
    seen: list[str] = []
    whole, empty = pair(Net, seen)
    held = 0

    def look(module: nn.Module, *_: object) -> None:
        nonlocal held
        sizes = {id(p): p.untyped_storage().nbytes() for p in empty.parameters() if p.untyped_storage().nbytes() > 4}
        held = max(held, sum(sizes.values()))

    for layer in (empty.first, empty.again, empty.wide, empty.last):
        layer.register_forward_hook(look)
    x = torch.randn(2, 5, WIDTH)
    with hollow.filled(empty, resident=0):
        assert torch.equal(empty(x), whole(x))
        assert torch.equal(empty(x), whole(x))
    # The largest layer, and what the net itself holds.
    assert held == 4 * (WIDTH * WIDTH * 3 + WIDTH) + 4 * WIDTH
    assert seen.count("last.weight") == 2


def test_an_error_while_it_computes_leaves_it_hollow() -> None:
    _, empty = pair(Net)
    for resident in (1 << 20, 0):
        with pytest.raises(RuntimeError), hollow.filled(empty, resident=resident):
            empty(torch.zeros(1, 2, WIDTH + 1))
        assert all(p.untyped_storage().nbytes() == 4 for p in empty.parameters())


def test_each_weight_has_a_number_of_its_own() -> None:
    first, second = pair(Net)[1], pair(Net)[1]
    numbers = [float(p.flatten()[0]) for module in (first, second) for p in module.parameters()]
    assert len(set(numbers)) == len(numbers)
    assert first.again.weight is first.first.weight
    assert hollow.size(first, first) == sum(p.numel() * 4 for p in first.parameters())


def written(tmp_path: Path, external_over: int) -> tuple[nn.Module, Path, list[str]]:
    seen: list[str] = []
    whole, empty = pair(Traced, seen)
    path = tmp_path / "model.onnx"
    trace.trace_hollow(empty, PART, {"x": torch.zeros(2, 3, WIDTH)}, path, external_over)
    return whole, path, seen


@torch.no_grad()
@pytest.mark.parametrize("external_over", [1 << 20, 0])
def test_weights_become_initializers_each_read_once(tmp_path: Path, external_over: int) -> None:
    whole, path, seen = written(tmp_path, external_over)
    assert sorted(seen) == sorted(set(seen))
    graph = onnx.load(path, load_external_data=False).graph
    assert [value.name for value in graph.input] == ["x"]
    # A linear layer's weight lies transposed, and the one that is cut in two as its halves.
    assert {node.op_type for node in graph.node}.isdisjoint({"Split", "Slice", "Identity"})
    assert sum(node.op_type == "Transpose" for node in graph.node) == 2
    outside = [one for one in graph.initializer if uses_external_data(one)]
    assert bool(outside) == (external_over == 0) == (tmp_path / WEIGHTS_FILE).exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"model.onnx", WEIGHTS_FILE}
    for shape in ((1, 4, WIDTH), (3, 7, WIDTH)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(verify.run(verify.session(path), {"x": x})[0], whole(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_graph_in_pieces_computes_what_it_does_as_a_whole(tmp_path: Path) -> None:
    whole, path, _ = written(tmp_path, 0)
    cut = pieces.Pieces(path, most=3000)
    assert len(cut) > 2 and isinstance(pieces.open_graph(path, most=3000), pieces.Pieces)
    cases = [torch.randn(count, 5, WIDTH, generator=torch.Generator().manual_seed(count)) for count in (1, 3)]
    for x, [found] in zip(cases, cut.run_all([{"x": x.numpy()} for x in cases]), strict=True):
        np.testing.assert_allclose(found, whole(x).numpy(), atol=1e-5)
    np.testing.assert_array_equal(
        cut.run(["y"], {"x": cases[0].numpy()})[0], cut.run_all([{"x": cases[0].numpy()}])[0][0]
    )
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", WEIGHTS_FILE}


def test_a_wrong_weight_is_noticed_in_pieces_and_nothing_stays_behind(tmp_path: Path) -> None:
    whole, path, _ = written(tmp_path, 0)
    data = tmp_path / WEIGHTS_FILE
    known = [
        verify.Case(verify.Size(2, 1, 1, 1), {"x": torch.ones(2, 3, WIDTH)}, (whole(torch.ones(2, 3, WIDTH)).detach(),))
    ]
    assert verify.check_cases(pieces.Pieces(path, most=3000), PART, known) < 1e-5
    content = np.fromfile(data, np.float32)
    content[0] += 1
    content.tofile(data)
    with pytest.raises(Mismatch, match="differs from torch"):
        verify.check_cases(pieces.Pieces(path, most=3000), PART, known)
    data.write_bytes(b"")
    with pytest.raises(Mismatch, match="ONNX Runtime cannot run it"):
        verify.check_cases(pieces.Pieces(path, most=3000), PART, known)
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", WEIGHTS_FILE}


def test_files_are_read_in_full_precision(tmp_path: Path) -> None:
    exact = torch.tensor([[1.5, -2.0], [0.25, 4.0]])
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
    tensors = {str(kind): exact.to(kind) for kind in kinds} | {"none": torch.zeros(0, 3), "one": torch.tensor(2.5)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = in_files([tmp_path / "x.safetensors"], "unet")
    for kind in kinds:
        read = found[str(kind)].read()
        assert read.dtype == torch.float32 and torch.equal(read, exact)
    assert found["none"].read().shape == (0, 3) and float(found["one"].read()) == 2.5


def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    save_file(
        {"position_ids": torch.arange(3), "a.weight": torch.zeros(3, dtype=torch.int8)}, tmp_path / "x.safetensors"
    )
    with pytest.raises(SourceRefused, match=r"unet: tensor 'a.weight' of x.safetensors is of type I8: quantized"):
        in_files([tmp_path / "x.safetensors"], "unet")


def test_a_file_that_shrinks_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(100)}, path)
    weight = in_files([path], "unet")["a"]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(SourceRefused, match=r"x.safetensors has changed"):
        weight.read()
    path.unlink()
    with pytest.raises(SourceRefused, match=r"x.safetensors can't be read any more"):
        weight.read()
