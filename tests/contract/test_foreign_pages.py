"""Where no key is asked for, web pages of other origins are refused, and so are other servers' names."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.contract.conftest import Running, Start

NATIVE = "/controlmesh/v1/generations"
ENTERPRISE = "/api/v1/enterprise/text2img"
SCENARIO = "/v1/generate/txt2img"
SENT: Mapping[str, dict[str, Any]] = {
    NATIVE: {"prompt": "x"},
    ENTERPRISE: {"prompt": "x", "model_id": "demo"},
    SCENARIO: {"prompt": "x", "modelId": "demo"},
    "/": {"inputs": "x", "parameters": {}},
}
SHAPES: Mapping[str, set[str]] = {
    NATIVE: {"type", "title", "status", "detail"},
    ENTERPRISE: {"status", "message", "messege"},
    SCENARIO: {"reason", "message", "trace_id"},
    "/": {"error"},
    "/nothing-here": {"type", "title", "status", "detail"},
    # Below an API's paths, whether there is such a route or not.
    f"{ENTERPRISE}/nothing-here": {"status", "message", "messege"},
    "/v1/generate/nothing-here": {"reason", "message", "trace_id"},
}
EVIL = "https://evil.example"
PAGES: tuple[dict[str, str], ...] = (
    {"Origin": EVIL},
    {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    # A sandboxed frame, a file, and a page that hides where it is from.
    {"Origin": "null"},
    {"Origin": ""},
    # Another port of this machine is another origin; so is another of its names.
    {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"},
    {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Referer": EVIL},
)
HOSTS = (
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "evil@127.0.0.1",
    "127.0.0.1@evil.example",
    "192.168.1.5:8080",
    "0.0.0.0:8080",
    "[2001:db8::1]",
    "localhost#evil.example",
    "localhost:x",
    "",
)


async def count(mesh: Running) -> int:
    async with mesh.http.get(NATIVE) as response:
        return len((await response.json())["generations"])


@pytest.mark.parametrize("path", SHAPES)
@pytest.mark.parametrize("page", PAGES, ids=str)
async def test_a_page_of_another_origin_makes_nothing(shared: Running, path: str, page: dict[str, str]) -> None:
    before = await count(shared)
    async with shared.http.post(path, json=SENT.get(path, {}), headers=page) as response:
        assert response.status == 403
        assert (await response.json(content_type=None)).keys() == SHAPES[path]
        assert not [name for name in response.headers if name.lower().startswith("access-control")]
    assert await count(shared) == before


@pytest.mark.parametrize("path", SHAPES)
@pytest.mark.parametrize("host", HOSTS)
async def test_another_servers_name_is_refused(shared: Running, path: str, host: str) -> None:
    async with shared.http.post(path, json=SENT.get(path, {}), headers={"Host": host}) as response:
        assert response.status == 421
        assert (await response.json(content_type=None)).keys() == SHAPES[path]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", NATIVE, "/v1/jobs", "/hf/any/health"]
)
async def test_every_route_is_closed_to_pages(shared: Running, method: str, path: str) -> None:
    for headers, status in (({"Sec-Fetch-Site": "cross-site"}, 403), ({"Host": "evil.example"}, 421)):
        async with shared.http.request(method, path, headers=headers) as response:
            assert response.status == status


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:8080", "LOCALHOST", "localhost.", "[::1]:8080", "a.localhost"]
)
async def test_a_page_of_this_server_and_a_program_are_served(shared: Running, host: str) -> None:
    for page in (
        {},
        {"Origin": f"http://{host.lower()}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        async with shared.http.post(NATIVE, json=SENT[NATIVE], headers={"Host": host, **page}) as response:
            assert response.status == 200, (page, await response.text())


async def test_the_public_urls_host_is_this_server(start: Start) -> None:
    async with start(public_url="https://Mesh.example/base") as mesh:
        for host in ("mesh.example", "mesh.example:443"):
            async with mesh.http.get("/healthz", headers={"Host": host}) as response:
                assert response.status == 200
        page = {"Origin": "https://mesh.example"}
        async with mesh.http.post(NATIVE, json=SENT[NATIVE], headers=page) as response:
            assert response.status == 200
        async with mesh.http.get("/healthz", headers={"Host": "other.mesh.example"}) as response:
            assert response.status == 421


SIMPLE = ("text/plain", "text/plain;charset=UTF-8", "TEXT/PLAIN", "application/x-www-form-urlencoded", None)


# The enterprise API takes forms, and the documented line of curl calls its JSON one.
LABELS = [
    (path, kind)
    for kind in (
        *SIMPLE,
        "multipart/form-data; boundary=a",
        "text/plain; application/json",
        "text/plain, application/json",
    )
    for path in SENT
    if (path, kind) != (ENTERPRISE, "application/x-www-form-urlencoded")
]


@pytest.mark.parametrize(("path", "kind"), LABELS)
async def test_json_is_json_by_its_content_type(shared: Running, path: str, kind: str | None) -> None:
    """What a page may send without being asked is no request, even without a word about the page."""
    from orjson import dumps

    before = await count(shared)
    sent: dict[str, Any] = {"headers": {"Content-Type": kind}} if kind else {"skip_auto_headers": ["Content-Type"]}
    async with shared.http.post(path, data=dumps(SENT[path]), **sent) as response:
        assert response.status == 400
        assert (await response.json(content_type=None)).keys() == SHAPES[path]
    assert await count(shared) == before


async def test_forms_stay_forms(shared: Running) -> None:
    async with shared.http.post(ENTERPRISE, data=SENT[ENTERPRISE]) as response:
        assert (await response.json())["status"] == "success"


async def test_where_keys_are_asked_for_nothing_changes(start: Start) -> None:
    async with start(api_keys=("mine",)) as mesh:
        key = {"Authorization": "Bearer mine"}
        for headers in (*PAGES, {"Host": "evil.example"}, {"Content-Type": "text/plain"}):
            async with mesh.http.post(NATIVE, data=b'{"prompt": "x"}', headers={**key, **headers}) as response:
                assert response.status == 200, headers


async def test_the_first_key_ends_what_holds_without_keys(start: Start) -> None:
    async with start() as mesh:
        mesh.gateway.keys.learn({}, ever=1)
        async with mesh.http.post(NATIVE, json=SENT[NATIVE], headers={"Origin": EVIL}) as response:
            assert response.status == 401
