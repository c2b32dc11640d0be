"""A model, and a ControlNet for it, come and go while rooms and model server run: the real exporter, the real
tritonserver, the rooms' own looks at the repository; `python -m export remove`."""

import asyncio
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controlmesh.v1 import preprocess_pb2, unet_pb2
from export.errors import Busy, SourceRefused
from export.place import Placement
from export.remove import remove
from families import graphs
from families.additions import folders
from families.manifest import Manifest, read_manifest
from gateway.database.connection import open_database
from gateway.generation.catalogue import Offer
from gateway.models.admin import ModelAdmin
from gateway.models.loads import Load
from gateway.settings import GatewaySettings
from mesh.admission import Admission
from mesh.errors import InvalidInput, MeshError, NotFound
from mesh.shared_memory import Held
from mesh.triton import Triton
from model_server.environment import find_environment
from model_server.launch import TritonProcess
from preprocess_svc.servicer import PreprocessServicer
from preprocess_svc.styles import load_styles
from tests.rigs.ports import free_port
from tests.rigs.tiny_graphs import TRITON_ENVIRONMENT, write_scaling
from unet_svc.denoiser import Denoiser
from unet_svc.servicer import UnetServicer
from unet_svc.turns import Turns
from vae_svc.servicer import VaeServicer

NAME = "mine"


class Site:
    """Three rooms over one repository, which look at it as a server's probe has them do."""

    def __init__(self, repository: Path, triton: Triton) -> None:
        admission = Admission(4, 4, "calls")
        self.denoiser = Denoiser(triton, Turns(2))
        self.unet = UnetServicer([], self.denoiser, admission, repository)
        self.preprocess = PreprocessServicer([], repository, triton, admission, load_styles())
        self.rooms = (self.unet, VaeServicer([], triton, admission, repository), self.preprocess)

    def forget(self) -> None:
        """As a catalogue."""

    async def offer(self) -> Offer:
        """As a catalogue: what unet_svc and preprocess_svc list."""
        answer = await self.unet.ListModels(unet_pb2.ListModelsRequest(), None)
        known = await self.preprocess.ListControls(preprocess_pb2.ListControlsRequest(), None)
        return Offer(answer.models, known.controls, (), ())

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


@dataclass(frozen=True)
class Operator:
    """Who has models loaded and deleted, and waits for it."""

    admin: ModelAdmin
    ends: "asyncio.Queue[MeshError | None]"

    async def load(self, name: str, source: str, **control: str) -> None:
        await self.admin.load(Load(name, source, "me", "native", **control))
        failure = await asyncio.wait_for(self.ends.get(), 500)
        assert failure is None, failure


@contextmanager
def operator(catalogue: Any, repository: Path, sources: Path) -> Iterator[Operator]:
    settings = GatewaySettings(
        export_command=shlex.join([sys.executable, "-m", "export"]),
        model_repository=str(repository),
        model_sources=(str(sources),),
    )
    ends, loop = asyncio.Queue[MeshError | None](), asyncio.get_running_loop()

    def end(connection: Any, load: Load, failure: MeshError | None) -> None:
        loop.call_soon_threadsafe(ends.put_nowait, failure)

    with open_database("") as database:
        yield Operator(ModelAdmin(settings, catalogue, database, end), ends)


async def test_a_model_is_exported_served_and_removed_while_all_run(sd15_folder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    async with site(repository) as (here, triton):
        with operator(here, repository, sd15_folder.parent) as we:
            await we.load(NAME, sd15_folder.name)
            (model,) = (await here.offer()).models
            assert (model.name, list(model.controls)) == (NAME, ["canny", "inpaint", "shuffle"])
            assert model.exported_at == int((repository / NAME / "manifest.json").stat().st_mtime)
            # Real steps, words and pictures, with each control in turn.
            for room in here.rooms:
                for _ in range(4):
                    await room.probe()
            card = read_manifest(repository, NAME)
            assert set(graphs.repository_names(card)) <= await triton.loaded()
            await _a_controlnet_comes_and_goes(we, here, triton, repository, sd15_folder)
            await we.admin.delete(NAME)
            assert not (await here.offer()).models
            assert not [path.name for path in repository.iterdir() if NAME in path.name]
            await _until_unloaded(triton, set(graphs.repository_names(card)))
            with pytest.raises(NotFound, match="no model is exported"):
                await here.unet.probe()
            await we.admin.close()


async def _a_controlnet_comes_and_goes(
    we: Operator, here: Site, triton: Triton, repository: Path, sd15_folder: Path
) -> None:
    before = read_manifest(repository, NAME)
    with pytest.raises(InvalidInput, match="is not a known kind of control"):
        await we.load("my-edges", f"{sd15_folder.name}/controlnet-canny", kind="colour", model=NAME)
    await we.load("my-edges", f"{sd15_folder.name}/controlnet-canny", kind="canny", model=NAME)
    offer = await here.offer()
    assert list(offer.models[0].controls) == ["canny", "inpaint", "my-edges", "shuffle"]
    assert "my-edges" in offer.extractable(NAME)
    card = read_manifest(repository, NAME)
    # The weights are those of the model's own, so the step is the same, bit for bit; others' are not.
    for others in ((), ("shuffle",), ("shuffle", "shuffle")):
        own = await _step(here.denoiser, card, ("canny", *others))
        assert (own == await _step(here.denoiser, card, ("my-edges", *others))).all()
        assert (own != await _step(here.denoiser, card, others)).any()
    await here.unet.probe()
    registered = graphs.denoise(NAME, ("my-edges", "shuffle", "shuffle"))
    assert await triton.is_ready(registered) and graphs.controlnet(NAME, "my-edges") in await triton.loaded()
    await we.admin.delete("my-edges")
    assert read_manifest(repository, NAME) == before
    await _until_unloaded(triton, {*folders(card, before)})
    assert not await triton.is_ready(registered)
    assert set(graphs.repository_names(before)) <= await triton.loaded()
    with pytest.raises(NotFound):
        await we.admin.delete("my-edges")
    with pytest.raises(NotFound):
        await we.admin.delete("canny")


async def _step(denoiser: Denoiser, card: Manifest, kinds: Sequence[str]) -> Any:
    random = np.random.default_rng(5)
    inputs = {
        "sample": random.normal(size=(1, 4, 8, 8)).astype(np.float32),
        "timestep": np.full((1, 1), 500, np.float32),
    }
    tensors = {
        "text": random.normal(size=(1, 2, card.text_tokens, card.text_width)).astype(np.float32),
        "guidance": np.full((1, 1), 5, np.float32),
    }
    hint = random.integers(0, 256, (1, 3, 64, 64)).astype(np.uint8)
    for index in range(len(kinds)):
        tensors[graphs.hint(index)] = hint
        tensors[graphs.scale(index)] = np.ones((1, 2, len(card.residuals)), np.float32)
    return await denoiser.infer(card, kinds, inputs, Held.inline(tensors))


async def _until_unloaded(triton: Triton, names: set[str]) -> None:
    async with asyncio.timeout(60):
        # The model server has no word for it but its list.
        while await triton.loaded() & names:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def test_a_removal_leaves_others_alone_and_waits_for_exports(exported: Path, tmp_path: Path) -> None:
    repository = shutil.copytree(exported, tmp_path / "repository")
    shutil.copytree(repository / "t_unet", repository / "t_unet_of_another")
    for name, words in (("../t", "is not a valid name"), ("nobody", "is not exported")):
        with pytest.raises(SourceRefused, match=words):
            remove(repository, name)
    with Placement(repository, "t").exclusive(), pytest.raises(Busy):
        remove(repository, "t")
    card = read_manifest(repository, "t")
    assert remove(repository, "t") == {"t", *graphs.repository_names(card)}
    assert [path.name for path in repository.iterdir()] == ["t_unet_of_another"]
