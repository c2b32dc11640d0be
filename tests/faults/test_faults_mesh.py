"""Parts that fail under a running mesh: a clear answer in each dialect's shape, nothing left running, recovery."""

import base64
import io
import json
import os
import re
import signal
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import psutil
import pytest
from PIL import Image

from controlmesh.v1 import generation_pb2, generation_pb2_grpc
from gateway.generation.services import SERVICES
from local.demo import source_picture
from local.supervision import LocalMesh
from mesh.channels import open_channel
from mesh.containers.jpeg import MOST_SCANS
from tests.parity.matrix import mixed
from tests.parity.reference import assert_same
from tests.rigs.hostile_pictures import jpeg_of_scans
from tests.rigs.mesh import GENERATIONS, local_settings, mesh_environment, picture

PICTURE = base64.b64encode(source_picture()).decode()
LONG: dict[str, Any] = {"prompt": "a red star", "width": 512, "height": 512, "steps": 150}


@pytest.fixture(scope="module")
def frail(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """A mesh of this file's own, because its parts get killed."""
    settings = local_settings(demo_repository, tmp_path_factory.mktemp("frail"))
    with LocalMesh(settings, mesh_environment(CN_GATEWAY_DEFAULT_MODEL="demo")) as mesh:
        yield mesh


@pytest.fixture
def caller(frail: LocalMesh) -> Iterator[httpx2.Client]:
    frail.wait_ready(60)
    with httpx2.Client(base_url=frail.url, timeout=120) as client:
        yield client


def hugging_face(caller: httpx2.Client, **changes: Any) -> httpx2.Response:
    body = {"inputs": "a red star", "image": PICTURE, "controlnet_type": "canny_edge", "num_inference_steps": 4}
    return caller.post("/", json={**body, **changes}, headers={"Accept": "image/png"})


def enterprise(caller: httpx2.Client, **changes: Any) -> httpx2.Response:
    body = {"key": "x", "model_id": "demo", "controlnet_model": "canny", "prompt": "a red star", "init_image": PICTURE}
    size = {"base64": "yes", "width": "128", "height": "128", "num_inference_steps": "4"}
    return caller.post("/api/v1/enterprise/controlnet", json={**body, **size, **changes})


def native(caller: httpx2.Client, **changes: Any) -> httpx2.Response:
    control = {"kind": "canny", "image": PICTURE, **changes.pop("control", {})}
    body = {"prompt": "a red star", "controls": [control], "width": 128, "height": 128, "steps": 4}
    return caller.post(f"{GENERATIONS}?wait=60", json={**body, **changes})


def loops(mesh: LocalMesh) -> int:
    text = httpx2.get(f"http://{mesh.settings.unet_metrics_address}/metrics").text
    found = re.search(r"^cn_denoise_loops (\S+)$", text, re.MULTILINE)
    assert found
    return int(float(found[1]))


def eventually(condition: Any, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def declared(width: int, height: int) -> str:
    """Base64 of a small PNG that declares a huge size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")
    return base64.b64encode(content).decode()


def gif() -> str:
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "GIF")
    return base64.b64encode(out.getvalue()).decode()


BAD_PICTURES = {
    "100 megapixels": declared(10_000, 10_000),
    "not base64": "%%% no base64 %%%",
    "not a picture": base64.b64encode(b"<html></html>").decode(),
    "a GIF": gif(),
    "a truncated PNG": base64.b64encode(source_picture()[:3000]).decode(),
    "empty": "",
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_bad_picture_is_refused_in_every_dialect_s_shape(caller: httpx2.Client, frail: LocalMesh, name: str) -> None:
    bad = BAD_PICTURES[name]
    answer = native(caller, control={"image": bad})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 422
    answer = hugging_face(caller, image=bad)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}
    answer = enterprise(caller, init_image=bad)
    assert answer.status_code == 200
    assert answer.json()["status"] == "error"
    assert answer.json()["message"] == answer.json()["messege"]
    for text in (answer.text, name):
        assert not re.search(r"\b0x[0-9a-f]{4}|Traceback|/usr/|site-packages", text)
    assert loops(frail) == 0


def decodes(mesh: LocalMesh, outcome: str = "") -> float:
    """Pictures that preprocess_svc gave to its decoders, by how it ended."""
    text = httpx2.get(f"http://{mesh.settings.preprocess_metrics_address}/metrics").text
    return sum(
        float(count) for _, count in re.findall(rf'^cn_decodes_total{{outcome="({outcome}.*)"}} (\S+)$', text, re.M)
    )


def decoding(mesh: LocalMesh) -> float:
    """Pixels that are being decoded there."""
    text = httpx2.get(f"http://{mesh.settings.preprocess_metrics_address}/metrics").text
    found = re.search(r"^cn_decode_pixels (\S+)$", text, re.M)
    assert found
    return float(found[1])


def test_a_picture_of_many_scans_reaches_no_decoder(caller: httpx2.Client, frail: LocalMesh) -> None:
    before = decodes(frail)
    answer = native(caller, control={"image": base64.b64encode(jpeg_of_scans(600, 4096)).decode()})
    assert (answer.status_code, answer.json()["field"]) == (422, "controls[0].image")
    assert decodes(frail) == before


def test_a_costly_picture_is_given_up_with_its_caller(caller: httpx2.Client, frail: LocalMesh) -> None:
    costly = base64.b64encode(jpeg_of_scans(MOST_SCANS, 4096)).decode()
    body = {"prompt": "a red star", "controls": [{"kind": "canny", "image": costly}] * 5, "width": 64, "height": 64}
    left = decodes(frail, "left")
    host, port = frail.settings.edge_address.split(":")
    with socket.create_connection((host, int(port))) as there:
        sent = json.dumps(body).encode()
        head = f"POST {GENERATIONS}?wait=60 HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        there.sendall(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        assert eventually(lambda: decoding(frail) > 0)
    assert eventually(lambda: decoding(frail) == 0)
    assert decodes(frail, "left") > left
    assert native(caller).status_code == 200


def test_an_unknown_control_names_the_known(caller: httpx2.Client) -> None:
    answer = native(caller, control={"kind": "telepathy"})
    assert answer.status_code == 422
    assert "canny" in answer.json()["detail"]
    assert "canny" in hugging_face(caller, controlnet_type="telepathy").json()["error"]
    assert "canny" in str(enterprise(caller, controlnet_model="telepathy").json()["message"])


def test_an_unknown_scheduler_and_model_are_named(caller: httpx2.Client) -> None:
    answer = native(caller, scheduler="EulerScheduler")
    assert (answer.status_code, answer.json()["field"]) == (422, "scheduler")
    assert "DDIMScheduler" in answer.json()["detail"]
    answer = native(caller, model="sdxl")
    assert answer.status_code in (404, 422)
    assert "demo" in answer.json()["detail"]


def test_a_client_that_hangs_up_stops_the_work(caller: httpx2.Client, frail: LocalMesh) -> None:
    with pytest.raises(httpx2.TimeoutException):
        caller.post(f"{GENERATIONS}?wait=60", json=LONG, timeout=2)
    assert eventually(lambda: loops(frail) == 0)


async def test_a_deadline_stops_the_work(frail: LocalMesh) -> None:
    async with open_channel(frail.settings.internal_address) as channel:
        stub: Any = generation_pb2_grpc.GenerationServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.Generate(generation_pb2.GenerateRequest(**LONG), timeout=1.5):
                pass
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert eventually(lambda: loops(frail) == 0)


def test_unet_killed_in_the_middle_of_a_loop(caller: httpx2.Client, frail: LocalMesh) -> None:
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(caller.post, f"{GENERATIONS}?wait=60", json=LONG)
        assert eventually(lambda: loops(frail) == 1)
        os.kill(frail.pid("unet_svc"), signal.SIGKILL)
        answer = pending.result()
    assert answer.status_code == 503, answer.text
    assert "retry-after" in answer.headers
    frail.wait_ready(60)
    # Readiness is kept for a second, so "ready" may be from before.
    assert eventually(lambda: native(caller).status_code == 200, 60)


def test_the_model_server_is_away_and_comes_back(caller: httpx2.Client, frail: LocalMesh) -> None:
    frail.halt("model_server")
    assert eventually(lambda: not frail.ready(), 20)
    answer = native(caller)
    assert answer.status_code == 503, answer.text
    assert "retry-after" in answer.headers
    assert hugging_face(caller).status_code == 503
    assert enterprise(caller).json()["status"] in ("error", "failed")
    frail.resume("model_server")
    frail.wait_ready(60)
    assert native(caller).status_code == 200


SEEN_S = 5.0


@contextmanager
def hanging(pid: int) -> Iterator[None]:
    """A process that is stopped: its kernel still takes connections, and nothing ever answers on them."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_model_server_that_hangs_is_seen_by_everybody(frail: LocalMesh) -> None:
    frail.wait_ready(60)
    launcher = psutil.Process(frail.pid("model_server"))
    (triton,) = [p for p in launcher.children(recursive=True) if p.cmdline()[0].endswith("/tritonserver")]
    own = f"http://127.0.0.1:{frail.settings.model_server_admin_port}/readyz"
    with hanging(triton.pid):
        began = time.monotonic()
        assert eventually(lambda: not frail.ready(), SEEN_S)
        rest = SEEN_S - (time.monotonic() - began)
        assert eventually(lambda: set(httpx2.get(f"{frail.url}/readyz").json()["missing"]) >= set(SERVICES), rest)
        assert httpx2.get(own).status_code == 503
    frail.wait_ready(60)


@pytest.mark.parametrize(("name", "service"), zip(("preprocess_svc", "unet_svc", "vae_svc"), SERVICES, strict=True))
def test_a_service_that_hangs_is_seen(frail: LocalMesh, name: str, service: str) -> None:
    frail.wait_ready(60)
    with hanging(frail.pid(name)):
        assert eventually(lambda: not frail.ready(), SEEN_S)
        assert service in httpx2.get(f"{frail.url}/readyz", timeout=10).json()["missing"]
    frail.wait_ready(60)


def test_what_a_mesh_writes_is_its_owners(frail: LocalMesh) -> None:
    assert frail.run.stat().st_mode & 0o077 == 0
    kept = [*frail.run.glob("records.db*"), *(frail.run / "logs").iterdir(), frail.run / "assets"]
    assert len(kept) > 8
    assert [path.name for path in kept if path.stat().st_mode & 0o077] == []


def test_a_killed_graph_process_brings_the_model_server_back(caller: httpx2.Client, frail: LocalMesh) -> None:
    """Triton itself never notices that a Python process died; the canary does, and the supervisor starts anew."""
    before = frail.pid("model_server")
    stubs = [
        int(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and "python_backend_stub" in _command(entry)
        and "demo_unet" in _command(entry) and _ancestor(int(entry), before)
    ]  # fmt: skip
    assert stubs
    os.kill(stubs[0], signal.SIGKILL)
    assert eventually(lambda: frail.pid("model_server") not in (0, before), 60)
    frail.wait_ready(90)
    assert native(caller).status_code == 200


def test_a_picture_does_not_depend_on_its_neighbours_nor_on_a_restart(caller: httpx2.Client, frail: LocalMesh) -> None:
    """Eight requests alone, all at once, and all at once on a mesh that has just started."""
    requests = [asked.request("demo") for asked in mixed(8)]
    alone = [picture(caller, request) for request in requests]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda request: picture(caller, request), requests))
        frail.stop()
        frail.start()
        restarted = list(pool.map(lambda request: picture(caller, request), requests))
    for one, crowded, later in zip(alone, together, restarted, strict=True):
        assert_same(one, crowded)
        assert_same(one, later)


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _ancestor(pid: int, wanted: int) -> bool:
    while pid > 1:
        if pid == wanted:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return False
