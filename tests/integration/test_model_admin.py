"""A model comes and goes while rooms and model server run: the real exporter, the real tritonserver, the rooms' own
looks at the repository; `python -m export remove`."""

import asyncio
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from controlmesh.v1 import unet_pb2
from export.errors import Busy, SourceRefused
from export.place import Placement
from export.remove import remove
from families import graphs
from families.manifest import Manifest, read_manifest
from gateway.catalogue import Offer
from gateway.model_admin import ModelAdmin
from gateway.settings import GatewaySettings
from mesh.admission import Admission
from mesh.errors import MeshError, NotFound
from mesh.triton import Triton
from model_server.environment import find_environment
from model_server.launch import TritonProcess
from preprocess_svc.servicer import PreprocessServicer
from preprocess_svc.styles import load_styles
from tests.integration.tiny_graphs import TRITON_ENVIRONMENT, write_scaling
from tests.ports import free_port
from unet_svc.denoiser import Denoiser
from unet_svc.servicer import UnetServicer
from vae_svc.servicer import VaeServicer

NAME = "mine"


class Site:
    """Three rooms over one repository, which look at it as a server's probe has them do."""

    def __init__(self, repository: Path, triton: Triton) -> None:
        admission = Admission(4, 4, "calls")
        self.unet = UnetServicer([], Denoiser(triton), admission, repository)
        self.rooms = (
            self.unet,
            VaeServicer([], triton, admission, repository),
            PreprocessServicer([], repository, triton, admission, load_styles()),
        )

    def forget(self) -> None:
        """As a catalogue."""

    async def offer(self) -> Offer:
        """As a catalogue: what unet_svc lists."""
        answer = await self.unet.ListModels(unet_pb2.ListModelsRequest(), None)
        return Offer(answer.models, (), (), ())

    async def look(self) -> None:
        """Until cancelled: probe every room."""
        while True:
            for room in self.rooms:
                with suppress(MeshError):
                    await room.probe()
            await asyncio.sleep(0.1)


@asynccontextmanager
async def site(repository: Path) -> AsyncIterator[tuple[Site, Triton]]:
    write_scaling(repository, "double", 2.0)
    process = TritonProcess(find_environment(TRITON_ENVIRONMENT), repository, ("double",), grpc_port=free_port())
    async with process as running:
        triton = Triton(running.url, timeout_s=120)
        here = Site(repository, triton)
        looking = asyncio.create_task(here.look())
        try:
            yield here, triton
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            await triton.close()


async def test_a_model_is_exported_served_and_removed_while_all_run(sd15_folder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    settings = GatewaySettings(
        export_command=shlex.join([sys.executable, "-m", "export"]),
        model_repository=str(repository),
        model_sources=(str(sd15_folder.parent),),
    )
    async with site(repository) as (here, triton):
        catalogue: Any = here
        admin = ModelAdmin(settings, catalogue)
        ended: asyncio.Future[MeshError | None] = asyncio.get_running_loop().create_future()

        async def then(failure: MeshError | None) -> None:
            ended.set_result(failure)

        admin.load(sd15_folder.name, NAME, then)
        assert await asyncio.wait_for(ended, 500) is None
        (model,) = (await here.offer()).models
        assert (model.name, list(model.controls)) == (NAME, ["canny", "inpaint", "shuffle"])
        assert model.exported_at == int((repository / NAME / "manifest.json").stat().st_mtime)
        # Real steps, words and pictures, with each control in turn.
        for room in here.rooms:
            for _ in range(4):
                await room.probe()
        card = read_manifest(repository, NAME)
        assert set(graphs.repository_names(card)) <= await triton.loaded()
        await admin.delete(NAME)
        assert not (await here.offer()).models
        assert not [path.name for path in repository.iterdir() if NAME in path.name]
        await _until_unloaded(triton, card)
        with pytest.raises(NotFound, match="no model is exported"):
            await here.unet.probe()
        await admin.close()


async def _until_unloaded(triton: Triton, card: Manifest) -> None:
    async with asyncio.timeout(60):
        # The model server has no word for it but its list.
        while await triton.loaded() & set(graphs.repository_names(card)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def test_a_removal_leaves_others_alone_and_waits_for_exports(exported: Path, tmp_path: Path) -> None:
    repository = shutil.copytree(exported, tmp_path / "repository")
    shutil.copytree(repository / "t_unet", repository / "t_unet_of_another")
    for name, words in (("../t", "is not a name"), ("nobody", "is not exported")):
        with pytest.raises(SourceRefused, match=words):
            remove(repository, name)
    with Placement(repository, "t").exclusive(), pytest.raises(Busy):
        remove(repository, "t")
    card = read_manifest(repository, "t")
    assert remove(repository, "t") == {"t", *graphs.repository_names(card)}
    assert [path.name for path in repository.iterdir()] == ["t_unet_of_another"]
