"""Loading and deleting ControlNets on their own: what the command is called with, and that requests choose them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.models import loads
from tests.contract.conftest import Running, Start
from tests.contract.enterprise.test_records import receiver
from tests.contract.test_model_loading import STARTED, Command, call
from tests.rigs.enterprise_client import SILENT, ask

HUB = {"url": "owner/name", "model_id": "my-edges", "model_type": "controlnet", "controlnet_type": "canny"}


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "canny"),
        ({"type": "canny", "controlnet_type": None}, "canny"),
        ({"model_type": None, "model_category": "controlnet", "model_format": "diffusers"}, "canny"),
        ({"controlnet_type": "hed"}, "softedge"),
        ({"controlnet_type": "pose"}, "openpose"),
        # A known one of the hub's needs no word about it, nor does a name that says it.
        ({"controlnet_type": None, "url": "lllyasviel/control_v11p_sd15_canny"}, "canny"),
        ({"controlnet_type": None, "model_id": "normal"}, "normal"),
    ],
)
async def test_it_is_added_to_the_default_model(
    start: Start, command: Command, change: dict[str, Any], kind: str
) -> None:
    sent = {**HUB, **change}
    async with receiver() as (address, heard), start(**command.settings, webhook_allow=(address,)) as mesh:
        mesh.rooms.added[sent["model_id"]] = kind
        assert await call(mesh, "load_model_v2", **sent, webhook=f"http://{address}/") == STARTED
        told, _ = await asyncio.wait_for(heard.get(), 60)
        assert told == {"status": "success", "model_id": sent["model_id"], "message": "model loaded"}
    (done,) = command.calls
    repository = command.settings["model_repository"]
    assert done["arguments"] == [
        *("control", "--repository", repository, "--model", "demo"),
        *("--name", sent["model_id"], "--", kind, sent["url"]),
    ]


async def test_it_is_on_offer_only_when_both_rooms_know_it(start: Start, command: Command) -> None:
    settings = {**command.settings, "load_timeout_s": 1.0}
    async with receiver() as (address, heard), start(**settings, webhook_allow=(address,)) as mesh:
        await call(mesh, "load_model", **HUB, webhook=f"http://{address}/")
        told, _ = await asyncio.wait_for(heard.get(), 60)
        assert told["message"].startswith("model 'my-edges' is not being served")


async def test_requests_choose_it_by_its_name(start: Start, command: Command) -> None:
    async with start(**command.settings) as mesh:
        mesh.rooms.added["my-edges"] = "canny"
        assert (await call(mesh, "verify_model", model_id="my-edges"))["status"] == "success"
        body = await ask(mesh, **{**SILENT, "key": "good", "controlnet_model": "my-edges,canny"})
        assert body["status"] == "success" and body["meta"]["controlnet_model"] == "my-edges,canny"
        assert [control.kind for control in mesh.rooms.seen.prepared[-1].controls] == ["my-edges", "canny"]


async def test_another_model_may_be_its_base(start: Start, command: Command) -> None:
    async with start(**command.settings, protected_models=("demo", "other")) as mesh:
        mesh.rooms.models.append("other")
        mesh.rooms.added["my-edges"] = "canny"
        assert await call(mesh, "load_model", **HUB, base_model="other") == STARTED
        await _ended(mesh)
        refused = await call(mesh, "load_model", **{**HUB, "model_id": "your-edges"}, base_model="nobody")
        assert refused["message"] == "base_model 'nobody' is not loaded; loaded: demo, other"
    assert command.calls[0]["arguments"][3:5] == ["--model", "other"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"controlnet_type": None}, "controlnet_type is needed to know which hints the ControlNet takes; known: canny"),
        ({"controlnet_type": "colour"}, "controlnet_type 'colour' is unknown; known: canny"),
        ({"model_id": "depth"}, "model_id 'depth' is the name of a control kind"),
        ({"model_id": "pose"}, "model_id 'pose' is the name of a control kind"),
        ({"model_id": "My Edges"}, "model_id 'My Edges' is not a valid name"),
        ({"url": "/etc"}, "url '/etc' is neither in a folder"),
        ({"model_format": "safetensors"}, "url 'owner/name' does not end in .safetensors, which model_format"),
        ({"model_format": "ckpt"}, "loading models in the format ckpt is not enabled"),
    ],
)
async def test_what_can_t_be_loaded_is_said(start: Start, command: Command, change: dict[str, Any], words: str) -> None:
    async with start(**command.settings) as mesh:
        body = await call(mesh, "load_model", **{**HUB, **change})
        assert body["status"] == "error" and body["message"].startswith(words), body
    assert not command.calls


async def test_one_of_another_family_is_said_so(start: Start, command: Command) -> None:
    async with receiver() as (address, heard), start(**command.settings, webhook_allow=(address,)) as mesh:
        await call(mesh, "load_model", **{**HUB, "url": "owner/misfit"}, webhook=f"http://{address}/")
        told, _ = await asyncio.wait_for(heard.get(), 60)
        assert (told["status"], told["message"]) == ("failed", "url can't be exported: it is misfit")


async def test_it_is_deleted_and_gone(start: Start, command: Command) -> None:
    async with start(**command.settings, protected_models=("demo",)) as mesh:
        mesh.rooms.added["my-edges"] = "canny"
        deleting = asyncio.create_task(call(mesh, "delete_model", model_id="my-edges"))
        async with asyncio.timeout(60):
            while not command.calls:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not deleting.done(), "it is still being served"
        mesh.rooms.added.clear()
        assert await deleting == {"status": "success", "message": "Model deleted on server"}
    assert command.calls[0]["arguments"][0] == "remove" and command.calls[0]["arguments"][-1] == "my-edges"


async def _ended(mesh: Running) -> None:
    async with asyncio.timeout(60):
        # The database has no word for it but the row's absence.
        while await mesh.gateway.database.run(lambda connection: loads.is_waiting(connection, "my-edges")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
