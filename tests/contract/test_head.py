"""HEAD is answered as GET of the same path, without the content."""

import asyncio

import pytest

from tests.contract.conftest import Running, Start

GENERATIONS = "/controlmesh/v1/generations"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/health",
            "/healthz",
            "/readyz",
            "/docs",
            "/docs/enterprise",
            "/openapi.json",
            "/openapi/scenario.json",
        ),
        *(
            f"/controlmesh/v1/{name}"
            for name in ("generations", "assets", "models", "controls", "schedulers", "problems")
        ),
        *("/hf/any/health", "/hf/any/metrics", "/v1/jobs", "/v1/models", "/api/v1/enterprise/fetch/1", "/nothing"),
        *("/controlmesh/v1/hints", f"{GENERATIONS}/{'0' * 32}", "//healthz", "/readyz/"),
    ],
)
async def test_head_says_what_get_says(shared: Running, path: str) -> None:
    url = f"{shared.url}{path}"
    async with shared.http.get(url) as got, shared.http.head(url) as head:
        assert head.status == got.status
        assert head.headers.get("Content-Type") == got.headers.get("Content-Type")
        assert head.headers.get("Content-Length") == got.headers.get("Content-Length")
        assert await head.read() == b""


async def test_head_of_a_picture_and_of_its_record(shared: Running) -> None:
    async with shared.http.post(GENERATIONS, json={"prompt": "x"}) as response:
        made = await response.json()
    for url in (made["images"][0]["url"], f"{made['images'][0]['url']}.base64", f"{GENERATIONS}/{made['id']}"):
        async with shared.http.get(url) as got, shared.http.head(url) as head:
            assert (head.status, head.headers["Content-Length"]) == (200, got.headers["Content-Length"])


async def test_head_of_events_ends_at_once_and_the_connection_goes_on(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    async with mesh.http.post(f"{GENERATIONS}?wait=0", json={"prompt": "x"}) as response:
        events = f"{GENERATIONS}/{(await response.json())['id']}/events"
    reader, writer = await asyncio.open_connection(*mesh.url.removeprefix("http://").split(":"))
    for method, path, said in (("HEAD", events, b"text/event-stream"), ("GET", "/healthz", b"ok")):
        writer.write(f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert b" 200 " in head.splitlines()[0]
        body = await reader.readexactly(2) if method == "GET" else b""
        assert said in head + body
    writer.close()


async def test_head_counts_as_one_request(start: Start) -> None:
    async with start(api_keys=("mine",)) as mesh:
        async with mesh.http.head(GENERATIONS) as response:
            assert response.status == 401
        async with mesh.http.head(GENERATIONS, headers={"Authorization": "Bearer mine"}) as response:
            assert response.status == 200
        async with mesh.http.get("/metrics") as response:
            text = await response.text()
    assert f'cn_http_requests_total{{code="200",method="HEAD",route="{GENERATIONS}"}} 1.0' in text
