"""The running mesh that most tests share, started by the code of `make up` on free ports."""

import gc
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import settings

from local.supervision import LocalMesh
from tests.rigs import forks
from tests.rigs.mesh import DEMO_WEIGHTS, ROOT, local_settings, mesh_environment
from tests.rigs.once import first
from tests.rigs.schedule import MESH, Schedule, longest_first, misplaced, piece

# Whatever a change is tested with is the same at every run; `make fuzz` searches anew, and longer.
settings.register_profile("quick", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("deep", max_examples=20_000, deadline=None)
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("parity")
    group.addoption("--every-case", action="store_true", help="Compare the whole matrix with diffusers, not a cover.")
    group.addoption("--parity-table", metavar="FILE", help="Write what the comparison measured as a table.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest first where several processes share the tests, and hold those on the one mesh together."""
    if wrong := misplaced(items):
        raise pytest.UsageError(f"{', '.join(sorted(wrong))}: asks the mesh; add it to tests/rigs/schedule.py")
    if hasattr(config, "workerinput"):
        longest_first(items)


def pytest_collection_finish() -> None:
    """Look for garbage less often, and not among the million objects that collecting tests made: that took a quarter of
    the processor's time, and stopped a test for seconds where the machine was busy."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Schedule:
    return Schedule(config, log)


def _succeeded(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random epsilon model of SD1.5's shape (4 levels, 13 residuals, leading timesteps) in diffusers format."""
    folder = ROOT / "build" / "tiny-sd15"
    with first(tmp_path_factory, "tiny-sd15") as mine:
        if mine:
            _succeeded(forks.fork("tests.rigs.tiny_sd15:make", folder))
    return folder


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of SDXL's shape in diffusers format."""
    folder = ROOT / "build" / "tiny-sdxl"
    with first(tmp_path_factory, "tiny-sdxl") as mine:
        if mine:
            _succeeded(forks.fork("tests.rigs.tiny_sdxl:make", folder))
    return folder


@pytest.fixture(scope="session")
def tiny_flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of FLUX's shape in diffusers format."""
    folder = ROOT / "build" / "tiny-flux"
    with first(tmp_path_factory, "tiny-flux") as mine:
        if mine:
            _succeeded(forks.fork("tests.rigs.tiny_flux:make", folder))
    return folder


@pytest.fixture(scope="session")
def repository(tiny_weights: Path, tiny_sdxl: Path, tiny_flux: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the demo model, its annotator and the tiny random models; kept in build/, so a second run
    is quick."""
    folder = ROOT / "build" / "test-repository"
    folder.mkdir(parents=True, exist_ok=True)
    # The documented pairs are of a model without defaults of its own, for which no size is far outside.
    trained = (option for side in (128, 512, 1024) for option in ("--trained-size", f"{side}x{side}"))
    silent = ("--steps", "20", "--guidance", "7.5", "--scheduler", "DDIMScheduler", *trained)
    sources = (
        [DEMO_WEIGHTS, "--name", "demo", *silent],
        [tiny_weights, "--name", "tiny"],
        [tiny_sdxl, "--name", "tiny-sdxl"],
        [tiny_flux, "--name", "tiny-flux"],
        ["annotator", "demo"],
    )
    with first(tmp_path_factory, "repository") as mine:
        if mine:
            for source in sources:
                _succeeded(forks.export(*source, "--repository", folder))
            _succeeded(forks.fork("tests.rigs.tiny_concat:main", ROOT / "build" / "tiny-concat", folder))
    return folder


@pytest.fixture(scope="session")
def tiny_concat(repository: Path) -> Path:
    """The models of tests/rigs/tiny_concat.py in diffusers format, below one folder; `repository` has them too."""
    return ROOT / "build" / "tiny-concat"


@pytest.fixture(scope="session")
def demo_repository(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model of `repository` alone, for meshes that start again and again: half the graphs to load."""
    folder = tmp_path_factory.mktemp("demo-repository")
    for graph in repository.iterdir():
        if graph.name == "demo" or graph.name.startswith("demo_"):
            (folder / graph.name).symlink_to(graph)
    return folder


@pytest.fixture(scope="session")
def mesh(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """The whole mesh, without keys, with both models; one unknown model name stands for the demo model."""
    settings = local_settings(repository, tmp_path_factory.mktemp("mesh"))
    environ = mesh_environment(
        CN_GATEWAY_DEFAULT_MODEL="demo",
        CN_GATEWAY_MODEL_ALIASES="midjourney=demo",
    )
    with ExitStack() as stack:
        mesh = stack.enter_context(LocalMesh(settings, environ))
        _DONE_WITH_MESH.append(stack.pop_all())
        yield mesh
        _end_mesh()


_DONE_WITH_MESH: list[ExitStack] = []


def _end_mesh() -> None:
    while _DONE_WITH_MESH:
        _DONE_WITH_MESH.pop().close()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the mesh with the last test that asks it, where these run one after another: an idle one takes processor
    time, too."""
    is_last = nextitem is None or piece(nextitem.nodeid) != MESH
    if hasattr(item.config, "workerinput") and piece(item.nodeid) == MESH and is_last:
        _end_mesh()


@pytest.fixture(scope="session")
def client(mesh: LocalMesh) -> Iterator[httpx2.Client]:
    """HTTP client of the shared mesh's edge."""
    with httpx2.Client(base_url=mesh.url, timeout=120) as opened:
        yield opened
