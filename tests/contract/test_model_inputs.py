"""Models that read more than the latents: what a request for them must have, in each API's own words, and what of it
reaches the services."""

from typing import Any

import grpc
import pytest

from controlmesh.v1 import generation_pb2, types_pb2
from mesh.tensors import to_array
from tests.contract.conftest import Running, Start
from tests.faults.test_database_away import grpc_of
from tests.rigs import enterprise_client, huggingface_client, scenario_client
from tests.rigs.enterprise_client import CONTROL, INIT, MASK, SENT

NATIVE = "/controlmesh/v1/generations?wait=60"
PLAIN: dict[str, Any] = {"prompt": "a boat"}
BOTH: dict[str, Any] = {**PLAIN, "image": SENT[INIT], "mask": SENT[MASK]}
REPAINTS = "model demo does nothing but repaint what is white in a `{}` of an `{}`; send both"
ITSELF = "model demo reads its hint itself, at every step"


async def native(mesh: Running, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    async with mesh.http.post(NATIVE, json=body) as response:
        assert response.status == status, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


async def vendors(mesh: Running, path: str, **sent: Any) -> str:
    """The enterprise dialect's message for a request that it refuses."""
    body = await enterprise_client.ask(mesh, path, **{**enterprise_client.SILENT, "init_image": None, **sent})
    assert body["status"] == "error", body
    message: str = body["message"]
    return message


async def test_a_model_that_repaints_refuses_what_has_no_mask(start: Start) -> None:
    async with start() as mesh:
        mesh.rooms.needs_mask = True
        for body, field in ((PLAIN, "image"), ({**PLAIN, "image": SENT[INIT]}, "mask")):
            problem = await native(mesh, body, 422)
            assert problem["detail"] == f"{field} is missing: {REPAINTS.format('mask', 'image')}"
            assert problem["field"] == field
        words = REPAINTS.format("mask_image", "init_image")
        assert await vendors(mesh, "/api/v6/images/text2img") == f"init_image is missing: {words}"
        said = await vendors(mesh, "/api/v6/images/img2img", init_image=SENT[INIT])
        assert said == f"mask_image is missing: {words}"
        said = await scenario_client.refused(mesh, "txt2img", controlImage=None, modality=None)
        assert said == f"image is missing: {REPAINTS.format('mask', 'image')}"
        image = scenario_client.DATA_URL
        said = await scenario_client.refused(mesh, "img2img", controlImage=None, modality=None, image=image)
        assert said == f"mask is missing: {REPAINTS.format('mask', 'image')}"
        said = await huggingface_client.refused(mesh, json=huggingface_client.PAYLOAD)
        assert said == f"image is missing: {REPAINTS.format('mask_image', 'image')}"
        async with grpc_of(mesh) as stub:
            with pytest.raises(grpc.aio.AioRpcError, match="image is missing: model demo does nothing but") as raised:
                [_ async for _ in stub.Generate(generation_pb2.GenerateRequest(prompt="a boat"))]
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert not mesh.rooms.seen.prepared, "no job was taken"


async def test_no_scheduler_inverts_for_a_model_that_repaints(start: Start) -> None:
    async with start() as mesh:
        mesh.rooms.needs_mask = True
        problem = await native(mesh, {**BOTH, "scheduler": "DDIMInverseScheduler"}, 422)
        assert problem["detail"].startswith(
            "scheduler DDIMInverseScheduler inverts whole pictures; model demo repaints"
        )


async def test_the_picture_is_encoded_whole_and_without_what_the_mask_marks(start: Start) -> None:
    async with start() as mesh:
        mesh.rooms.needs_mask = True
        record = await native(mesh, BOTH)
        assert record["request"]["strength"] == 1.0, "by default all of it"
        whole, masked = mesh.rooms.seen.encoded
        assert whole.image == masked.image and not whole.HasField("mask")
        assert to_array(masked.mask, field="mask", ndim=2, dtype="uint8").shape == (64, 64)
        assert mesh.rooms.seen.denoised[0].HasField("masked")
        await native(mesh, {**BOTH, "strength": 0.5, "width": 128, "height": 64})
        assert mesh.rooms.seen.denoised[1].strength == 0.5
        assert to_array(mesh.rooms.seen.encoded[-1].mask, field="mask", ndim=2, dtype="uint8").shape == (64, 128)


async def test_other_models_encode_the_picture_once(mesh: Running) -> None:
    record = await native(mesh, BOTH)
    assert record["request"]["strength"] == 0.8
    (encoded,) = mesh.rooms.seen.encoded
    assert not encoded.HasField("mask") and not mesh.rooms.seen.denoised[0].HasField("masked")


async def test_a_model_that_reads_a_control_refuses_what_has_none(start: Start) -> None:
    canny = {"kind": "canny", "image": SENT[CONTROL]}
    async with start() as mesh:
        mesh.rooms.own_control = "canny"
        for controls, field, words in (
            ([], "controls[0].kind", f"must be canny: {ITSELF}"),
            ([{**canny, "kind": "softedge"}], "controls[1].kind", f"must be canny: {ITSELF}"),
            ([canny, canny], "controls[1].kind", "can't be canny again: model demo reads one hint of it"),
        ):
            problem = await native(mesh, {**PLAIN, "controls": controls}, 422)
            assert problem["detail"] == f"{field} {words}"
            assert problem["field"] == field
        said = await vendors(mesh, "/api/v6/images/text2img")
        assert said == f"controlnet_model must be canny: {ITSELF}"
        said = await scenario_client.refused(mesh, "txt2img", controlImage=None, modality=None)
        assert said == f"modality must be canny: {ITSELF}"
        body = {"inputs": "a boat", "parameters": {}}
        assert await huggingface_client.refused(mesh, json=body) == f"controlnet_type must be canny: {ITSELF}"
        async with grpc_of(mesh) as stub:
            with pytest.raises(grpc.aio.AioRpcError, match=rf"controls\[0\].kind must be canny: {ITSELF}"):
                [_ async for _ in stub.Generate(generation_pb2.GenerateRequest(prompt="a boat"))]
        assert not mesh.rooms.seen.prepared, "no job was taken"
        await native(mesh, {**PLAIN, "controls": [canny]})
        assert [control.kind for control in mesh.rooms.seen.prepared[0].controls] == ["canny"]
        async with grpc_of(mesh) as stub:
            control = types_pb2.Control(kind="canny", image=types_pb2.Image(content=CONTROL))
            [_ async for _ in stub.Generate(generation_pb2.GenerateRequest(prompt="a boat", controls=[control]))]
        assert len(mesh.rooms.seen.denoised) == 2


async def test_a_default_window_is_not_sent_where_there_is_none(start: Start) -> None:
    async with start() as mesh:
        mesh.rooms.family = "flux"
        await scenario_client.made(mesh, modality="canny", scheduler="DDIM")
        mesh.rooms.own_control = "canny"
        mesh.gateway.catalogue.forget()
        await scenario_client.made(mesh, modality="canny", scheduler="DDIM")
        assert [prepared.controls[0].end for prepared in mesh.rooms.seen.prepared] == [0.5, 1.0]


async def test_notes_on_a_weight_are_in_the_vendors_words(start: Start) -> None:
    async with start() as mesh:
        mesh.rooms.notes = ["controls[0].weight was not applied: model demo reads the hint of canny itself"]
        tip = "controlnet_conditioning_scale was not applied: model demo reads the hint of canny itself"
        await enterprise_client.made(mesh, tip)
        assert (await native(mesh, PLAIN))["notes"] == mesh.rooms.notes


@pytest.mark.parametrize(
    ("needs_mask", "own_control", "capabilities", "described"),
    [
        (True, "", ["controlnet_inpaint", "inpaint"], "; it needs an init_image and a mask_image."),
        (
            False,
            "canny",
            ["controlnet", "controlnet_img2img", "controlnet_inpaint"],
            "; it needs a control of the kind",
        ),
    ],
)
async def test_lists_say_what_a_model_needs(
    start: Start, needs_mask: bool, own_control: str, capabilities: list[str], described: str
) -> None:
    async with start() as mesh:
        mesh.rooms.needs_mask, mesh.rooms.own_control = needs_mask, own_control
        async with mesh.http.get("/controlmesh/v1/models") as response:
            limits = (await response.json())["models"][0]["limits"]
        assert (limits["needs_mask"], limits["own_control"]) == (needs_mask, own_control)
        model = (await scenario_client.ask(mesh, "GET", "/v1/models/demo"))["model"]
        assert model["capabilities"] == capabilities
        async with mesh.http.post("/api/v4/dreambooth/model_list", json={"key": "x"}) as response:
            (listed,) = await response.json(content_type=None)
        assert described in listed["description"]
