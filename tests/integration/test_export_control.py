"""A ControlNet that is added to an exported model and taken out again: files, cards, and what is refused."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from export import configs
from export.control import add
from export.errors import Busy, Misfit, Mismatch, SourceRefused
from export.exporter import export
from export.facts import facts_of
from export.families.table import FAMILIES
from export.options import Options
from export.parts import ControlNetSource, Source
from export.place import Placement
from export.remove import remove
from export.source import open_controlnet
from families import graphs
from families.manifest import read_manifest
from tests.rigs import forks

NAME = "t"


@pytest.fixture
def repository(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(exported, tmp_path / "repository")


@pytest.fixture
def edges(sd15_folder: Path) -> ControlNetSource:
    """The tiny model's own ControlNet for edges, alone."""
    return open_controlnet(str(sd15_folder / "controlnet-canny"), "canny", FAMILIES["sd15"])


def digests(repository: Path) -> dict[str, str]:
    return {
        str(path.relative_to(repository)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in repository.rglob("*")
        if path.is_file()
    }


def test_it_comes_beside_what_is_there_and_goes_again(
    repository: Path, sd15_folder: Path, edges: ControlNetSource
) -> None:
    before = digests(repository)
    net = sd15_folder / "controlnet-canny"
    shown = forks.export("control", "canny", net, "--model", NAME, "--name", "my-edges", "--repository", repository)
    assert shown.returncode == 0 and "t: my-edges added" in shown.stderr, shown.stderr
    card = read_manifest(repository, NAME)
    assert card.controls == ("canny", "inpaint", "my-edges", "shuffle") and [
        net.name for net in card.nets if net.pooled
    ] == ["shuffle"]
    assert (card.takes("my-edges"), card.takes("canny")) == ("canny", "canny")
    assert card.added["my-edges"].source == "controlnet-canny"
    # The same weights under two names: the same computation, compared with torch both times.
    assert card.graphs["t_controlnet_my-edges"].max_abs_error == card.graphs["t_controlnet_canny"].max_abs_error
    assert all((repository / name / "1").is_dir() for name in graphs.repository_names(card))
    assert all((repository / name / "config.pbtxt").is_file() for name in graphs.repository_names(card))
    after = digests(repository)
    assert {name for name in before if before[name] != after.get(name)} == {"t/manifest.json"}
    # And again, in its place.
    assert add(edges, "canny", "my-edges", Options(repository, NAME)).added == card.added
    gone = remove(repository, "my-edges")
    assert gone == set(graphs.repository_names(card)) - set(graphs.repository_names(read_manifest(repository, NAME)))
    assert digests(repository) == before


def test_exporting_the_model_leaves_it_there_until_something_changed(
    repository: Path, sd15_source: Source, edges: ControlNetSource
) -> None:
    add(edges, "canny", "my-edges", Options(repository, NAME))
    assert export(sd15_source, Options(repository, NAME)).skipped
    assert "my-edges" in read_manifest(repository, NAME).controls
    assert configs.stale(repository, facts_of(sd15_source, NAME), "cpu") == []
    export(sd15_source, Options(repository, NAME, target="gpu"))
    assert "KIND_GPU" in (repository / "t_controlnet_my-edges" / "config.pbtxt").read_text()
    remove(repository, NAME)
    assert not list(repository.glob("t*"))


@pytest.mark.parametrize(
    ("kind", "name", "model", "words"),
    [
        ("canny", "canny", NAME, "was exported with a ControlNet 'canny'"),
        ("canny", "t", NAME, "'t' is the name of a model"),
        ("canny", "a__b", NAME, "is not a valid name"),
        ("inpaint", "mine", NAME, "must be named 'inpaint'"),
        ("canny", "mine", "nobody", "is not exported"),
    ],
)
def test_names_that_can_not_be_had(
    repository: Path, edges: ControlNetSource, kind: str, name: str, model: str, words: str
) -> None:
    before = digests(repository)
    with pytest.raises(SourceRefused, match=words):
        add(edges, kind, name, Options(repository, model))
    assert digests(repository) == before


def test_two_models_do_not_share_a_name(repository: Path, edges: ControlNetSource) -> None:
    add(edges, "canny", "mine", Options(repository, NAME))
    card = json.loads((repository / NAME / "manifest.json").read_text())
    (repository / "other").mkdir()
    (repository / "other" / "manifest.json").write_text(json.dumps(card | {"name": "other"}))
    with pytest.raises(SourceRefused, match="was added to 'other'"):
        add(edges, "canny", "mine", Options(repository, NAME))


def test_a_controlnet_of_another_family_is_refused(repository: Path, edges: ControlNetSource, tmp_path: Path) -> None:
    before = digests(repository)
    for change in ({"cross_attention_dim": 2048}, {"block_out_channels": [320, 640, 1280]}):
        own = shutil.copytree(edges.part.folder, tmp_path / "own", dirs_exist_ok=True)
        (own / "config.json").write_text(json.dumps({**edges.part.config, **change}))
        with pytest.raises(Misfit, match="belongs to another family of models than 't'"):
            add(open_controlnet(str(own), "canny", FAMILIES["sd15"]), "canny", "mine", Options(repository, NAME))
    assert digests(repository) == before


def test_what_fails_or_waits_changes_nothing(repository: Path, edges: ControlNetSource, sd15_folder: Path) -> None:
    before = digests(repository)
    with pytest.raises(Mismatch):
        add(edges, "canny", "mine", Options(repository, NAME, tolerance=0.0))
    with Placement(repository, NAME).exclusive(), pytest.raises(Busy):
        add(edges, "canny", "mine", Options(repository, NAME))
    with pytest.raises(SourceRefused, match="is missing"):
        open_controlnet(str(sd15_folder), "canny", FAMILIES["sd15"])
    assert digests(repository) == before
