"""The random SD1.5-shaped model that the exporter's tests share, and its export."""

from pathlib import Path

import pytest

from export.exporter import export
from export.options import Options
from export.parts import Source
from export.source import open_source
from tests.rigs.once import first, of_run


@pytest.fixture(scope="session")
def sd15_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four levels, 12 + 1 residuals, three ControlNets, in diffusers format."""
    # Here, so that tests without a model do not wait for torch.
    from tests.rigs.tiny_sd15 import make

    with first(tmp_path_factory, "source") as mine:
        if mine:
            make(mine / "tiny", kinds=("canny", "inpaint", "shuffle"), pooled=("shuffle",))
    return of_run(tmp_path_factory, "source") / "tiny"


@pytest.fixture(scope="session")
def sd15_source(sd15_folder: Path) -> Source:
    return open_source(str(sd15_folder), {})


@pytest.fixture(scope="session")
def exported(sd15_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the model as `t`."""
    with first(tmp_path_factory, "exported") as repository:
        if repository:
            assert not export(sd15_source, Options(repository, "t")).skipped
    return of_run(tmp_path_factory, "exported")
