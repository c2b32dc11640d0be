"""Loading and deleting models: by whom, from where, under which names; the command, its end, and who is told."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import Running, Start
from tests.contract.enterprise.test_records import receiver
from tests.rigs import exporting

E = "/api/v1/enterprise"
HUB = {"url": "owner/name", "model_id": "mine", "model_type": "huggingface"}
STARTED = {"status": "success", "message": "model load started"}


class Command:
    """The settings that name a command of the test's own, and what it was called with."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "calls"
        self.sources = folder / "sources"
        (self.sources / "good").mkdir(parents=True)
        (self.sources / "good.safetensors").touch()
        (self.sources / "good.ckpt").touch()
        (folder / "elsewhere.safetensors").touch()
        (self.sources / "link.safetensors").symlink_to(folder / "elsewhere.safetensors")
        (self.sources / "disguised.safetensors").symlink_to(self.sources / "good.ckpt")
        (folder / "elsewhere").mkdir()
        (self.sources / "link").symlink_to(folder / "elsewhere")
        self.settings = {
            "api_keys": ("good",),
            "export_command": shlex.join([sys.executable, exporting.__file__, str(self._log)]),
            "model_repository": str(folder / "repository"),
            "model_sources": (str(self.sources),),
            "load_timeout_s": 5.0,
        }

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


async def call(mesh: Running, function: str, **fields: Any) -> Any:
    async with mesh.http.post(f"{E}/{function}", json={"key": "good", **fields}) as response:
        assert response.status == 200
        return await response.json()


async def test_a_model_is_exported_offered_and_told_of(start: Start, command: Command) -> None:
    async with receiver() as (address, heard), start(**command.settings, webhook_allow=(address,)) as mesh:
        webhook = f"http://{address}/hook"
        assert await call(mesh, "load_model", **HUB, webhook=webhook) == STARTED
        mesh.rooms.models.append("mine")
        told, headers = await asyncio.wait_for(heard.get(), 60)
        assert told == {"status": "success", "model_id": "mine", "message": "model loaded"}
        assert headers["webhook-signature"].startswith("v1,")
        assert headers["X-Signature-256"].startswith("sha256=")
        assert (await call(mesh, "verify_model", model_id="mine"))["status"] == "success"
    (done,) = command.calls
    repository = command.settings["model_repository"]
    assert done["arguments"] == ["--repository", repository, "--name", "mine", "--", "owner/name"]
    assert done["niceness"] == 19


@pytest.mark.parametrize("whole", [True, False])
async def test_a_folder_below_a_configured_one(start: Start, command: Command, whole: bool) -> None:
    async with receiver() as (address, heard), start(**command.settings, webhook_allow=(address,)) as mesh:
        mesh.rooms.models.append("mine")
        place = str(command.sources / "good")
        url = place if whole else "good"
        assert await call(mesh, "load_model_v2", url=url, model_id="mine", webhook=f"http://{address}/") == STARTED
        await asyncio.wait_for(heard.get(), 60)
    assert command.calls[0]["arguments"][-1] == place


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {"model_type": "custom_ckpt", "model_format": "safetensors"},
        {"model_type": "stable_diffusion_xl", "model_format": "Safetensors"},
        {"model_category": "stable_diffusion"},
        {},
    ],
)
async def test_a_single_file_in_a_configured_folder(
    start: Start, command: Command, whole: bool, fields: dict[str, str]
) -> None:
    async with receiver() as (address, heard), start(**command.settings, webhook_allow=(address,)) as mesh:
        mesh.rooms.models.append("mine")
        place = str(command.sources / "good.safetensors")
        url = place if whole else "good.safetensors"
        asked = {"url": url, "model_id": "mine", "webhook": f"http://{address}/", **fields}
        assert await call(mesh, "load_model", **asked) == STARTED
        await asyncio.wait_for(heard.get(), 60)
    assert command.calls[0]["arguments"][-2:] == ["--", place]


async def test_an_sdxl_may_be_a_folder_or_a_hub_s(start: Start, command: Command) -> None:
    async with receiver() as (address, heard), start(**command.settings, webhook_allow=(address,)) as mesh:
        mesh.rooms.models.append("mine")
        asked = {**HUB, "model_type": "stable_diffusion_xl", "webhook": f"http://{address}/"}
        assert await call(mesh, "load_model", **asked) == STARTED
        await asyncio.wait_for(heard.get(), 60)
    assert command.calls[0]["arguments"][-1] == "owner/name"


@pytest.mark.parametrize("url", ["good.ckpt", "disguised.safetensors"])
async def test_files_of_another_kind_are_refused_and_it_is_said_what_to_do(
    start: Start, command: Command, url: str
) -> None:
    async with start(**command.settings) as mesh:
        body = await call(mesh, "load_model", **{**HUB, "url": url})
        assert body["message"] == (
            f"url '{url}' is neither a folder nor a .safetensors file; other files of weights can run code when "
            "loaded: convert it first"
        )
    assert not command.calls


@pytest.mark.parametrize(
    "url",
    ["../elsewhere.safetensors", "link.safetensors", "nothing.safetensors", "/etc/passwd",
     "/etc", "../elsewhere", "good/../../elsewhere", "link", "~/x", ".", "..", "-", "--force", "owner/../x", "a/b/c",
     "https://civitai.com/api/download/models/94640", "x", "tests/unit", "owner/na me", "owner/\0", "é/é", "a/é",
     "a/" + "b" * 200],
)  # fmt: skip
async def test_other_places_are_refused_unseen(start: Start, command: Command, url: str) -> None:
    async with start(**command.settings) as mesh:
        body = await call(mesh, "load_model", **{**HUB, "url": url})
        assert (body["status"], body["message"].startswith("url ")) == ("error", True), body
    assert not command.calls


@pytest.mark.parametrize(
    "name", ["../../x", "/etc", "%00", "a" * 65, "a" * 10_000, "slow/../slow", "x.y", "Ⓐ", "a__b", "A", "-a"]
)
@pytest.mark.parametrize("function", ["load_model", "delete_model"])
async def test_other_names_are_refused_before_anything_is_done(
    start: Start, command: Command, function: str, name: str
) -> None:
    async with start(**command.settings) as mesh:
        body = await call(mesh, function, **{**HUB, "model_id": name})
        assert body["status"] == "error" and body["message"].startswith("model")
    assert not command.calls


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "lora"}, "loading models of type lora is not enabled on this server"),
        ({"model_type": "Embeddings"}, "loading models of type embeddings is not enabled on this server"),
        ({"model_type": "api_trained"}, "loading models of type api_trained is not enabled on this server"),
        ({"model_format": "ckpt"}, "loading models in the format ckpt is not enabled on this server"),
        ({"model_format": "PT"}, "loading models in the format pt is not enabled on this server"),
        (
            {"model_format": "safetensors"},
            "url 'owner/name' does not end in .safetensors, which model_format safetensors needs: name such a file in "
            "a folder that models may be loaded from, or ask for model_format diffusers",
        ),
        (
            {"model_type": None, "model_category": "Custom_Ckpt"},
            "url 'owner/name' does not end in .safetensors, which model_type custom_ckpt needs",
        ),
        ({"model_id": ""}, {"model_id": ["The model id field is required."]}),
        ({"url": None}, {"url": ["The url field is required."]}),
        ({"webhook": "http://127.0.0.1/"}, "webhook"),
    ],
)
async def test_what_can_t_be_loaded_is_said(start: Start, command: Command, change: dict[str, Any], words: Any) -> None:
    async with start(**command.settings) as mesh:
        body = await call(mesh, "load_model", **{**HUB, **change})
        assert body["status"] == "error"
        assert body["message"] == words if isinstance(words, dict) else body["message"].startswith(words)
    assert not command.calls


@pytest.mark.parametrize("word", exporting.ENDS)
async def test_a_failure_is_told(start: Start, command: Command, word: str) -> None:
    async with receiver() as (address, heard), start(**command.settings, webhook_allow=(address,)) as mesh:
        asked = {**HUB, "url": f"owner/{word}", "webhook": f"http://{address}/"}
        assert await call(mesh, "load_model", **asked) == STARTED
        told, _ = await asyncio.wait_for(heard.get(), 60)
        assert (told["status"], told["model_id"]) == ("failed", "mine") and told["message"]
        if word in ("refused", "misfit"):
            assert told["message"] == f"url can't be exported: it is {word}"


async def test_an_export_has_its_time_and_ends_with_the_gateway(start: Start, command: Command) -> None:
    endless = {**HUB, "url": "owner/endless"}
    quick = {**command.settings, "export_timeout_s": 0.5}
    async with receiver() as (address, heard), start(**quick, webhook_allow=(address,)) as mesh:
        await call(mesh, "load_model", **endless, webhook=f"http://{address}/")
        again = await call(mesh, "load_model", **endless)
        assert again["message"] == "model_id 'mine' is already being loaded"
        told, _ = await asyncio.wait_for(heard.get(), 60)
        assert told["message"] == "the export took longer than this deployment allows"
    async with start(**command.settings) as mesh:
        await call(mesh, "load_model", **endless)


async def test_what_a_gateway_left_is_told_by_the_next(start: Start, command: Command, tmp_path: Path) -> None:
    records = {"database_url": f"sqlite:///{tmp_path}/records.db"}
    async with receiver() as (address, heard):
        shared = {**command.settings, **records, "webhook_allow": (address,)}
        async with start(**shared) as mesh:
            asked = {**HUB, "url": "owner/endless", "webhook": f"http://{address}/"}
            assert await call(mesh, "load_model", **asked) == STARTED
            async with asyncio.timeout(60):
                while not command.calls:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        async with start(**{**shared, "export_command": "true"}) as mesh:
            mesh.rooms.models.append("mine")
            told, _ = await asyncio.wait_for(heard.get(), 60)
            assert told == {"status": "success", "model_id": "mine", "message": "model loaded"}
            again = await call(mesh, "load_model", **HUB)
            assert again == STARTED, "nothing of that name is being loaded any more"
        assert heard.empty()


async def test_a_model_is_deleted_and_gone(start: Start, command: Command) -> None:
    async with start(**command.settings, protected_models=("demo",)) as mesh:
        mesh.rooms.models.append("mine")
        deleting = asyncio.create_task(call(mesh, "delete_model", model_id="mine"))
        mesh.rooms.models.remove("mine")
        assert await deleting == {"status": "success", "message": "Model deleted on server"}
        assert (await call(mesh, "delete_model", model_id="refused"))["message"] == "Model does not exist on server"
        kept = await call(mesh, "delete_model", model_id="demo")
        assert kept["message"] == "model 'demo' is protected by this deployment's settings"
    assert command.calls[0]["arguments"] == [
        "remove",
        "--repository",
        command.settings["model_repository"],
        "--",
        "mine",
    ]
    assert len(command.calls) == 2


DELETING = """
import asyncio, sys
from gateway.generation.catalogue import Catalogue
from gateway.database.connection import open_database
from gateway.models.admin import ModelAdmin
from gateway.generation.services import Services
from gateway.settings import GatewaySettings
from mesh.errors import NotFound
settings = GatewaySettings(export_command=sys.argv[1])

async def delete(database):
    services = Services("127.0.0.1:1")
    try:
        await ModelAdmin(settings, Catalogue(services), database).delete("refused")
    except NotFound:
        print("ran")
    await services.close()

with open_database("") as database:
    asyncio.run(delete(database))
"""


def test_the_command_hears_nothing_of_the_gateway_s_secrets(command: Command) -> None:
    environ = {**os.environ, "CN_GATEWAY_API_KEYS": "secret", "CN_GATEWAY_SECRET": "secret"}
    line = [sys.executable, "-c", DELETING, command.settings["export_command"]]
    done = subprocess.run(line, env=environ, check=True, capture_output=True, text=True, timeout=60)
    assert "ran" in done.stdout
    assert command.calls[0]["secrets"] == []


async def test_only_operators_load_and_delete(start: Start, command: Command) -> None:
    async with start(**{**command.settings, "api_keys": ()}) as mesh:
        for function in ("load_model", "load_model_v2", "delete_model"):
            body = await call(mesh, function, **HUB)
            assert "scope 'admin'" in body["message"]
    assert not command.calls
