"""What an operator relies on: readiness, metrics, request ids, one trace, bounded bodies, documentation, drain."""

import asyncio
import dataclasses
import json
import os
import re
import signal
import socket
import sys

import aiohttp
import pytest
from grpc_health.v1 import health_pb2
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from structlog.testing import capture_logs
from yarl import URL

from gateway.generation.generation import Control, Generation
from gateway.generation.services import SERVICES
from tests.contract.conftest import Running, Start
from tests.rigs.envoy import eventually
from tests.rigs.ports import free_port
from tests.rigs.services import FakeRooms

GENERATIONS = "/controlmesh/v1/generations"


async def test_ready_means_that_every_room_serves(mesh: Running) -> None:
    async with mesh.http.get("/readyz") as response:
        assert (response.status, await response.json()) == (200, {"ready": True, "missing": []})
    await mesh.rooms.health.set(SERVICES[1], health_pb2.HealthCheckResponse.NOT_SERVING)

    async def missing() -> bool:
        async with mesh.http.get("/readyz") as response:
            return (response.status, await response.json()) == (503, {"ready": False, "missing": [SERVICES[1]]})

    # An answer is kept for a second.
    await eventually(missing, "the service is missing")
    mesh.gateway.leaving.set()
    async with mesh.http.get("/readyz") as response:
        assert (response.status, (await response.json())["missing"]) == (503, ["gateway"])
    async with mesh.http.get("/healthz") as response:
        assert response.status == 200


async def test_without_rooms_every_dialect_says_so_in_its_own_shape(mesh: Running) -> None:
    await mesh.rooms.stop()
    async with mesh.http.post(GENERATIONS, json={"prompt": "x"}) as response:
        assert response.status == 503 and response.headers["Retry-After"] == "2"
        assert response.content_type == "application/problem+json"
    async with mesh.http.post("/", json={"inputs": "x", "parameters": {}}) as response:
        assert (response.status, await response.json()) == (503, {"error": "Service Unavailable"})
        assert response.headers["Retry-After"] == "2"
    async with mesh.http.post("/api/v1/enterprise/controlnet", json={"prompt": "x"}) as response:
        body = await response.json()
        assert (response.status, body["status"], body["retry_after"]) == (200, "error", 2)
    async with mesh.http.get("/readyz") as response:
        assert (await response.json())["missing"] == list(SERVICES)


async def test_clients_at_the_edge_see_no_metrics(shared: Running) -> None:
    for path in ("/metrics", "/metrics/", "/%6detrics"):
        url = URL(shared.url + path, encoded=True)
        async with shared.http.get(url, headers={"x-controlmesh-edge": "1"}) as response:
            assert response.status == 404
            assert "cn_" not in await response.text()


async def test_metrics_count_routes_and_not_paths(mesh: Running) -> None:
    async with mesh.http.post(GENERATIONS, json={"prompt": "x"}):
        pass
    for path in ("/nope-1", "/nope-2", f"{GENERATIONS}/{'0' * 32}"):
        async with mesh.http.get(path) as response:
            assert response.status == 404
    async with mesh.http.get("/metrics") as response:
        text = await response.text()
    assert f'cn_http_requests_total{{code="200",method="POST",route="{GENERATIONS}"}}' in text
    assert 'cn_http_requests_total{code="404",method="GET",route="unknown"}' in text
    assert f'code="404",method="GET",route="{GENERATIONS}/{{id}}"' in text
    assert "nope" not in text
    for name in (
        "cn_http_request_duration_seconds_bucket",
        "cn_jobs_finished_total",
        "cn_jobs_running",
        "cn_jobs_queued",
        "cn_jobs_oldest_seconds",
    ):
        assert name in text
    # What inference endpoints call their two gauges stands among the others.
    assert "\ninf_batch_current_size 0.0\n" in text and "\ninf_queue_size 0.0\n" in text


@pytest.mark.parametrize(("sent", "kept"), [("abc-1.2_3", True), ("", False), ("a b", False), ("x" * 129, False)])
async def test_the_request_id_goes_through_to_the_rooms_and_back(mesh: Running, sent: str, kept: bool) -> None:
    async with mesh.http.post(GENERATIONS, json={"prompt": "x"}, headers={"X-Request-Id": sent}) as response:
        answered = response.headers["X-Request-Id"]
    assert (answered == sent) is kept and answered
    assert mesh.rooms.seen.metadata[0]["x-request-id"] == answered


async def test_one_trace_goes_through_to_the_rooms(start: Start) -> None:
    # The API lets a provider be set once in a process; whoever set it, it is a real one.
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    async with start() as mesh:
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
        async with mesh.http.post(GENERATIONS, json={"prompt": "x"}, headers=headers) as response:
            assert response.status == 200
        version, received, _, _ = mesh.rooms.seen.metadata[0]["traceparent"].split("-")
        assert (version, received) == ("00", trace_id)


async def test_a_body_over_the_limit_is_refused_with_and_without_a_declared_length(start: Start) -> None:
    async def chunks() -> object:
        for _ in range(8):
            yield bytes(1000)

    async with start(max_body_bytes=2000) as mesh:
        for body in (bytes(2001), chunks()):
            async with mesh.http.post(GENERATIONS, data=body) as response:
                assert response.status == 413 and response.content_type == "application/problem+json"
        async with mesh.http.post("/", data=bytes(2001), headers={"Content-Type": "application/json"}) as response:
            assert response.status == 400 and set(await response.json()) == {"error"}
        async with mesh.http.post("/api/v5/controlnet", data=bytes(2001)) as response:
            assert response.status == 413 and (await response.json())["status"] == "error"


async def test_a_compressed_body_is_refused(mesh: Running) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with mesh.http.post(GENERATIONS, data=b"\x1f\x8b", headers=headers) as response:
        assert response.status == 415


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nope", 404), ("PUT", GENERATIONS, 405), ("GET", "/hf", 404)]
)
async def test_unknown_paths_and_methods_are_plain_problems(mesh: Running, method: str, path: str, status: int) -> None:
    async with mesh.http.request(method, path) as response:
        problem = await response.json(content_type="application/problem+json")
        assert response.status == problem["status"] == status


@pytest.mark.parametrize("path", ["/controlmesh/v1/models/", "//controlmesh//v1/models", "/controlmesh/v1/models"])
async def test_slashes_more_or_less_do_not_matter(mesh: Running, path: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(mesh.url + path, allow_redirects=False) as response:
        assert response.status == 200


async def test_the_documentation_shows_requests_and_answers(mesh: Running) -> None:
    async with mesh.http.get("/docs") as response:
        assert response.status == 200 and response.content_type == "text/html"
        page = await response.text()
    async with mesh.http.get("/openapi.json") as response:
        known = await response.json()
    create = known["paths"][GENERATIONS]["post"]
    content = create["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/GenerationBody"} and content["examples"]
    assert {"200", "202", "4XX"} <= set(create["responses"])
    assert list(create["responses"]["4XX"]["content"]) == ["application/problem+json"]
    events = known["paths"][GENERATIONS + "/{id}/events"]["get"]["responses"]["200"]
    assert list(events["content"]) == ["text/event-stream"]
    body = known["components"]["schemas"]["GenerationBody"]["properties"]
    (steps,) = (form for form in body["steps"]["anyOf"] if form["type"] == "integer")
    assert (steps["minimum"], steps["maximum"], body["steps"]["default"]) == (1, 150, None)
    assert {"ControlBody", "GenerationRecord", "ProblemBody"} <= set(known["components"]["schemas"])
    assert "guidance_scale" in body and "retry_after" in known["components"]["schemas"]["ProblemBody"]["properties"]
    assert not re.search(r"(src|href)=.?(https?:)?//|@import|url\(", page), "nothing comes from other hosts"
    assert 'data-description="/openapi/native.json"' in page
    for file in re.findall(r'(?:src|stylesheet" href)="([^"]+)"', page):
        async with mesh.http.get(file) as packed, mesh.http.get(file, headers={"Accept-Encoding": "identity"}) as plain:
            assert packed.status == plain.status == 200 and "Content-Encoding" not in plain.headers
            assert await packed.read() == await plain.read()


async def test_the_examples_of_the_documentation_are_taken(mesh: Running) -> None:
    async with mesh.http.get("/openapi.json") as response:
        create = (await response.json())["paths"][GENERATIONS]["post"]
    examples = create["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) > 3
    for name, example in examples.items():
        async with mesh.http.post(GENERATIONS, json=example["value"]) as response:
            assert response.status == 200, (name, await response.text())
        assert example["value"].get("image") is None or mesh.rooms.seen.denoised[-1].HasField("initial")


async def test_the_documentation_knows_every_field_and_nothing_else(mesh: Running) -> None:
    async with mesh.http.get("/openapi.json") as response:
        schemas = (await response.json())["components"]["schemas"]
    for name, kind, settings, besides in (
        ("GenerationBody", Generation, "GenerationSettings", {"priority", "deadline_s", "webhook"}),
        ("ControlBody", Control, "ControlSettings", set()),
    ):
        known = {field.name for field in dataclasses.fields(kind)}
        assert set(schemas[name]["properties"]) == known | besides
        assert set(schemas[settings]["properties"]) == known - {"image", "mask"}
    strength = schemas["GenerationBody"]["properties"]["strength"]
    assert {"type": "number", "minimum": 0, "maximum": 1} in strength["anyOf"] and "0.8" in strength["description"]


@pytest.mark.parametrize("name", ["x.png", "0" * 32 + ".png", "0" * 32 + ".svg", "..%2f..%2fetc%2fpasswd", "%00.png"])
async def test_other_results_are_not_found(mesh: Running, name: str) -> None:
    async with mesh.http.get(f"/controlmesh/v1/assets/{name}") as response:
        assert response.status == 404 and response.content_type == "application/problem+json"


async def test_one_signal_drains_both_faces_and_what_runs_is_finished() -> None:
    async with FakeRooms() as rooms:
        rooms.pace.clear()
        port = free_port()
        environment = {
            **os.environ,
            "CN_GATEWAY_ADDRESS": f"127.0.0.1:{port}",
            "CN_GATEWAY_GRPC_ADDRESS": f"127.0.0.1:{free_port()}",
            "CN_GATEWAY_MESH_ADDRESS": rooms.address,
            "CN_DRAIN_S": "1",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env=environment, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        try:
            async for line in process.stdout:
                if b"Uvicorn running" in line:
                    break
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
                asked = asyncio.create_task(http.post(GENERATIONS, json={"prompt": "x"}))
                await rooms.seen.started.wait()
                process.send_signal(signal.SIGTERM)
                async for line in process.stdout:
                    if b"draining" in line:
                        break
                async with http.get("/readyz") as response:
                    assert response.status == 503
                rooms.pace.set()
                async with await asked as response:
                    assert response.status == 200
            assert await asyncio.wait_for(process.wait(), 10) == 0
        finally:
            if process.returncode is None:
                process.kill()


async def test_it_runs_on_uvloop_and_parses_with_httptools() -> None:
    environment = {
        **os.environ,
        "CN_GATEWAY_ADDRESS": f"127.0.0.1:{free_port()}",
        "CN_GATEWAY_GRPC_ADDRESS": f"127.0.0.1:{free_port()}",
        "CN_DRAIN_S": "0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        async for line in process.stdout:
            if b"HTTP server" in line:
                said = json.loads(line)
                assert said["loop"] == "uvloop" and "httptools" in said["parser"]
                break
        else:
            raise AssertionError("it did not say how it serves")
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.parametrize("name", ["CN_GATEWAY_ADDRESS", "CN_GATEWAY_GRPC_ADDRESS"])
async def test_an_address_that_is_taken_is_named_and_no_traceback_shown(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        free = {variable: f"127.0.0.1:{free_port()}" for variable in ("CN_GATEWAY_ADDRESS", "CN_GATEWAY_GRPC_ADDRESS")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env={**os.environ, **free, "CN_DRAIN_S": "0", name: address},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
    assert process.returncode != 0
    assert address in said.decode() and "can't listen on" in said.decode()
    assert "Traceback" not in said.decode()


async def test_a_setting_without_effect_is_warned_of(start: Start) -> None:
    with capture_logs() as said:
        async with start():
            pass
        assert not [line for line in said if "CN_GATEWAY_MAX_RECORDS" in line["event"]]
        async with start(max_records=5):
            pass
    (line,) = [line for line in said if "CN_GATEWAY_MAX_RECORDS" in line["event"]]
    assert line["log_level"] == "warning" and "no longer has an effect" in line["event"]
