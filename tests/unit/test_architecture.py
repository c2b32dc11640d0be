"""Invariants that are absences: what must not stand in the code."""

import ast
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects.table import DIALECTS

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("mesh", "families", "gateway", "preprocess_svc", "unet_svc", "vae_svc", "model_server", "local")
TREE = (*ROOMS, "client", "demo", "export", "benchmarks", "tests")
VENDORS = {name: entry for name, entry in DIALECTS.items() if entry.words}
# What a released version did to the database stays as it was.
HISTORY = "gateway/database/migrations/versions/"


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


def folder_of(name: str) -> str:
    """Where the dialect of that name stands."""
    return f"gateway/dialects/{name}/"


def test_a_vendor_s_words_stay_in_its_dialect() -> None:
    homes: dict[str, list[str]] = {}
    for name, entry in VENDORS.items():
        for word in entry.words:
            homes.setdefault(word, []).append(folder_of(name))
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, homes))})\b")
    found = {
        f"{place}: {match[0]}"
        for path in sources(*ROOMS)
        for place in [str(path.relative_to(ROOT))]
        for match in pattern.finditer(path.read_text())
        if not place.startswith(tuple(homes[match[0]]))
    }
    assert not found


def test_a_vendor_s_name_stays_in_its_dialect_and_its_line_of_the_table() -> None:
    # A vendor's folder may name others: in its API they are words like any other.
    own = tuple(map(folder_of, VENDORS))
    pattern = re.compile("|".join(VENDORS), re.IGNORECASE)
    assert set(VENDORS) == {"enterprise", "huggingface", "scenario"}
    found = [
        f"{place}: {line}"
        for path in sources("gateway")
        for place in [str(path.relative_to(ROOT))]
        if not place.startswith((*own, HISTORY))
        for line in path.read_text().splitlines()
        if pattern.search(line)
    ]
    # Its import and its row.
    assert all(line.startswith("gateway/dialects/table.py: ") for line in found) and len(found) == 2 * len(VENDORS)


PAGES = (
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    "k8s/README.md",
    "client/README.md",
    "demo/weights/README.md",
)
FOLDERS = "|".join((*ROOMS, "demo", "export", "client", "benchmarks", "protos", "k8s", "tests", "docs"))
# Made when something runs.
MADE = ("docs/demo/picture", "k8s/overlays/mine")


ALL_PAGES = [*PAGES, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", ALL_PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text().partition("## Where modules went")[0]
    named = set(re.findall(rf"`((?:{FOLDERS})/[\w./-]+)", text))
    assert page != "ARCHITECTURE.md" or len(named) > 20
    assert not {name for name in named if not (ROOT / name).exists() and not name.startswith(MADE)}


def test_channels_in_pages_carry_their_message_limit() -> None:
    # Two hints of 1024 px, or four pictures, are more than the 4 MiB that clients take by default.
    pages = {page: (ROOT / page).read_text() for page in [*ALL_PAGES, "docs/examples/grpc_client.py"]}
    opened = {page: re.findall(r"insecure_channel\(([^\n]*)", text) for page, text in pages.items()}
    assert sum(map(len, opened.values())) >= 3
    assert not [page for page, found in opened.items() if any("options=OPTIONS" not in one for one in found)]


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


def contract(name: str) -> dict[str, Any]:
    """The import-linter contract whose name begins so."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = (one for one in contracts if one["name"].startswith(name))
    return dict(found)


def test_the_contracts_list_all_there_is() -> None:
    folders = {path.parent.name for path in (ROOT / "gateway" / "dialects").glob("*/entry.py")} - {"common"}
    assert set(contract("A dialect knows no other")["modules"]) == {f"gateway.dialects.{name}" for name in folders}
    within = {path.stem if path.is_file() else path.name for path in (ROOT / "gateway").iterdir()}
    parts = {f"gateway.{name}" for name in within if not name.startswith("__")} - {"gateway.workflows"}
    others = {"controlmesh", "controlmesh_client", *TREE} - {"gateway", "client", "benchmarks", "tests"}
    assert set(contract("dbos stays")["source_modules"]) == parts | others
