"""The random SD1.5-shaped model that the exporter's tests share, and its export."""

from pathlib import Path

import pytest

from export.exporter import export
from export.options import Options
from export.source import Source, open_source


@pytest.fixture(scope="session")
def sd15_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four levels, 12 + 1 residuals, three ControlNets, in diffusers format."""
    # Here, so that tests without a model do not wait for torch.
    from tests.rigs.tiny_sd15 import make

    return make(tmp_path_factory.mktemp("source") / "tiny", kinds=("canny", "inpaint", "shuffle"), pooled=("shuffle",))


@pytest.fixture(scope="session")
def sd15_source(sd15_folder: Path) -> Source:
    return open_source(str(sd15_folder), {})


@pytest.fixture(scope="session")
def exported(sd15_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the model as `t`."""
    repository = tmp_path_factory.mktemp("repository")
    outcome = export(sd15_source, Options(repository, "t"))
    assert not outcome.skipped
    return repository
