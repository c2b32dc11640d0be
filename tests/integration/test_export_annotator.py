"""Annotators of transformers, exported from random weights of the real classes: graphs against the library's own
picture processing, network and post-processing, then whole exports and the real Triton."""

import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModelForDepthEstimation, AutoModelForSemanticSegmentation

from demo import annotator_net
from export.annotators import checking, transformers_depth, transformers_segmentation
from export.annotators.architecture import Graph, Loaded
from export.annotators.demo_folder import FOLDER as DEMO_FOLDER
from export.annotators.exporter import export
from export.annotators.source import open_source
from export.annotators.transformers_segmentation import Pooled
from export.errors import Mismatch, SourceRefused
from export.options import Options
from families.annotators import HEADS, list_annotators, part, read_card
from mesh.triton import Triton
from model_server.canary import Canary, failing
from model_server.environment import find_environment
from model_server.launch import TritonProcess
from preprocess_svc.annotators import Annotators
from tests.rigs import tiny_annotators
from tests.rigs.ports import free_port
from tests.rigs.tiny_graphs import TRITON_ENVIRONMENT

SEGMENTERS = ("segformer", "upernet")
METRIC = ("glpn", "depth_anything_metric")
SQUARE = ("dpt", "dpt_hybrid")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for each tiny annotator."""
    folder = tmp_path_factory.mktemp("annotators")
    for name in tiny_annotators.NAMES:
        tiny_annotators.make(folder, name)
    return folder


def kind_of(name: str) -> str:
    return "segmentation" if name in SEGMENTERS else "depth"


@pytest.fixture(scope="module")
def annotated(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with all of them."""
    repository = tmp_path_factory.mktemp("annotated")
    for name in tiny_annotators.NAMES:
        assert not export(open_source(kind_of(name), str(sources / name)), Options(repository, name)).skipped
    return repository


@pytest.fixture
def repository(annotated: Path, tmp_path: Path) -> Path:
    """A copy with one of them that a test may spoil."""
    shutil.copytree(annotated / "annotator_dpt", tmp_path / "repository" / "annotator_dpt")
    return tmp_path / "repository"


def contents(repository: Path) -> dict[str, bytes]:
    return {str(path.relative_to(repository)): path.read_bytes() for path in repository.rglob("*") if path.is_file()}


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    (made,) = checking.pictures(checking.Size(1, height, width)).numpy()
    return np.roll(made, seed, axis=1)


# --- the same map as the library's ------------------------------------------------------------------------------


def library_map(source: Path, name: str, image: NDArray[np.uint8]) -> NDArray[Any]:
    """What transformers' own three steps find in a picture, resizing and all."""
    processing = AutoImageProcessor.from_pretrained(source)
    auto = AutoModelForSemanticSegmentation if name in SEGMENTERS else AutoModelForDepthEstimation
    with torch.no_grad():
        outputs = auto.from_pretrained(source).eval()(**processing(image, return_tensors="pt"))
    if name in SEGMENTERS:
        (found,) = processing.post_process_semantic_segmentation(outputs, target_sizes=[image.shape[:2]])
        return np.asarray(found)
    (found,) = processing.post_process_depth_estimation(outputs, target_sizes=[image.shape[:2]])
    return np.asarray(found["predicted_depth"])


@pytest.mark.parametrize("name", tiny_annotators.NAMES)
def test_the_graph_finds_what_the_librarys_pipeline_finds(sources: Path, annotated: Path, name: str) -> None:
    """At a size where the processor's own resizing is the identity."""
    card = read_card(annotated, name)
    sides = {"glpn": (64, 96), "depth_anything": (70, 98), "depth_anything_metric": (70, 98), "dpt_dinov2": (84, 112)}
    image = picture(*sides.get(name, (64, 64)))
    theirs = library_map(sources / name, name, image)
    session = onnxruntime.InferenceSession(annotated / card.heads[kind_of(name)] / "1" / "model.onnx")
    (ours,) = session.run(None, {"image": image[None]})
    assert ours.shape == (1, *image.shape[:2])
    if name in SEGMENTERS:
        assert len(np.unique(theirs)) > 3
        assert (ours[0] != theirs).mean() <= checking.SHARE
        return
    assert theirs.std() > 0.01 * theirs.mean() > 0
    if name in METRIC:
        # What is farther is darker.
        theirs = 1 / np.maximum(theirs, transformers_depth.NEAREST_M)
    np.testing.assert_allclose(ours[0], theirs, atol=checking.TOLERANCE * theirs.max(), rtol=0)


@pytest.mark.parametrize("name", [name for name in tiny_annotators.NAMES if name not in SQUARE])
def test_a_picture_does_not_depend_on_its_neighbours(annotated: Path, name: str) -> None:
    card = read_card(annotated, name)
    height, width = 5 * card.multiple, 7 * card.multiple
    images = np.stack([picture(height, width, seed) for seed in (0, 11, 23)])
    session = onnxruntime.InferenceSession(annotated / f"annotator_{name}" / "1" / "model.onnx")
    (together,) = session.run(None, {"image": images})
    alone = np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])
    different = np.abs(together.astype(float) - alone.astype(float)) > checking.TOLERANCE * max(1, alone.max())
    assert different.mean() <= (checking.SHARE if name in SEGMENTERS else 0)


def test_pooling_written_for_graphs_is_torchs() -> None:
    for height, width in ((1, 1), (3, 7), (6, 5), (13, 16)):
        features = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))
        for bins in (1, 2, 3, 6):
            ours, theirs = Pooled(bins)(features), torch.nn.AdaptiveAvgPool2d(bins)(features)
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


# --- cards ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tiny_annotators.NAMES)
def test_a_card_tells_what_a_caller_needs(annotated: Path, name: str) -> None:
    card = read_card(annotated, name)
    graph = f"annotator_{name}"
    assert card.heads == {kind_of(name): graph}
    assert set(card.graphs) == {graph}
    assert card.source == name
    assert card.square == (name in SQUARE)
    multiples = {"dpt": 64, "dpt_hybrid": 64, "dpt_dinov2": 28, "depth_anything": 14, "depth_anything_metric": 14}
    assert card.multiple == multiples.get(name, 32)
    sides = {"dpt_dinov2": 84, "depth_anything": 70, "depth_anything_metric": 70, "glpn": 480}
    assert card.side == sides.get(name, 64)
    assert ("Inverse of metric depth" in card.description) == (name in METRIC)
    assert len(card.palette) == len(card.labels) == {"segformer": 7, "upernet": 150}.get(name, 0)
    assert ("ADE20K" in card.description) == (name == "upernet")
    assert json.loads((annotated / graph / "annotator.json").read_text())["versions"]["transformers"]


def test_nothing_of_the_machine_is_in_what_is_written(annotated: Path, sources: Path) -> None:
    for name, content in contents(annotated).items():
        assert str(sources).encode() not in content, name
        assert str(Path(__file__).parents[2]).encode() not in content, name


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network of the demo's annotator."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("shapes") / "random"
    annotator_net.save_net(annotator_net.AnnotatorNet(), folder)
    return folder


def test_the_demos_annotator_has_four_heads_in_one_graph(shapes: Path, tmp_path: Path) -> None:
    card = export(open_source("demo", str(shapes)), Options(tmp_path, "demo")).card
    assert card.heads == dict.fromkeys(("depth", "normal", "segmentation", "softedge"), "annotator_demo")
    assert (card.source, card.multiple, card.labels[0]) == ("random", annotator_net.MULTIPLE, "ground")
    assert export(open_source("demo", str(shapes)), Options(tmp_path, "demo")).skipped
    image = picture(88, 64)
    with torch.no_grad():
        theirs = annotator_net.load_net(shapes)(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    session = onnxruntime.InferenceSession(tmp_path / "annotator_demo" / "1" / "model.onnx")
    depth, normal, classes, edges = session.run(None, {"image": image[None]})
    for ours, name in ((depth, "depth"), (normal, "normal"), (edges, "softedge")):
        np.testing.assert_allclose(ours, theirs[name], atol=checking.TOLERANCE, err_msg=name)
    assert (classes != theirs["segmentation"].argmax(1).numpy()).mean() <= checking.SHARE
    assert classes.dtype == np.uint8


@pytest.mark.parametrize("changes", [{"channels": [16, 32, 64, 88]}, {"labels": ["ground", "circle"]}])
def test_a_network_of_shapes_that_does_not_fit_is_refused(
    shapes: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    own = shutil.copytree(shapes, tmp_path / "random")
    path = own / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(SourceRefused, match="random: "):
        export(open_source("demo", str(own)), Options(tmp_path / "repository", "demo"))


# --- exporting twice, and failing -------------------------------------------------------------------------------


def test_a_second_export_does_nothing(repository: Path, sources: Path) -> None:
    before = contents(repository)
    assert export(open_source("depth", str(sources / "dpt")), Options(repository, "dpt")).skipped
    assert contents(repository) == before


def test_another_target_rewrites_configurations_and_traces_nothing(repository: Path, sources: Path) -> None:
    outcome = export(open_source("depth", str(sources / "dpt")), Options(repository, "dpt", target="gpu"))
    assert outcome.skipped
    assert outcome.card.target == read_card(repository, "dpt").target == "gpu"
    assert "KIND_GPU" in (repository / "annotator_dpt" / "config.pbtxt").read_text()


def spoil_graph(repository: Path, source: Path) -> None:
    path = repository / "annotator_dpt" / "1" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


def spoil_card(repository: Path, source: Path) -> None:
    (repository / "annotator_dpt" / "annotator.json").write_text("{}")


def change_processing(repository: Path, source: Path) -> None:
    path = source / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_mean": [0.4, 0.5, 0.6]}))


@pytest.mark.parametrize("spoil", [spoil_graph, spoil_card, change_processing])
def test_whatever_changed_is_exported_again(
    repository: Path, sources: Path, tmp_path: Path, spoil: Callable[[Path, Path], None]
) -> None:
    own = shutil.copytree(sources / "dpt", tmp_path / "dpt")
    spoil(repository, own)
    assert not export(open_source("depth", str(own)), Options(repository, "dpt")).skipped
    assert export(open_source("depth", str(own)), Options(repository, "dpt")).skipped


def test_a_mismatch_leaves_the_old_annotator_whole(repository: Path, sources: Path) -> None:
    before = contents(repository)
    with pytest.raises(Mismatch, match="annotator_dpt at batch 1, 64x64 px, depth: differs from torch"):
        export(open_source("depth", str(sources / "dpt")), Options(repository, "dpt", force=True, tolerance=0.0))
    assert contents(repository) == before


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_failed_rename_leaves_the_old_annotator_whole(repository: Path, sources: Path, at: int) -> None:
    calls: list[Path] = []

    def rename(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) > at:
            raise OSError("disk")
        source.rename(target)

    before = contents(repository)
    with pytest.raises(OSError, match="disk"):
        export(open_source("depth", str(sources / "dpt")), Options(repository, "dpt", force=True, rename=rename))
    assert len(calls) == at + 1
    assert contents(repository) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 6}, "the weights are not those"),
        ({"num_hidden_layers": 3, "backbone_out_indices": [0, 1, 2, 2]}, "the weights"),
        ({"fusion_hidden_size": 24}, "the weights"),
        ({"hidden_size": "wide"}, "the weights do not fit"),
    ],
)
def test_weights_that_do_not_fit_their_configuration_are_refused(
    sources: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    own = shutil.copytree(sources / "dpt", tmp_path / "dpt")
    path = own / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(SourceRefused, match=said):
        export(open_source("depth", str(own)), Options(tmp_path / "repository", "dpt"))
    assert list((tmp_path / "repository").iterdir()) == []


def test_a_backbone_that_is_not_on_the_list_is_refused(sources: Path, tmp_path: Path) -> None:
    own = shutil.copytree(sources / "upernet", tmp_path / "upernet")
    path = own / "config.json"
    config = json.loads(path.read_text())
    path.write_text(
        json.dumps(config | {"backbone_config": config["backbone_config"] | {"model_type": "timm_backbone"}})
    )
    with pytest.raises(SourceRefused, match="backbone type 'timm_backbone' is not supported"):
        export(open_source("segmentation", str(own)), Options(tmp_path / "repository", "s"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_mean": [0.5, 0.5]}, "has invalid settings"),
        ({"image_std": "wide"}, "has invalid settings"),
        ({"do_flip_channel_order": True}, "channel orders other than RGB"),
        ({"size": {"longest_edge": 64}}, "has no height, width or shortest_edge"),
    ],
)
def test_a_processing_that_cannot_be_followed_is_refused(
    sources: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    own = shutil.copytree(sources / "segformer", tmp_path / "segformer")
    path = own / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(SourceRefused, match=said):
        export(open_source("segmentation", str(own)), Options(tmp_path / "repository", "s"))


def test_a_size_of_one_number_and_no_word_of_rescaling_are_read_as_older_files_mean_them(
    sources: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(sources / "segformer", tmp_path / "segformer")
    old = {"do_normalize": True, "feature_extractor_type": "SegformerFeatureExtractor", "size": 96, "resample": 2}
    (own / "preprocessor_config.json").write_text(json.dumps(old | tiny_annotators.IMAGENET))
    loaded = transformers_segmentation.load(own)
    assert loaded.side == 96
    assert export(open_source("segmentation", str(own)), Options(tmp_path / "repository", "s")).card.side == 96


def test_a_weight_that_the_network_owns_and_never_uses_may_be_missing(sources: Path, tmp_path: Path) -> None:
    own = shutil.copytree(sources / "dpt", tmp_path / "dpt")
    weights = load_file(own / "model.safetensors")
    lacking = {key: value for key, value in weights.items() if ".layers.0.residual_layer1." not in key}
    assert 0 < len(lacking) < len(weights)
    save_file(lacking, own / "model.safetensors", metadata={"format": "pt"})
    assert not export(open_source("depth", str(own)), Options(tmp_path / "repository", "dpt")).skipped


def test_a_reference_that_finds_something_else_is_noticed(sources: Path) -> None:
    loaded = transformers_depth.load(sources / "glpn")
    (graph,) = loaded.graphs
    off = replace(graph, reference=lambda image: tuple(1.001 * found for found in graph.reference(image)))
    session = Played(graph)
    depth = part("annotator_x", ("depth",))
    with torch.no_grad():
        assert checking.check(session, depth, graph, replace(loaded, side=64)) <= 1e-6  # type: ignore[arg-type]
        with pytest.raises(Mismatch, match="differs from torch"):
            checking.check(session, depth, off, replace(loaded, side=64))  # type: ignore[arg-type]


class Played:
    """A session that computes with torch what a graph would."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="image")]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name=tensor.name) for tensor in HEADS["depth"]]

    def run(self, outputs: None, inputs: dict[str, NDArray[np.uint8]]) -> list[NDArray[Any]]:
        return [np.asarray(found) for found in self._graph.module(torch.from_numpy(inputs["image"]))]


@pytest.mark.parametrize("multiple", [1, 8, 14, 32, 64])
def test_verified_sizes_are_those_that_the_annotator_takes(multiple: int) -> None:
    free = Loaded((), "", side=100, multiple=multiple)
    sizes = list(checking.sizes(free))
    assert {size.batch for size in sizes} == {1, 2, 3}
    assert all(side % multiple == 0 for size in sizes for side in (size.height, size.width))
    assert any(size.height != size.width for size in sizes)
    square = replace(free, side=96, square=True)
    assert {(size.height, size.width) for size in checking.sizes(square)} == {(96, 96)}


# --- the real model server --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def served(annotated: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Path]]:
    """Triton over a DPT, a Depth Anything, a segmenter and, where its weights are there, the demo's annotator."""
    repository = tmp_path_factory.mktemp("served")
    names = ["dpt", "depth_anything", "upernet"]
    for name in names:
        shutil.copytree(annotated / f"annotator_{name}", repository / f"annotator_{name}")
    if DEMO_FOLDER.is_dir():
        export(open_source("demo"), Options(repository, "demo"))
        names.append("demo")
    port = free_port()
    graphs = [graph for name in names for graph in read_card(repository, name).graphs]
    async with TritonProcess(find_environment(TRITON_ENVIRONMENT), repository, graphs, grpc_port=port) as triton:
        yield triton.url, repository


async def test_triton_finds_what_onnx_runtime_finds(served: tuple[str, Path]) -> None:
    url, repository = served
    triton = Triton(url)
    try:
        for card in list_annotators(repository):
            annotators = Annotators([card], triton)
            for head in card.heads:
                seen = await annotators.see(head, picture(120, 150))
                session = onnxruntime.InferenceSession(repository / card.heads[head] / "1" / "model.onnx")
                names = [tensor.name for tensor in HEADS[head]]
                theirs = session.run(names, {"image": seen.picture[None]})
                for name, their in zip(names, theirs, strict=True):
                    assert seen.maps[name].shape == their[0].shape
                    off = np.abs(seen.maps[name].astype(float) - their[0]) > checking.TOLERANCE * np.abs(their).max()
                    assert off.mean() <= (checking.SHARE if their.dtype == np.uint8 else 0), (card.name, name)
    finally:
        await triton.close()


async def test_the_canary_asks_annotators_at_sizes_they_take(served: tuple[str, Path]) -> None:
    url, repository = served
    known = list_annotators(repository)
    graphs = [graph for card in known for graph in card.graphs]
    knowing, guessing = Canary(url, known), Canary(url, [])
    try:
        assert await failing(knowing, required=graphs) == {}
        # Without their cards it would send 8 pixels, which a patch of 14 does not fit into.
        assert "annotator_depth_anything" in await failing(guessing, required=graphs)
    finally:
        await knowing.close()
        await guessing.close()
