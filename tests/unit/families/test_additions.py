"""ControlNets that came to a model later: what its card says, what hints they get, what is loaded and dropped."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from controlmesh.v1 import preprocess_pb2, types_pb2
from families import graphs
from families.additions import as_exported, folders, with_control, without
from families.facts import Net
from families.manifest import Added, GraphFacts, Manifest, tokenizer_paths
from mesh.admission import Admission
from mesh.errors import InvalidInput
from mesh.pictures import encode
from mesh.tensors import to_array
from preprocess_svc.controls import CONTROLS
from preprocess_svc.servicer import PreprocessServicer
from preprocess_svc.styles import load_styles
from tests.rigs.model_cards import card, encoder
from unet_svc.denoiser import Denoiser
from unet_svc.turns import Turns


def facts(content: str = "0") -> GraphFacts:
    return GraphFacts(sha256=content * 64, bytes=1, max_abs_error=0.0)


def model(**changes: Any) -> Manifest:
    made = card(controls=("canny", "depth"), text_width=2, **changes)
    return replace(made, graphs=changes.get("graphs", {name: facts() for name in graphs.graph_names(made)}))


def steered(before: Manifest, name: str = "mine", content: str = "0", pooled: bool = False) -> Manifest:
    net = Net(name=name, kinds={name: None}, pooled=pooled)
    return with_control(before, net, Added(takes="canny", source="owner/edges"), facts(content))


def test_a_card_with_and_without() -> None:
    before = model()
    after = steered(before, "a", pooled=True)
    assert after.controls == ("a", "canny", "depth") and [net.name for net in after.nets if net.pooled] == ["a"]
    assert set(after.graphs) == set(graphs.graph_names(after)) and list(after.graphs) == sorted(after.graphs)
    assert steered(after, "a", pooled=True) == after and without(after, "a") == before
    assert as_exported(steered(after, "b")) == before
    m = before.name
    assert folders(after, before) == {
        f"{m}_controlnet_a", f"{m}_denoise__a", f"{m}_denoise__a__canny", f"{m}_denoise__a__depth"
    }  # fmt: skip


def test_an_ensemble_tells_its_controls() -> None:
    for kinds in ((), ("canny",), ("canny", "canny", "my-edges")):
        assert graphs.nets_of("m", graphs.denoise("m", kinds)) == kinds
    assert graphs.nets_of("m", "m_unet") is None and graphs.nets_of("m", graphs.denoise("m2", ("canny",))) is None


class ModelServer:
    """In the place of Triton: what is loaded, and in which order that changed."""

    def __init__(self, *loaded: str) -> None:
        self.names, self.changes = set(loaded), list[tuple[str, str]]()

    async def loaded(self) -> frozenset[str]:
        return frozenset(self.names)

    async def load_stored(self, name: str) -> None:
        self.names.add(name)
        self.changes.append(("load", name))

    async def unload(self, name: str) -> None:
        self.names.remove(name)
        self.changes.append(("unload", name))

    async def infer(self, model: str, inputs: dict[str, Any], outputs: list[str]) -> dict[str, Any]:
        return {"hidden": np.zeros((*inputs["input_ids"].shape, 2), np.float32)}


async def test_only_what_came_is_loaded_and_only_what_went_is_dropped() -> None:
    before, after = model(), steered(model())
    server: Any = ModelServer(*graphs.repository_names(before), "another")
    await Denoiser(server, Turns(2)).load(after, before)
    assert {name for _, name in server.changes} == folders(after, before)
    server.changes.clear()
    await Denoiser(server, Turns(2)).load(before, after)
    assert {kind for kind, _ in server.changes} == {"unload"}
    assert server.changes[-1][1] == graphs.controlnet(after.name, "mine"), "what stands on it goes first"
    assert server.names == {*graphs.repository_names(before), "another"}


async def test_another_graph_of_the_model_has_all_loaded_anew() -> None:
    before = steered(model())
    server: Any = ModelServer(*graphs.repository_names(before))
    await Denoiser(server, Turns(2)).load(steered(before, content="1"), before)
    assert [name for _, name in server.changes] == list(graphs.repository_names(before))
    await Denoiser(server, Turns(2)).unload(before)
    assert not server.names


@pytest.fixture
def servicer(tmp_path: Path) -> PreprocessServicer:
    loaded = steered(card(controls=("depth",), text_width=2, encoders=(encoder(width=2, pad=707, bos=706, eos=707),)))
    (target,) = tokenizer_paths(tmp_path, loaded)
    target.parent.mkdir()
    shutil.copyfile(Path(__file__).parents[3] / "demo/weights/tokenizer/tokenizer.json", target)
    server: Any = ModelServer()
    return PreprocessServicer([loaded], tmp_path, server, Admission(2, 2, "requests in preparation"), load_styles())


def control(**fields: Any) -> types_pb2.Control:
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    return types_pb2.Control(**{"kind": "mine", "image": types_pb2.Image(content=encode(picture)), **fields})


async def test_its_hints_are_those_of_the_kind_that_it_takes(servicer: PreprocessServicer) -> None:
    request = preprocess_pb2.PrepareRequest(model=card().name, prompt="a star", controls=[control()])
    (hint,) = (await servicer.Prepare(request, None)).conditioning.hints
    plain = await servicer.ExtractHint(preprocess_pb2.ExtractHintRequest(control=control(kind="canny")), None)
    named = await servicer.ExtractHint(preprocess_pb2.ExtractHintRequest(control=control()), None)
    assert hint.kind == "mine" and to_array(hint.pixels, field="hint", ndim=3, dtype="uint8").any()
    assert named.hint == plain.hint and named.extractor == "canny"
    many = preprocess_pb2.ExtractHintsRequest(requests=[preprocess_pb2.ExtractHintRequest(control=control())])
    assert (await servicer.ExtractHints(many, None)).hints[0].hint == plain.hint


async def test_it_is_listed_beside_the_kinds(servicer: PreprocessServicer) -> None:
    listed = (await servicer.ListControls(preprocess_pb2.ListControlsRequest(), None)).controls
    assert [one.kind for one in listed] == sorted([*CONTROLS, "mine"])
    known = {one.kind: one for one in listed}
    mine, canny = known["mine"], known["canny"]
    assert (mine.extractable, list(mine.models), mine.extractors) == (True, [card().name], canny.extractors)
    assert not canny.models and not mine.controlnets and "canny" in mine.description


async def test_one_that_nobody_added_is_unknown(servicer: PreprocessServicer) -> None:
    request = preprocess_pb2.ExtractHintRequest(control=control(kind="yours"))
    with pytest.raises(InvalidInput, match="'yours' is unknown"):
        await servicer.ExtractHint(request, None)
