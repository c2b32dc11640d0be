"""The native API, gRPC, traces and metrics of the whole mesh."""

import base64
import json
import re
from typing import Any

import httpx2
import numpy as np
import pytest

from controlmesh.v1 import generation_pb2, generation_pb2_grpc, types_pb2
from local.demo import CANNY, source_picture
from local.supervision import LocalMesh
from mesh.channels import open_channel
from mesh.pictures import decode
from tests.rigs.mesh import DEMO_CONTROLS, GENERATIONS

REQUEST: dict[str, Any] = {
    "prompt": "a red star on a green background",
    "controls": [{"kind": "canny", "image": base64.b64encode(source_picture()).decode(), "parameters": CANNY}],
    "width": 128,
    "height": 128,
    "steps": 8,
    "guidance_scale": 3.0,
    "scheduler": "DDIMScheduler",
    "seed": 5,
}


def test_a_waiting_request_gets_its_pictures(client: httpx2.Client) -> None:
    answer = client.post(f"{GENERATIONS}?wait=60", json={**REQUEST, "samples": 2, "format": "webp"})
    record = answer.json()
    assert (answer.status_code, record["status"]) == (200, "succeeded")
    assert [image["seed"] for image in record["images"]] == [5, 6]
    for image in record["images"]:
        file = client.get(image["url"])
        assert file.headers["content-type"] == "image/webp"
        assert file.headers["x-content-type-options"] == "nosniff"
        assert decode(file.content).shape == (128, 128, 3)


def test_a_record_makes_its_picture_again(client: httpx2.Client) -> None:
    free = {**REQUEST, "controls": []}
    free.pop("seed")
    record = client.post(f"{GENERATIONS}?wait=60", json=free).json()
    again = client.post(f"{GENERATIONS}?wait=60", json=record["request"]).json()
    assert again["images"][0]["seed"] == record["images"][0]["seed"]
    first, second = (decode(client.get(r["images"][0]["url"]).content) for r in (record, again))
    np.testing.assert_array_equal(first, second)


def test_progress_comes_as_events_and_ends_with_the_result(client: httpx2.Client) -> None:
    started = client.post(f"{GENERATIONS}?wait=0", json={**REQUEST, "steps": 30})
    assert started.status_code == 202
    assert started.headers["location"] == f"{GENERATIONS}/{started.json()['id']}"
    kinds, steps = [], []
    with client.stream("GET", f"{started.headers['location']}/events") as events:
        for line in events.iter_lines():
            if line.startswith("event:"):
                kinds.append(line[6:].strip())
            elif line.startswith("data:") and kinds[-1] == "progress":
                steps.append(json.loads(line[5:])["step"])
    assert kinds[-1] == "result"
    assert steps == sorted(steps)
    assert len(set(steps)) > 5


def test_a_cancelled_generation_stops(client: httpx2.Client, mesh: LocalMesh) -> None:
    started = client.post(f"{GENERATIONS}?wait=0", json={**REQUEST, "steps": 150, "width": 512, "height": 512})
    where = started.headers["location"]
    with client.stream("GET", f"{where}/events") as events:
        next(line for line in events.iter_lines() if '"step":2' in line.replace(" ", ""))
    assert client.delete(where).json()["status"] == "cancelled"
    assert client.get(where).json()["status"] == "cancelled"
    assert_nothing_runs(mesh)


def assert_nothing_runs(mesh: LocalMesh) -> None:
    """unet_svc has no loop left; it says so itself within a few seconds."""
    with httpx2.Client() as watcher:
        for _ in range(200):
            text = watcher.get(f"http://{mesh.settings.unet_metrics_address}/metrics").text
            if re.search(r"^cn_denoise_loops 0(\.0)?$", text, re.MULTILINE):
                return
    raise AssertionError("a loop still runs")


def test_the_lists_name_what_there_is(client: httpx2.Client) -> None:
    models = {model["name"]: model for model in client.get("/controlmesh/v1/models").json()["models"]}
    assert models["demo"]["controls"] == list(DEMO_CONTROLS)
    assert (models["demo"]["prediction_type"], models["tiny"]["prediction_type"]) == ("v_prediction", "epsilon")
    controls = {control["kind"]: control for control in client.get("/controlmesh/v1/controls").json()["controls"]}
    assert controls["canny"]["extractable"]
    assert controls["depth"]["extractable"]
    (depth,) = (one for one in controls["depth"]["extractors"] if one["annotator"])
    assert (depth["annotator"], depth["available"], depth["how_to_get"]) == ("demo", True, "")
    assert not controls["openpose"]["extractable"]
    (openpose,) = controls["openpose"]["extractors"]
    assert not openpose["available"]
    assert "python -m export annotator openpose" in openpose["how_to_get"]
    schedulers = [row["name"] for row in client.get("/controlmesh/v1/schedulers").json()["schedulers"]]
    assert "UniPCMultistepScheduler" in schedulers


def test_the_demo_s_annotator_finds_depth(client: httpx2.Client) -> None:
    picture = base64.b64encode(source_picture()).decode()
    answer = client.post(
        "/controlmesh/v1/hints",
        json={"kind": "depth", "image": picture, "width": 128, "height": 128},
        headers={"Accept": "application/json"},
    )
    told = answer.json()
    assert answer.status_code == 200, told
    assert (told["annotator"], told["notes"]) == ("demo", [])
    assert 0 < told["service_ms"] <= told["duration_ms"]
    depth = decode(base64.b64decode(told["image"].partition(",")[2]))
    assert depth.shape == (128, 128, 3)
    assert np.ptp(depth) > 64, "the object stands in front of its ground"


def test_a_scribble_of_a_photo_has_strokes(client: httpx2.Client) -> None:
    picture = base64.b64encode(source_picture()).decode()
    answer = client.post(
        "/controlmesh/v1/hints", json={"kind": "scribble", "image": picture}, headers={"Accept": "application/json"}
    )
    told = answer.json()
    assert (answer.status_code, told["extractor"], told["notes"]) == (200, "pidinet", [])
    strokes = decode(base64.b64decode(told["image"].partition(",")[2])) > 127
    assert 0.01 < strokes.mean() < 0.5


def test_what_no_annotator_finds_says_how_to_get_one(client: httpx2.Client) -> None:
    picture = base64.b64encode(source_picture()).decode()
    answer = client.post("/controlmesh/v1/hints", json={"kind": "openpose", "image": picture})
    told = answer.json()
    assert (answer.status_code, told["field"]) == (422, "auto_hint")
    assert "python -m export annotator openpose" in told["detail"]
    ready = client.post("/controlmesh/v1/hints", json={"kind": "openpose", "image": picture, "auto_hint": False})
    assert (ready.status_code, ready.headers["content-type"]) == (200, "image/png")


async def test_an_internal_caller_gets_the_same_picture_over_grpc(client: httpx2.Client, mesh: LocalMesh) -> None:
    request = generation_pb2.GenerateRequest(
        prompt=REQUEST["prompt"],
        controls=[
            types_pb2.Control(
                kind="canny",
                image=types_pb2.Image(content=source_picture()),
                auto_hint=True,
                weight=1,
                end=1,
                parameters=CANNY,
            )
        ],
        width=128,
        height=128,
        steps=8,
        guidance_scale=3.0,
        scheduler="DDIMScheduler",
        seed=5,
    )
    async with open_channel(mesh.settings.internal_address) as channel:
        stub: Any = generation_pb2_grpc.GenerationServiceStub(channel)
        events = [message async for message in stub.Generate(request, timeout=60)]
    assert events[0].WhichOneof("event") == "progress"
    (image,) = events[-1].result.images
    record = client.post(f"{GENERATIONS}?wait=60", json=REQUEST).json()
    over_http = decode(client.get(record["images"][0]["url"]).content)
    assert np.abs(decode(image.image.content).astype(int) - over_http).max() <= 1


def test_one_trace_and_one_request_id_run_through_every_room(client: httpx2.Client, mesh: LocalMesh) -> None:
    trace, request = "4bf92f3577b34da6a3ce929d0e0e4736", "e2e-request-1"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "x-request-id": request}
    answer = client.post(f"{GENERATIONS}?wait=60", json=REQUEST, headers=headers)
    assert answer.headers["x-request-id"] == request
    for room in ("preprocess_svc", "unet_svc", "vae_svc"):
        lines = (mesh.run / "logs" / f"{room}.log").read_text().splitlines()
        calls = [json.loads(line) for line in lines if request in line]
        assert calls, room
        assert {call["trace_id"] for call in calls} == {trace}


@pytest.mark.parametrize("address", ["preprocess", "unet", "vae"])
def test_every_room_has_metrics(mesh: LocalMesh, address: str) -> None:
    where = getattr(mesh.settings, f"{address}_metrics_address")
    assert "cn_rpc_requests_total" in httpx2.get(f"http://{where}/metrics").text


def test_the_edge_has_docs_and_health_and_no_metrics(client: httpx2.Client, mesh: LocalMesh) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    for path in ("/metrics", "/metrics/", "/%6detrics", "/metric%73"):
        assert client.get(path).status_code == 404
    assert "cn_http_requests_total" in httpx2.get(f"http://{mesh.settings.gateway_address}/metrics").text
    page = client.get("/docs").text
    files = re.findall(r'(?:src|data-description)="([^"]+)"', page)
    assert len(files) == 3 and all(client.get(file).status_code == 200 for file in files)
    assert f"{GENERATIONS}" in client.get("/openapi.json").json()["paths"]


def test_the_logs_are_json_and_hold_no_prompt(client: httpx2.Client, mesh: LocalMesh) -> None:
    secret = "a white ring on a black background xyzzy"
    client.post(f"{GENERATIONS}?wait=60", json={**REQUEST, "prompt": secret, "steps": 2})
    for log in (mesh.run / "logs").glob("*.log"):
        text = log.read_text()
        assert "xyzzy" not in text, log.name
        if log.name != "supervisord.log":
            assert all(json.loads(line) for line in text.splitlines() if line), log.name
