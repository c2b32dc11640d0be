"""Invariants that are absences: what must not stand in the code."""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("mesh", "families", "gateway", "preprocess_svc", "unet_svc", "vae_svc", "model_server", "local")
TREE = (*ROOMS, "client", "demo", "export", "benchmarks", "tests")
# Words that only the vendors' APIs use. `num_inference_steps` is diffusers' own, too, but not ours.
VENDORS_WORDS = (
    "messege",
    "init_image",
    "num_inference_steps",
    "controlnet_type",
    "controlnet_model",
    "controlnet_conditioning_scale",
    "future_links",
    "track_id",
    "safety_checker",
    "qrcode_text",
    "modelId",
    "negativePrompt",
    "numInferenceSteps",
    "numSamples",
    "controlImage",
    "controlImageId",
    "controlModality",
    "disableModalityDetection",
    "creativeUnitsCost",
    "projectId",
    "assetIds",
    "paginationToken",
    "enabledEvents",
)
DIALECTS_OF_VENDORS = re.compile(r"gateway/dialects/(enterprise|huggingface|scenario)/.*\.py")


def sources(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        yield from sorted((ROOT / room).rglob("*.py"))


def reads_environment(tree: ast.AST) -> bool:
    """Whether the code mentions os.environ or os.getenv."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
        for node in ast.walk(tree)
    )


def test_the_check_for_the_environment_sees_it() -> None:
    assert reads_environment(ast.parse("import os\nport = os.environ['PORT']"))
    assert not reads_environment(ast.parse("def f(environ): return environ['PORT']"))


def test_only_main_reads_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in sources(*ROOMS)
        if path.name != "__main__.py" and reads_environment(ast.parse(path.read_text()))
    }
    assert not readers


def test_a_vendor_s_words_stay_in_its_dialect() -> None:
    pattern = re.compile(rf"\b({'|'.join(VENDORS_WORDS)})\b")
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in sources(*ROOMS)
        if not DIALECTS_OF_VENDORS.fullmatch(str(path.relative_to(ROOT)))
        for match in pattern.finditer(path.read_text())
    }
    assert not found


def test_every_path_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(
        re.findall(r"`((?:tests|gateway|mesh|families|k8s|local|unet_svc|vae_svc|preprocess_svc)/[\w./-]+)`", text)
    )
    assert len(named) > 20
    assert not {name for name in named if not (ROOT / name).exists()}


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_is_longer_than_three_hundred_lines(room: str) -> None:
    assert not [path.name for path in sources(room) if len(path.read_text().splitlines()) > 300]


def module_of(path: Path, root: Path = ROOT) -> str:
    """The dotted name that the file at `path` is imported under."""
    parts = path.relative_to(root).with_suffix("").parts
    if parts[0] == "client" and len(parts) > 2:
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(tree: ast.AST, known: Collection[str]) -> set[str]:
    """The `known` modules that the code imports, at whatever depth: in functions and under TYPE_CHECKING, too."""
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            named |= {
                inner if (inner := f"{node.module}.{alias.name}") in known else node.module for alias in node.names
            }
    return named & set(known)


def circle(imports: Mapping[str, Collection[str]]) -> list[str]:
    """A way from a module back to itself; empty if there is none."""
    sorter = TopologicalSorter(imports)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_search_for_circles_finds_them() -> None:
    hidden = ast.parse("def f():\n    from a import b\nif TYPE_CHECKING:\n    import c.d\n")
    assert imports_of(hidden, {"a.b", "c.d", "e"}) == {"a.b", "c.d"}
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_no_module_imports_itself_by_any_way_round() -> None:
    paths = {module_of(path): path for path in sources(*TREE)}
    assert len(paths) > 400
    found = {name: imports_of(ast.parse(path.read_text()), paths.keys()) - {name} for name, path in paths.items()}
    assert not circle(found)
