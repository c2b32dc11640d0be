"""Annotators of controlnet_aux with random weights: each graph against the library's network and its detector, on
pictures of a size that the detector leaves alone."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from export import trace, verify
from export.annotators import checking, exporter, library, library_files, normalbae
from export.annotators.architecture import Loaded
from export.annotators.checking import Size
from export.annotators.source import open_source
from export.errors import SourceRefused
from export.options import Options
from families import annotators

ROWS = {row.name: row for row in library_files.ROWS}
PARTS_OF = {"openpose": tuple(library_files.POSES)}
STEMS = {**library_files.STEMS, **library_files.POSES}


def anime() -> nn.Module:
    norm = partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    return library.module("lineart_anime").UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "hed": lambda: library.module("hed").ControlNetHED_Apache2(),
    "pidinet": lambda: library.module("pidi.model").pidinet(),
    "mlsd": lambda: library.module("mlsd.models.mbv2_mlsd_large").MobileV2_MLSD_Large(),
    "lineart": lambda: library.module("lineart").Generator(3, 1, 3),
    "lineart_anime": anime,
    "normalbae": normalbae.network,
    "body": lambda: library.module("open_pose.model").bodypose_model(),
    "hand": lambda: library.module("open_pose.model").handpose_model(),
    "face": lambda: library.module("open_pose.face").FaceNet(),
}

# Weights as the files on the hub have them: wrapped by a training, prefixed by DataParallel, or of layers alone.
WRITTEN: dict[str, Callable[[dict[str, Tensor]], dict[str, Any]]] = {
    "pidinet": lambda weights: {"epoch": 20, "state_dict": {f"module.{name}": x for name, x in weights.items()}},
    "normalbae": lambda weights: {"model": weights},
    "lineart_anime": lambda weights: {f"module.{name}": x for name, x in weights.items()},
    "body": lambda weights: {name.partition(".")[2]: x for name, x in weights.items()},
    "hand": lambda weights: {name.partition(".")[2]: x for name, x in weights.items()},
}


def random_network(name: str) -> Any:
    """The library's network with weights under which the picture neither dies out nor saturates on its way."""
    torch.manual_seed(0)
    net = NETWORKS[name]()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(std=0.1)
                layer.running_var.uniform_(0.8, 1.2)
            elif isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_uniform_(layer.weight)
        if name == "hed":
            # It sees 0 to 255, and its logits would be hundreds.
            for block in (net.block1, net.block2, net.block3, net.block4, net.block5):
                block.projection.weight.mul_(0.01)
    return net.eval()


@dataclass(frozen=True)
class Made:
    """A random network, or OpenPose's three by their heads, its files in `folder`, and the graphs that were written."""

    architecture: str
    nets: dict[str, Any]
    folder: Path
    loaded: Loaded
    graphs: dict[str, onnxruntime.InferenceSession]

    def __call__(self, picture: np.ndarray, head: str) -> list[np.ndarray]:
        """What the graph of `head` finds in one picture UINT8 [h, w, 3], without the batch."""
        return [np.asarray(found)[0] for found in self.graphs[head].run(None, {"image": picture[None]})]

    @property
    def unit(self) -> int:
        """Shorter side in pixels of the pictures here."""
        return max(64, self.loaded.multiple)


@pytest.fixture(
    scope="module",
    params=["hed", "pidinet", "mlsd", "lineart"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("lineart_anime", "normalbae", "openpose")],
)
def made(request: pytest.FixtureRequest) -> Iterator[Made]:
    # Not pytest's own folders, which keep the last runs: this is a gigabyte.
    with tempfile.TemporaryDirectory() as name:
        yield make(request.param, Path(name))


def make(architecture: str, folder: Path) -> Made:
    nets = {name: random_network(name) for name in PARTS_OF.get(architecture, (architecture,))}
    for name, net in nets.items():
        torch.save(WRITTEN.get(name, dict)(net.state_dict()), folder / f"{STEMS[name][0]}.pth")
    row = ROWS[architecture]
    assert row.recognises(folder)
    loaded = row.load(folder)
    assert tuple(graph.heads for graph in loaded.graphs) == row.heads(folder)
    graphs = {}
    for graph in loaded.graphs:
        part, path = annotators.part("graph", graph.heads), folder / graph.heads[0] / "model.onnx"
        path.parent.mkdir()
        size = Size(2, max(64, loaded.multiple), 2 * max(64, loaded.multiple))
        trace.trace(graph.module, part, {"image": checking.pictures(size)}, path)
        graphs[graph.heads[0]] = verify.session(path)
    return Made(architecture, nets, folder, loaded, graphs)


def picture(height: int, width: int) -> np.ndarray:
    return checking.pictures(Size(1, height, width))[0].numpy()


def test_a_graph_finds_what_the_library_s_network_finds(made: Made) -> None:
    """Within 1e-4 of a map's largest magnitude, at sizes and batches that it was not traced at."""
    for graph in made.loaded.graphs:
        part = annotators.part("graph", graph.heads)
        for size in (Size(1, 2 * made.unit, made.unit), Size(3, made.unit, made.unit)):
            image = checking.pictures(size)
            with torch.no_grad():
                expected = graph.reference(image)
            found = verify.run(made.graphs[graph.heads[0]], {"image": image})
            for tensor, ours, theirs in zip(part.outputs, found, expected, strict=True):
                assert theirs.std() > 0.01, f"{tensor.name} must show something"
                checking.compare(f"{tensor.name} at {size}", ours, theirs)


class Seen(Exception):
    """A network has seen what its detector feeds it; what the detector makes of that is not wanted."""


class Watched(nn.Module):
    """The library's network, which tells what it found and ends the detector's work there."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> None:
        raise Seen(self.net(x))


def drawn(made: Made, detector: Any) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a size that controlnet_aux's resize_image leaves alone, and what the detector draws of it."""
    seen = picture(made.unit, 2 * made.unit)
    return seen, detector(seen, detect_resolution=made.unit, image_resolution=made.unit, output_type="np")


def bytes_of(shares: np.ndarray) -> np.ndarray:
    return (shares * 255.0).clip(0, 255).astype(np.uint8)


def assert_drawn_alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    """One byte apart at most, and that in fewer than one pixel of a hundred: a value on the edge of two bytes."""
    assert theirs.std() > 2, "the hint must show something"
    difference = np.abs(ours.astype(int) - theirs.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-2


def like_hed(made: Made) -> None:
    seen, theirs = drawn(made, library.module("hed").HEDdetector(made.nets["hed"]))
    assert_drawn_alike(bytes_of(made(seen, "hed")[0]), theirs[:, :, 0])


def like_pidinet(made: Made) -> None:
    seen, theirs = drawn(made, library.module("pidi").PidiNetDetector(made.nets["pidinet"]))
    assert_drawn_alike(bytes_of(made(seen, "softedge")[0]), theirs[:, :, 0])


def like_lineart(made: Made) -> None:
    net = made.nets["lineart"]
    seen, theirs = drawn(made, library.module("lineart").LineartDetector(net, net))
    assert_drawn_alike(255 - bytes_of(made(seen, "lineart")[0]), theirs[:, :, 0])


def like_lineart_anime(made: Made) -> None:
    seen, theirs = drawn(made, library.module("lineart_anime").LineartAnimeDetector(made.nets["lineart_anime"]))
    assert_drawn_alike(255 - bytes_of(made(seen, "lineart_anime")[0]), theirs[:, :, 0])


def like_normalbae(made: Made) -> None:
    seen, theirs = drawn(made, library.module("normalbae").NormalBaeDetector(made.nets["normalbae"]))
    [normal] = made(seen, "normal")
    np.testing.assert_allclose(np.linalg.norm(normal, axis=0), 1, atol=1e-5)
    assert_drawn_alike(bytes_of((normal.transpose(1, 2, 0) + 1) / 2), theirs)


def like_mlsd(made: Made) -> None:
    seen, watched = picture(made.unit, 2 * made.unit), Watched(made.nets["mlsd"])
    with torch.no_grad(), pytest.raises(Seen) as fed:
        library.module("mlsd.utils").pred_lines(seen, watched, list(seen.shape[:2]))
    [lines] = made(seen, "mlsd")
    checking.compare("lines", torch.from_numpy(lines), fed.value.args[0][0, :5])


def like_openpose(made: Made) -> None:
    """Body, Hand and Face load the files themselves; OpenposeDetector hands them BGR."""
    # The height at which Body looks, the smallest of Hand's (which blurs first), and Face's.
    seen = {"body": picture(184, 120), "hand": picture(184, 184), "face": picture(384, 384)}
    for head, name in (("body", "Body"), ("hand", "Hand"), ("face", "Face")):
        detector = getattr(library.module("open_pose"), name)(made.folder / f"{STEMS[head][0]}.pth")
        detector.model = Watched(detector.model)
        with torch.no_grad(), pytest.raises(Seen) as fed:
            detector(seen[head][:, :, ::-1].copy())
        theirs = {"body": lambda x: x, "hand": lambda x: (x,), "face": lambda x: (x[-1],)}[head](fed.value.args[0])
        small = cv2.GaussianBlur(seen[head], (0, 0), 0.8) if head == "hand" else seen[head]
        for ours, of_library in zip(made(small, head), theirs, strict=True):
            checking.compare(head, torch.from_numpy(ours), of_library[0])


LIKE = {
    "hed": like_hed,
    "pidinet": like_pidinet,
    "lineart": like_lineart,
    "lineart_anime": like_lineart_anime,
    "normalbae": like_normalbae,
    "mlsd": like_mlsd,
    "openpose": like_openpose,
}


def test_a_graph_sees_what_the_library_s_detector_feeds(made: Made) -> None:
    LIKE[made.architecture](made)


def test_a_source_is_exported_as_an_annotator(tmp_path: Path) -> None:
    source, repository = tmp_path / "source", tmp_path / "repository"
    source.mkdir()
    net = random_network("mlsd")
    save_file(net.state_dict(), source / "mlsd_large_512_fp32.safetensors")
    exporter.export(open_source("mlsd", str(source)), Options(repository, "lines"))
    card = annotators.read_card(repository, "lines")
    assert (card.architecture, card.heads, card.source) == ("mlsd", {"mlsd": "annotator_lines"}, "source")
    assert (card.side, card.multiple) == (512, 64)
    assert "controlnet-aux" in card.versions
    image = checking.pictures(Size(1, 64, 128))
    [found] = verify.run(verify.session(repository / "annotator_lines" / "1" / "model.onnx"), {"image": image})
    ones = torch.ones(1, 1, 64, 128)
    with torch.no_grad():
        expected = net(torch.cat([image.permute(0, 3, 1, 2), ones], 1) / 127.5 - 1)[:, :5]
    checking.compare("lines", found, expected)


def test_weights_of_another_network_leave_nothing_behind(tmp_path: Path) -> None:
    torch.save(random_network("pidinet").state_dict(), tmp_path / "anything.pth")
    source = open_source("mlsd", str(tmp_path / "anything.pth"))
    with pytest.raises(
        SourceRefused, match=r"anything\.pth does not contain the weights of MobileV2_MLSD_Large: .*[Mm]issing"
    ):
        exporter.export(source, Options(tmp_path / "repository", "lines"))
    assert not annotators.list_annotators(tmp_path / "repository")


def test_openpose_takes_hands_and_faces_only_if_they_are_there(tmp_path: Path) -> None:
    for name in ("body_pose_model.pth", "facenet.pth"):
        (tmp_path / name).touch()
    assert open_source("openpose", str(tmp_path)).heads == (("body",), ("face",))
    assert open_source("openpose", str(tmp_path / "body_pose_model.pth")).heads == (("body",),)
    (tmp_path / "body_pose_model.pth").unlink()
    with pytest.raises(SourceRefused, match="is not a source for 'openpose'"):
        open_source("openpose", str(tmp_path))


def test_the_preferred_file_of_a_folder_is_taken(tmp_path: Path) -> None:
    for name in ("sk_model2.pth", "sk_model.pth", "ControlNetHED.pth"):
        (tmp_path / name).touch()
    assert open_source("lineart", str(tmp_path)).files == (tmp_path / "sk_model.pth",)
    (tmp_path / "sk_model.safetensors").touch()
    assert open_source("lineart", str(tmp_path)).files == (tmp_path / "sk_model.safetensors",)
    assert open_source("lineart", str(tmp_path / "sk_model2.pth")).files == (tmp_path / "sk_model2.pth",)
