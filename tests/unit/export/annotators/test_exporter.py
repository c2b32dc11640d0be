"""What `python -m export annotator` decides before any weight is read: kinds, sources, names, refusals."""

import ast
import importlib.util
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from export import configs, hub
from export.annotators import ade20k, demo_folder, table
from export.annotators.exporter import config_texts, export, fingerprint, heads_of, stale_configs, write_configs
from export.annotators.source import Source, open_source, wanted
from export.errors import HubUnreachable, SourceRefused
from export.facts import facts_of
from export.options import Options
from export.source import open_source as open_model
from families.annotators import HEADS, AnnotatorCard, read_card, write_annotator
from model_server.repository import RepositoryError, models_to_load
from tests.rigs.model_cards import annotator, card

ROOT = Path(__file__).parents[4]
KINDS = {"depth", "normal", "softedge", "hed", "mlsd", "lineart", "lineart_anime", "openpose", "face", "segmentation"}
DPT = {"architectures": ["DPTForDepthEstimation"], "model_type": "dpt"}


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "export", *arguments],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"} | environ,
        capture_output=True,
        text=True,
        timeout=120,
    )


def folder(path: Path, config: dict[str, Any], *files: str) -> Path:
    """A source of these names; nothing here reads what is in them."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    for name in files:
        (path / name).write_text("{}")
    return path


@pytest.fixture
def dpt(tmp_path: Path) -> Path:
    return folder(tmp_path / "my-dpt", DPT, "preprocessor_config.json", "model.safetensors")


# --- the table --------------------------------------------------------------------------------------------------


def test_every_kind_has_a_row_and_every_row_a_loader() -> None:
    assert set(table.kinds()) == KINDS | {"demo"}
    assert len({row.name for row in table.ARCHITECTURES}) == len(table.ARCHITECTURES)
    for row in table.ARCHITECTURES:
        assert (ROOT / Path(*row.load.module.split("."))).with_suffix(".py").is_file(), row.name
        assert row.description.endswith("."), row.name


def test_help_names_every_kind_with_its_sources() -> None:
    shown = command("annotator", "--help").stdout
    plain = " ".join(shown.split())
    for kind, rows in table.kinds().items():
        assert f"{kind}: " in plain
        assert all(" ".join(row.description.split()) in plain for row in rows), kind
    assert "python -m export annotator --help" in " ".join(command("--help").stdout.split())


def test_neither_help_nor_recognising_nor_checking_waits_for_torch(dpt: Path) -> None:
    for arguments in (["--help"], ["depth", str(dpt), "--check-configs"], ["depth", "./nowhere"]):
        code = (
            "import sys; from export import __main__ as m\n"
            f"try: m.run(['annotator', *{arguments!r}])\n"
            "except SystemExit: pass\n"
            "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (arguments, done.stderr)


# --- sources ----------------------------------------------------------------------------------------------------


def test_a_source_is_known_by_its_files(dpt: Path) -> None:
    source = open_source("depth", str(dpt))
    assert (source.label, source.architecture.name, source.heads) == ("my-dpt", "dpt", (("depth",),))
    assert [path.name for path in source.files] == ["config.json", "preprocessor_config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("kind", "source", "said"),
    [
        ("depths", None, "KIND 'depths' is unknown; use one of depth"),
        ("depth", None, "'depth' needs a SOURCE"),
        ("depth", "./nowhere", "'./nowhere' is neither a folder, nor a file"),
        ("depth", "/nowhere", "neither a folder, nor a file"),
        ("hed", "owner/name:../up.pth", "not a valid file name"),
    ],
)
def test_what_is_not_there_is_said_plainly(kind: str, source: str | None, said: str) -> None:
    with pytest.raises(SourceRefused, match=said):
        open_source(kind, source)


def test_a_source_of_another_kind_is_told_apart(dpt: Path) -> None:
    with pytest.raises(
        SourceRefused, match=r"not a source for 'segmentation'; it is one for depth\. Supported: \[upernet\]"
    ):
        open_source("segmentation", str(dpt))


@pytest.mark.parametrize(
    ("config", "files", "said"),
    [
        (
            DPT | {"auto_map": {"AutoModel": "evil.Model"}},
            ("preprocessor_config.json", "model.safetensors"),
            "auto_map",
        ),
        (DPT | {"backbone": "resnet50"}, ("preprocessor_config.json", "model.safetensors"), "fetched from elsewhere"),
        (DPT, ("model.safetensors",), "preprocessor_config.json is missing"),
        (DPT, ("preprocessor_config.json", "pytorch_model.bin"), "pytorch_model.bin can run code"),
        (DPT, ("preprocessor_config.json",), "weights are missing; expected one of model.safetensors"),
    ],
)
def test_a_folder_that_must_not_be_loaded_is_refused(
    tmp_path: Path, config: dict[str, Any], files: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SourceRefused, match=said):
        open_source("depth", str(folder(tmp_path / "source", config, *files)))


@pytest.mark.parametrize("text", ["[]", "{", "\xff"])
def test_a_configuration_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    source = folder(tmp_path / "source", {})
    (source / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceRefused, match=r"config\.json is not"):
        open_source("depth", str(source))


def test_of_the_hub_only_what_a_row_reads_is_fetched() -> None:
    present = {"config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin", "README.md"}
    assert set(hub.select(present, wanted(table.kinds()["depth"]))) == present - {"pytorch_model.bin", "README.md"}
    one = wanted(table.kinds()["hed"], "ControlNetHED.pth")
    assert hub.select({"ControlNetHED.pth", "sk_model.pth", "config.json"}, one) == ["ControlNetHED.pth"]
    for row in table.ARCHITECTURES:
        files = hub.select({*row.fetch, "other.pth"}, wanted((row,)))
        assert set(files) == set(row.fetch)


def test_a_hub_that_is_not_asked_says_what_to_copy() -> None:
    with pytest.raises(
        HubUnreachable, match=r"(?s)hf download nobody/no-such-model --local-dir FOLDER.*\[dpt\] DPTFor"
    ):
        open_source("depth", "nobody/no-such-model", offline=True)


def test_exit_statuses_tell_causes_apart(tmp_path: Path, dpt: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        nobody = {"HF_ENDPOINT": f"http://127.0.0.1:{held.getsockname()[1]}", "HF_HOME": str(tmp_path)}
        repository = str(tmp_path / "r")
        for arguments, status, said in (
            (("depth", "./nowhere"), 3, "is neither a folder"),
            (("depth", "nobody/no-such-model"), 4, "[dpt] DPTForDepthEstimation"),
            (("depth", str(dpt), "--check-configs"), 6, "annotator_depth"),
            (("depth", str(dpt), "--name", "Up"), 3, "'Up' is not a valid name"),
            ((), 2, "Missing argument"),
        ):
            found = command("annotator", *arguments, "--repository", repository, **nobody)
            assert found.returncode == status, found.stderr
            assert said in found.stderr and "Traceback" not in found.stderr
    assert not list((tmp_path / "r").glob("annotator*"))


# --- names ------------------------------------------------------------------------------------------------------


def test_one_graph_is_called_as_its_annotator_and_several_by_their_heads(dpt: Path) -> None:
    source = open_source("depth", str(dpt))
    assert heads_of(source, "depth") == {"depth": "annotator_depth"}
    many = replace(source, heads=(("body",), ("hand",)))
    assert heads_of(many, "openpose") == {"body": "annotator_openpose_body", "hand": "annotator_openpose_hand"}


@pytest.mark.parametrize("name", ["", "Depth", "../up", "a-b", "_a", "a__b"])
def test_a_name_that_is_none_is_refused(dpt: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceRefused, match="is not a valid name"):
        export(open_source("depth", str(dpt)), Options(tmp_path / "r", name))
    assert not (tmp_path / "r").exists()


def test_an_annotator_takes_no_folder_of_another(dpt: Path, tmp_path: Path) -> None:
    put(tmp_path, annotator("pose", body="annotator_pose_body", hand="annotator_pose_hand"))
    with pytest.raises(SourceRefused, match="annotator_pose_body belongs to the annotator 'pose'"):
        export(open_source("depth", str(dpt)), Options(tmp_path, "pose_body"))


@pytest.mark.parametrize("name", ["annotator", "annotator_demo"])
def test_a_model_cannot_be_called_as_annotators_are(name: str) -> None:
    with pytest.raises(SourceRefused, match="names that begin with 'annotator_' are for annotators"):
        facts_of(open_model("demo", {}), name)
    assert facts_of(open_model("demo", {}), "annotators").name == "annotators"


# --- configurations and fingerprints ----------------------------------------------------------------------------


def test_configurations_are_written_compared_and_apart_from_models(dpt: Path, tmp_path: Path) -> None:
    heads = heads_of(open_source("depth", str(dpt)), "demo")
    assert stale_configs(tmp_path, heads, "cpu") == ["annotator_demo"]
    assert write_configs(tmp_path, heads, "cpu") == ["annotator_demo"]
    assert stale_configs(tmp_path, heads, "cpu") == write_configs(tmp_path, heads, "cpu") == []
    assert stale_configs(tmp_path, heads, "gpu") == ["annotator_demo"]
    assert "KIND_GPU" in config_texts(heads, "gpu")["annotator_demo"]
    # A model of the same name does not take the annotator's folder for one of its own that should not be there.
    facts = facts_of(open_model("demo", {}), "demo")
    configs.write(tmp_path, facts, "cpu")
    assert configs.stale(tmp_path, facts, "cpu") == []


def test_the_committed_configuration_of_the_demos_annotator_is_fresh() -> None:
    heads = dict.fromkeys(demo_folder.HEADS, "annotator_demo")
    assert stale_configs(ROOT / "model_repository", heads, "cpu") == []


def test_the_fingerprint_follows_files_heads_and_nothing_else(dpt: Path) -> None:
    source = open_source("depth", str(dpt))

    def of(source: Source, name: str = "depth") -> str:
        return fingerprint(source, heads_of(source, name))

    before = of(source)
    assert of(open_source("depth", str(dpt))) == before
    assert of(source, "other") != before
    assert of(replace(source, heads=(("softedge",),))) != before
    (dpt / "README.md").write_text("new")
    assert of(open_source("depth", str(dpt))) == before
    (dpt / "preprocessor_config.json").write_text('{"image_mean": 0}')
    assert of(open_source("depth", str(dpt))) != before


def test_a_library_that_is_missing_is_named_with_its_version(dpt: Path) -> None:
    source = open_source("depth", str(dpt))
    lacking = replace(source, architecture=replace(source.architecture, requires="no-such-library==1.2"))
    with pytest.raises(SourceRefused, match=r"pip install 'no-such-library==1\.2'"):
        fingerprint(lacking, {"depth": "annotator_depth"})


# --- colours ----------------------------------------------------------------------------------------------------


def test_150_classes_have_the_benchmarks_colours() -> None:
    colours = ade20k.palette(150)
    assert len(colours) == 150
    # wall, building, sky, tree, person; road and skyscraper have one colour in the benchmark, too.
    assert [colours[index] for index in (0, 1, 2, 4, 12)] == [
        (120, 120, 120),
        (180, 120, 120),
        (6, 230, 230),
        (4, 200, 3),
        (150, 5, 61),
    ]
    assert colours[6] == colours[48] == (140, 140, 140)
    assert len(set(colours)) == 149


def test_the_benchmarks_colours_are_those_of_controlnet_aux() -> None:
    found = importlib.util.find_spec("controlnet_aux")
    if found is None or found.origin is None:
        pytest.skip("controlnet_aux is not installed")
    # Read, not imported: the package wants torchvision.
    tree = ast.parse(Path(found.origin).with_name("util.py").read_text())
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "ade_palette"]
    (returned,) = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
    assert returned.value is not None
    assert [list(colour) for colour in ade20k.COLOURS] == ast.literal_eval(returned.value)


@pytest.mark.parametrize("classes", [1, 2, 7, 19, 149, 151, 256])
def test_any_other_number_of_classes_has_colours_of_its_own(classes: int) -> None:
    colours = ade20k.palette(classes)
    assert len(set(colours)) == classes
    assert colours == ade20k.palette(classes)
    assert all(0 <= value <= 255 for colour in colours for value in colour)
    AnnotatorCard(**fields(annotator("s", segmentation="annotator_s", palette=colours)))


# --- what the model server loads --------------------------------------------------------------------------------


def fields(made: AnnotatorCard) -> dict[str, Any]:
    return msgspec.structs.asdict(made)


def put(repository: Path, made: AnnotatorCard) -> AnnotatorCard:
    """The card and the folders of its graphs."""
    write_configs(repository, made.heads, "cpu")
    (repository / f"annotator_{made.name}").mkdir(exist_ok=True)
    write_annotator(repository / f"annotator_{made.name}", made)
    return read_card(repository, made.name)


def test_annotators_are_loaded_beside_models_and_not_alone(tmp_path: Path) -> None:
    put(tmp_path, annotator("depth", depth="annotator_depth"))
    put(tmp_path, annotator("pose", body="annotator_pose_body", hand="annotator_pose_hand"))
    with pytest.raises(RepositoryError, match="has no model card"):
        models_to_load(tmp_path)
    model = card()
    (tmp_path / model.name).mkdir()
    (tmp_path / model.name / "manifest.json").write_bytes(msgspec.json.encode(model))
    configs.write(tmp_path, model, "cpu")
    names = models_to_load(tmp_path)
    assert names[-3:] == ("annotator_depth", "annotator_pose_body", "annotator_pose_hand")
    assert f"{model.name}_unet" in names
    assert models_to_load(tmp_path, ("annotator_pose_hand",)) == ("annotator_pose_hand",)
    (tmp_path / "annotator_depth" / "config.pbtxt").unlink()
    with pytest.raises(RepositoryError, match=r"annotator_depth/config\.pbtxt is missing"):
        models_to_load(tmp_path)


def test_every_heads_graph_has_a_configuration() -> None:
    for head, tensors in HEADS.items():
        (text,) = config_texts({head: "annotator_x"}, "cpu").values()
        assert all(f'name: "{tensor.name}"' in text for tensor in tensors), head
