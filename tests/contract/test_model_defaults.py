"""What a request leaves out: the model's own defaults where an API leaves it to the model, else its vendor's."""

import json
from typing import Any

import pytest

from controlmesh.v1 import generation_pb2, unet_pb2
from tests.contract.conftest import Running, Start
from tests.faults.test_database_away import grpc_of
from tests.rigs import huggingface_client, scenario_client
from tests.rigs.jobs import eventually

NATIVE = "/controlmesh/v1/generations?wait=60"
DEFAULTS = unet_pb2.Defaults(
    size=unet_pb2.Size(width=96, height=128), steps=9, guidance_scale=3.0, scheduler="UniPCMultistepScheduler"
)
Taken = tuple[int, float, str]
OWN: Taken = (9, 3.0, "UniPCMultistepScheduler")
MESHS: Taken = (20, 7.5, "DDIMScheduler")


def taken(mesh: Running) -> Taken:
    """Steps, guidance and scheduler of the last loop."""
    asked = mesh.rooms.seen.denoised[-1]
    return asked.steps, asked.guidance_scale, asked.scheduler


async def post(mesh: Running, path: str, body: dict[str, Any]) -> Any:
    async with mesh.http.post(path, json=body) as response:
        assert response.status < 300, await response.text()
        return await response.json(content_type=None) if response.content_type.endswith("json") else None


@pytest.mark.parametrize("defaults", [True, False])
async def test_native_and_grpc_leave_it_to_the_model(start: Start, defaults: bool) -> None:
    async with start() as mesh:
        if defaults:
            mesh.rooms.defaults.CopyFrom(DEFAULTS)
        expected = OWN if defaults else MESHS
        record = await post(mesh, NATIVE, {"prompt": "a boat"})
        assert taken(mesh) == expected
        request = record["request"]
        assert (request["steps"], request["guidance_scale"], request["scheduler"]) == expected, "the record says it"
        await post(mesh, NATIVE, {"prompt": "a boat", "steps": None, "guidance_scale": None, "scheduler": None})
        assert taken(mesh) == expected
        await post(mesh, NATIVE, {"prompt": "a boat", "steps": 2, "guidance_scale": 1, "scheduler": "DDIMScheduler"})
        assert taken(mesh) == (2, 1.0, "DDIMScheduler")
        async with grpc_of(mesh) as stub:
            async for _ in stub.Generate(generation_pb2.GenerateRequest(prompt="a boat"), timeout=30):
                pass
            assert taken(mesh) == expected
            sent = generation_pb2.GenerateRequest(prompt="a boat", steps=3, guidance_scale=2)
            async for _ in stub.Generate(sent, timeout=30):
                pass
            assert taken(mesh)[:2] == (3, 2.0)


async def test_the_vendors_keep_their_documented_defaults(start: Start) -> None:
    async with start() as mesh:
        mesh.rooms.defaults.CopyFrom(DEFAULTS)
        await post(mesh, "/", huggingface_client.PAYLOAD)
        assert taken(mesh) == (30, 7.5, "UniPCMultistepScheduler"), "its scheduler is the model's"
        await post(mesh, "/api/v6/images/text2img", {"key": "x", "prompt": "a boat", "model_id": "demo"})
        assert taken(mesh) == (30, 7.5, "UniPCMultistepScheduler")
        await post(mesh, f"{scenario_client.GENERATE}/txt2img", {"modelId": "demo", "prompt": "a boat"})

        async def third() -> bool:
            return len(mesh.rooms.seen.denoised) == 3

        await eventually(third)
        assert taken(mesh)[:2] == (30, 7.5)


async def test_the_list_of_models_says_what_they_are_made_for(start: Start) -> None:
    async with start() as mesh:
        async with mesh.http.get("/controlmesh/v1/models") as response:
            (plain,) = (await response.json())["models"]
        assert not {"defaults", "trained_sizes"} & plain.keys(), "of a unet_svc that says nothing of it"
        mesh.rooms.defaults.CopyFrom(DEFAULTS)
        mesh.gateway.catalogue.forget()
        async with mesh.http.get("/controlmesh/v1/models") as response:
            (model,) = (await response.json())["models"]
        assert model["defaults"] == {
            "size": {"width": 96, "height": 128},
            "steps": 9,
            "guidance_scale": 3.0,
            "scheduler": "UniPCMultistepScheduler",
        }
        assert model["trained_sizes"] == [{"width": 96, "height": 128}]
        assert model["default_scheduler"] == "UniPCMultistepScheduler"


async def test_hugging_faces_answers_carry_notes_in_a_header(start: Start) -> None:
    """Its body is the picture alone; the other APIs' bodies have notes, a tip or a hint."""
    async with start() as mesh:
        for accept in ("image/png", "application/json"):
            async with mesh.http.post("/", json=huggingface_client.PAYLOAD, headers={"Accept": accept}) as response:
                assert response.status == 200 and "X-ControlMesh-Notes" not in response.headers
            mesh.rooms.notes = ["model demo was trained at 128 x 128 pixels; größer is far outside"]
            async with mesh.http.post("/", json=huggingface_client.PAYLOAD, headers={"Accept": accept}) as response:
                assert json.loads(response.headers["X-ControlMesh-Notes"]) == mesh.rooms.notes
            mesh.rooms.notes = ["x" * 100] * 5_000
            async with mesh.http.post("/", json=huggingface_client.PAYLOAD, headers={"Accept": accept}) as response:
                assert response.status == 200 and len(response.headers["X-ControlMesh-Notes"]) < 5_000
            mesh.rooms.notes = []
