"""Names that are paths, long, of other alphabets or of nothing: at every door that takes one, none leads anywhere."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from yarl import URL

from controlmesh.v1 import generation_pb2, types_pb2
from tests.contract.conftest import Running, running
from tests.contract.rpc.test_servicer import face
from tests.rigs.enterprise_client import CONTENT, PICTURE, SAMPLE
from tests.rigs.enterprise_client import PATH as ENTERPRISE
from tests.rigs.huggingface_client import PAYLOAD
from tests.rigs.scenario_client import BODY, GENERATE

NAMES = (
    "../../x", "..", "/etc/passwd", "demo/../../x", "demo/../demo", "..\\..\\x", "demo%00", "demo\0", "%2e%2e%2fx",
    "\u2025/x", "\uff0e\uff0e/x", "demo\u200b", "d\u0435mo", "demo.", "de mo", "file:///etc/passwd", "x" * 10_000,
    "é" * 5_000, "de\nmo", "~", "$HOME", "demo;id", "__class__", "demo__canny", "demo_unet", ".", "-", "con", "1e5",
    "null\u202e",
)  # fmt: skip
MOST_SAID = 2_000
"""Characters of an answer that refuses a name, however long the name was."""
NATIVE = "/controlmesh/v1"
CONTROL = {"kind": "canny", "image": PICTURE}


def doors(name: str) -> dict[str, tuple[str, Any]]:
    """Where a name is sent, and with what: path and body."""
    kinds = {"controlnet_model": name, "controlnet_type": name}
    return {
        "native model": (f"{NATIVE}/generations", {"prompt": "x", "model": name}),
        "native kind": (f"{NATIVE}/generations", {"prompt": "x", "controls": [{**CONTROL, "kind": name}]}),
        "native extractor": (f"{NATIVE}/hints", {**CONTROL, "extractor": name}),
        "native scheduler": (f"{NATIVE}/generations", {"prompt": "x", "scheduler": name}),
        "enterprise model": (ENTERPRISE, {**SAMPLE, "model_id": name}),
        "enterprise kind": (
            ENTERPRISE,
            {**SAMPLE, "model_id": "demo", **kinds},
        ),
        "huggingface kind": ("/", {**PAYLOAD, "controlnet_type": name}),
        "scenario model": (f"{GENERATE}/controlnet", {**BODY, "modelId": name}),
        "scenario kind": (f"{GENERATE}/controlnet", {**BODY, "modality": name}),
        "scenario file": (f"{GENERATE}/controlnet", {**BODY, "controlImage": f"asset_{name}"}),
    }


@pytest.fixture(scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Running, Path]]:
    """A gateway whose files are in a folder with something beside it."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "x").write_text("beside")
    async with running(default_model="demo", storage_url=(folder / "assets" / "deep").as_uri()) as served:
        yield served, folder


async def test_no_name_leads_anywhere(mesh: tuple[Running, Path]) -> None:
    served, folder = mesh
    before = set(folder.rglob("*"))
    for name in NAMES:
        for door, (path, body) in doors(name).items():
            async with served.http.post(path, json=body) as reply:
                text = await reply.text()
                refused = 400 <= reply.status < 500 or (path == ENTERPRISE and '"status":"error"' in text)
                assert refused, (door, name[:40], reply.status, text[:300])
                assert len(text) < MOST_SAID, (door, name[:40])
                assert "beside" not in text and "root:" not in text
        for path in (f"{NATIVE}/assets", f"{NATIVE}/generations", "/v1/assets", "/v1/jobs"):
            # As it is: a client would resolve dots itself.
            at = URL(f"{served.url}{path}/{quote(name, safe='').replace('.', '%2e')}", encoded=True)
            async with served.http.get(at) as reply:
                assert reply.status in (400, 404, 405, 422), (path, name[:40])
                assert "beside" not in await reply.text()
    assert not served.rooms.seen.prepared and not served.rooms.seen.denoised
    assert set(folder.rglob("*")) == before


async def test_nor_over_grpc() -> None:
    async with face() as (rooms, stub):
        for name in NAMES:
            control = types_pb2.Control(kind=name, image=types_pb2.Image(content=CONTENT))
            for request in (
                generation_pb2.GenerateRequest(prompt="x", model=name),
                generation_pb2.GenerateRequest(prompt="x", controls=[control]),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    async for _ in stub.Generate(request):
                        pass
                assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), name
                assert len(caught.value.details() or "") < MOST_SAID
        assert not rooms.seen.prepared and not rooms.seen.denoised
