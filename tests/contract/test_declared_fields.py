"""Every field that a dialect reads is declared, and every declared one is read, or is said to have no effect."""

import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from gateway.dialects.common.declared import Field, NoEffect, Sets, Table
from gateway.dialects.enterprise import declared as enterprise
from gateway.dialects.enterprise.dialect import Enterprise
from gateway.dialects.enterprise.paths import PATHS
from gateway.dialects.enterprise.settings import EnterpriseSettings
from gateway.dialects.huggingface import declared as huggingface
from gateway.dialects.huggingface.dialect import HuggingFace
from gateway.dialects.scenario import declared as scenario
from gateway.dialects.scenario.dialect import Scenario
from gateway.generation.generation import Control, Generation
from gateway.jobs.job import Order
from tests.contract.conftest import Running, running
from tests.rigs.scenario_client import DATA_URL, PICTURE

KEY = "mine"
URL = "https://example.org/no-model"
# What else than a generation and its order fields may ask for.
OTHERS = {
    *("source", "base"),
    *enterprise.STORAGE,
    *("name", "file_name", "size", "parts", "content_type", "url", "events", "description", "enabled"),
}


class Watched(Table):
    """Knows which of its fields were looked at."""

    def __init__(self, *fields: Field) -> None:
        super().__init__(*fields)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Field:
        self.read.add(name)
        return super().__getitem__(name)

    def unread(self) -> set[str]:
        """Those of its fields that have an effect and were not looked at."""
        return {name for name, field in self._fields.items() if not isinstance(field.effect, NoEffect)} - self.read


def watched(tables: Mapping[Any, Table]) -> dict[Any, Watched]:
    return {key: Watched(*table.values()) for key, table in tables.items()}


@asynccontextmanager
async def asking(router: APIRouter) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the routes alone. What is read without being declared is answered as an unexpected error."""
    app = FastAPI()
    app.include_router(router)

    async def refuse_the_unexpected(response: httpx2.Response) -> None:
        text = (await response.aread()).decode(errors="replace")
        assert "unexpected error" not in text, (response.request.url, text)

    headers = {"Authorization": f"Bearer {KEY}"}
    hooks = {"response": [refuse_the_unexpected]}
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://test", headers=headers, event_hooks=hooks
    ) as client:
        yield client


@pytest.fixture
async def mesh() -> AsyncIterator[Running]:
    """One that loads models, or tries to, and sends webhooks to this machine."""
    async with running(export_command="false", webhook_allow=("127.0.0.1:*",), api_keys=(KEY,)) as served:
        yield served


ENTERPRISE: Mapping[str, tuple[dict[str, Any], ...]] = {
    "controlnet": ({"controlnet_model": "canny", "prompt": "a boat", "init_image": PICTURE},),
    "text2img": ({"prompt": "a boat"},),
    "img2img": ({"prompt": "a boat", "init_image": PICTURE},),
    "inpaint": ({"prompt": "a boat", "init_image": PICTURE, "mask_image": PICTURE},),
    "upload_image": ({"base64_image": PICTURE},),
    "base64_crop": ({"image": PICTURE},),
    **{
        name: (
            {"url": URL, "model_id": "one"},
            {"url": URL, "model_id": "two", "model_type": "controlnet", "controlnet_type": "canny"},
        )
        for name in ("load_model", "load_model_v2")
    },
    # Not further than to the last of them: a storage would be tried.
    "update_s3": (dict.fromkeys([*enterprise.STORAGE.values()][:-1], "x"),),
}


async def test_the_enterprise_dialect_reads_what_it_declares(mesh: Running) -> None:
    assert set(enterprise.FIELDS) == set(PATHS)
    tables = watched(enterprise.FIELDS)
    dialect = Enterprise(mesh.gateway, EnterpriseSettings(hold_s=0.0), tables)
    async with asking(dialect.routes()) as client:
        for function, paths in PATHS.items():
            # The last path of a function is its newest version's, which has a field more.
            for body in ENTERPRISE.get(function, ({},)):
                await client.post(paths[-1], json=body)
    assert {name: table.unread() for name, table in tables.items() if table.unread()} == {}


async def test_the_scenario_dialect_reads_what_it_declares(mesh: Running) -> None:
    tables = watched(scenario.FIELDS)
    asked = {"prompt": "a boat", "modelId": "demo", "modality": "canny"}
    # Of several names of a picture the first that was sent counts.
    pictured = [
        {**asked, "controlImage": DATA_URL, "image": DATA_URL, "mask": DATA_URL},
        {**asked, "controlImageId": DATA_URL, "imageUrl": DATA_URL, "maskId": DATA_URL},
    ]
    bodies: Mapping[str, dict[str, Any]] = {
        "/assets": {"name": "a.png", "image": DATA_URL, "assetIds": ["asset_none"]},
        "/assets/get-bulk": {"assetIds": ["asset_none"]},
        "/models/get-bulk": {"modelIds": ["demo"]},
        "/uploads": {"kind": "image", "fileName": "a.png", "fileSize": 9, "contentType": "image/png"},
        **{stem: {"url": "http://127.0.0.1:9/hook", "enabledEvents": ["*"]} for stem in scenario.STEMS},
    }
    async with asking(Scenario(mesh.gateway, tables).routes()) as client:
        posted = await client.post("/v1/generate/txt2img", json=asked)
        made = await client.post(f"/v1{scenario.STEMS[0].format(team_id='t')}", json=bodies[scenario.STEMS[0]])
        assert (posted.status_code, made.status_code) == (200, 200), (posted.text, made.text)
        ids = {"/jobs": posted.json()["job"]["jobId"], "/uploads": f"upload_{'0' * 32}"}
        for method, path in scenario.FIELDS:
            id = next((id for start, id in ids.items() if path.startswith(start)), made.json()["webhookEndpoint"]["id"])
            filled = path.format(id=id, model_id="demo", team_id="t", project_id="p")
            for body in pictured if path.startswith("/generate/") else (bodies.get(path, {}),):
                await client.request(method, f"/v1{filled}", json=body)
    assert {key: table.unread() for key, table in tables.items() if table.unread()} == {}


async def test_the_hugging_face_dialect_reads_what_it_declares(mesh: Running) -> None:
    tables = watched(huggingface.FIELDS)
    async with asking(HuggingFace(mesh.gateway, tables).routes()) as client:
        for body in (
            {"inputs": "a boat", "image": PICTURE, "control_image": PICTURE, "controlnet_type": "canny_edge"},
            {"inputs": PICTURE, "parameters": {"prompt": "a boat", "controlnet_type": "canny_edge"}},
        ):
            answer = await client.post("/", json=body)
            assert answer.status_code == 200, answer.text
    assert tables["predict"].unread() == set()


@pytest.mark.parametrize("tables", [enterprise.FIELDS, scenario.FIELDS, huggingface.FIELDS])
def test_what_fields_set_exists(tables: Mapping[Any, Table]) -> None:
    known = {field.name for cls in (Generation, Order) for field in dataclasses.fields(cls)} | OTHERS
    known |= {f"controls.{field.name}" for field in dataclasses.fields(Control)}
    fields = [field for table in tables.values() for field in table.values()]
    named = {name for field in fields if isinstance(field.effect, Sets) for name in field.effect.names}
    assert named and named <= known


async def test_a_field_that_is_not_declared_is_noticed(mesh: Running) -> None:
    tables = watched(huggingface.FIELDS)
    tables["predict"] = Watched(*(field for field in tables["predict"].values() if field.name != "mask_image"))
    async with asking(HuggingFace(mesh.gateway, tables).routes()) as client:
        with pytest.raises(AssertionError, match="unexpected error"):
            await client.post("/", json={"inputs": "a boat", "image": PICTURE})
