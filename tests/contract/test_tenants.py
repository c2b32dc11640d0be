"""Nobody learns of, reads or changes what another key's holder has: asked of every route there is.

A route is asked three times about a thing of `mine`: by the holder of another key, about a thing that never was, and by
the holder of its own. The first two answers must be the same to the letter; the third must be another.
"""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from gateway.app.application import make_app
from tests.contract.conftest import Running, Start, running
from tests.rigs.enterprise_client import PATH as CONTROLNET
from tests.rigs.enterprise_client import PICTURE, SAMPLE

MINE, YOURS = "mine-" + 40 * "m", "yours-" + 40 * "y"
NATIVE, SCENARIO = "/controlmesh/v1", "/v1"
DATA_URL = f"data:image/png;base64,{PICTURE}"
ENDPOINTS = f"{SCENARIO}/teams/team/webhook-endpoints"
SCOPED = "/v1/(teams/{team_id}|projects/{project_id})"
HOOKS = f"{NATIVE}/webhook-endpoints"
UPLOAD = {"kind": "image", "fileName": "a.png", "fileSize": 100, "parts": 1, "contentType": "image/png"}
ENDPOINT = {"url": "https://example.org/hook", "enabledEvents": ["*"]}


@dataclass(frozen=True)
class Answer:
    """Status and body of an answer."""

    status: int
    text: str

    def saying(self, id: str) -> "Answer":
        """The same with ID in place of `id`, and without the name of the trace, which no two requests share."""
        return Answer(self.status, re.sub(r'"trace_id":"[0-9a-f]+"', "", self.text.replace(id, "ID")))


async def ask(mesh: Running, key: str, method: str, path: str, body: Any = None) -> Answer:
    """One request with the key where the path's dialect wants it."""
    if path.startswith("/api/"):
        if method == "GET":
            path = f"{path}?key={key}"
        else:
            body = {**(body or {}), "key": key}
    headers = {"Authorization": f"Bearer {key}", "X-Request-Id": "the-same"}
    async with mesh.http.request(method, path, json=body, headers=headers) as response:
        return Answer(response.status, await response.text(errors="replace"))


async def made(mesh: Running, path: str, body: Any) -> Any:
    told = await ask(mesh, MINE, "POST", path, body)
    assert told.status < 300, told
    return json.loads(told.text)


async def generation(mesh: Running) -> str:
    return (await made(mesh, f"{NATIVE}/generations", {"prompt": "a boat"}))["id"]


async def result(mesh: Running) -> str:
    told = await made(mesh, f"{NATIVE}/generations", {"prompt": "a boat"})
    return told["images"][0]["url"].partition("?")[0].rpartition("/")[2]


async def request_number(mesh: Running) -> str:
    return str((await made(mesh, CONTROLNET, {**SAMPLE, "model_id": "demo"}))["id"])


async def job(mesh: Running) -> str:
    sent = {"prompt": "a boat", "modelId": "demo", "numSamples": 1}
    id = (await made(mesh, f"{SCENARIO}/generate/txt2img", sent))["job"]["jobId"]
    owner = mesh.gateway.keys.owner(MINE)
    await mesh.gateway.jobs.wait(id.removeprefix("job_"), owner, 10)
    return id


async def asset(mesh: Running) -> str:
    return (await made(mesh, f"{SCENARIO}/assets", {"name": "a", "image": DATA_URL}))["asset"]["id"]


async def upload(mesh: Running) -> str:
    return (await made(mesh, f"{SCENARIO}/uploads", UPLOAD))["upload"]["id"]


async def endpoint(mesh: Running) -> str:
    return (await made(mesh, ENDPOINTS, ENDPOINT))["webhookEndpoint"]["id"]


async def hook(mesh: Running) -> str:
    return (await made(mesh, HOOKS, {"url": ENDPOINT["url"]}))["id"]


@dataclass(frozen=True)
class Ask:
    """How a route is asked about a thing.

    Attributes:
        make: makes the thing as `mine`; its id.
        body: ID stands for the id.
        status: of the answer to others.
        show: where its owner finds the thing afterwards, for routes whose own answer doesn't tell.
    """

    make: Callable[[Running], Awaitable[str]]
    body: Any = None
    status: int = 404
    show: tuple[str, str, Any] | None = None


FETCHED = {"request_id": "ID"}
POLL = ("POST", "/api/v6/images/fetch", FETCHED)
SHOW_ASSET = ("GET", f"{SCENARIO}/assets/ID", None)
IMG2IMG = {"prompt": "a boat", "modelId": "demo", "strength": 0.5, "image": "ID"}
CONTROLLED = {"prompt": "a boat", "modelId": "demo", "modality": "canny", "controlImage": "ID"}
# Method and path, its parameters named -> how it is asked.
ASKS: tuple[tuple[str, Ask], ...] = (
    (r"(GET|DELETE) /controlmesh/v1/generations/{id}", Ask(generation)),
    (r"GET /controlmesh/v1/generations/{id}/events", Ask(generation)),
    (r"GET /controlmesh/v1/assets/{id}/record", Ask(result)),
    (r"DELETE /controlmesh/v1/assets/{id}", Ask(result, show=("GET", f"{NATIVE}/assets/ID/record", None))),
    (r"GET /controlmesh/v1/webhook-endpoints/{id}", Ask(hook)),
    (r"PATCH /controlmesh/v1/webhook-endpoints/{id}", Ask(hook, {"enabled": False})),
    (r"DELETE /controlmesh/v1/webhook-endpoints/{id}", Ask(hook, show=("GET", f"{HOOKS}/ID", None))),
    (
        r"POST /controlmesh/v1/generations",
        Ask(result, {"prompt": "a boat", "image": "asset:ID", "strength": 0.5}, status=422),
    ),
    (r"POST /controlmesh/v1/hints", Ask(result, {"kind": "canny", "image": "asset:ID"}, status=422)),
    (r"POST /controlmesh/v1/assets", Ask(result, {"image": "asset:ID"}, status=422)),
    (r"(GET|POST) /api/.*fetch(_queue_image)?/{id}", Ask(request_number)),
    (r"POST /api/.*fetch(_queue_image)?", Ask(request_number, FETCHED)),
    (
        r"POST /api/v3/delete_image",
        Ask(request_number, FETCHED, show=("POST", "/api/v3/delete_image", FETCHED)),
    ),
    (r"GET /v1/jobs/{id}", Ask(job)),
    (r"POST /v1/jobs/{id}/action", Ask(job, {"action": "cancel"})),
    (r"GET /v1/assets/{id}", Ask(asset)),
    (r"DELETE /v1/assets", Ask(asset, {"assetIds": ["ID"]}, status=200, show=SHOW_ASSET)),
    (r"POST /v1/assets/get-bulk", Ask(asset, {"assetIds": ["ID"]}, status=200)),
    (r"GET /v1/uploads/{id}", Ask(upload)),
    (
        r"POST /v1/uploads/{id}/action",
        Ask(upload, {"action": "complete"}, show=("GET", f"{SCENARIO}/uploads/ID", None)),
    ),
    (rf"PUT {SCOPED}/webhook-endpoints/{{id}}", Ask(endpoint, ENDPOINT)),
    (rf"DELETE {SCOPED}/webhook-endpoints/{{id}}", Ask(endpoint, show=("PUT", f"{ENDPOINTS}/ID", ENDPOINT))),
    (
        rf"GET {SCOPED}/webhook-endpoints/{{id}}/events(/{{event_id}})?",
        Ask(endpoint, show=("GET", f"{ENDPOINTS}/ID/events", None)),
    ),
    (r"POST /v1/generate/(img2img|controlnet-img2img)", Ask(asset, {**CONTROLLED, **IMG2IMG}, status=400)),
    (
        r"POST /v1/generate/inpaint|POST /v1/generate/controlnet-inpaint",
        Ask(asset, {**CONTROLLED, **IMG2IMG, "mask": "ID"}, status=400),
    ),
    (r"POST /v1/generate/controlnet", Ask(asset, CONTROLLED, status=400)),
    (r"POST /v1/generate/detect", Ask(asset, {"image": "ID", "modality": "canny"}, status=400)),
    (r"POST /v1/generate/custom/{model_id}", Ask(asset, IMG2IMG, status=400)),
)
LISTS: tuple[tuple[str, Callable[[Running], Awaitable[str]]], ...] = (
    (r"GET /controlmesh/v1/generations", generation),
    (r"GET /controlmesh/v1/assets", result),
    (r"GET /controlmesh/v1/webhook-endpoints", hook),
    (r"GET /v1/jobs", job),
    (r"GET /v1/assets", asset),
    (r"GET /v1/teams/{team_id}/webhook-endpoints", endpoint),
    (r"GET /v1/projects/{project_id}/webhook-endpoints", endpoint),
)
# What knows nothing of anybody's, and why a route need not be asked.
OTHERS = "|".join(
    (
        r"OPTIONS .*",
        r"GET /(healthz|readyz|metrics|health|docs.*|openapi.*)?",
        r"(POST|GET) (/|/predict|/hf/{endpoint_name}.*)",
        # No key: an unguessable name or a signed link is the permission, see test_assets.
        r"(GET|HEAD) /controlmesh/v1/assets/{name}",
        r"PUT /controlmesh/v1/uploads/{id}/parts/{number}",
        # The owner's own secret; another's is another, see test_native_webhooks.
        r"GET /controlmesh/v1/webhook-secret",
        r"POST /controlmesh/v1/webhook-endpoints",
        r"GET /controlmesh/v1/(models|controls|schedulers|styles|problems|problems/{name})",
        # Pictures are sent, not named by an id.
        r"POST /api/.*/(controlnet|text2img|img2img|inpaint|text-to-image|image-to-image|dreambooth)",
        r"POST /api/.*/(upload_image|base64_to_url|base64_crop|nsfw_image_check|super_resolution(/make)?|text2video)",
        # Without an id; tells at most that it is missing.
        r"GET /api/.*fetch(_queue_image)?",
        # The deployment's own, the owner's own, or models, which are everybody's.
        r"POST /api/.*/(get_all_models|verify_model|model_list|model_reload)",
        r"POST /api/.*/(load_model(_v2)?|delete_model|load_vae)",
        r"POST /api/.*/(sync_models?|sync_image|schedulers_list|system_details|system_load|clear_queue|clear_cache)",
        r"POST /api/.*/(restart_server|update_server|update|update_s3|reset_s3)",
        r"POST /v1/generate/(txt2img|{tool:path})",
        r"POST /v1/(assets|uploads|models/get-bulk)",
        rf"POST {SCOPED}/webhook-endpoints",
        r"GET /v1/models(/{id})?",
    )
)


def routes(mesh: Running) -> list[str]:
    """Method and path of every route."""
    found = iter_route_contexts(make_app(mesh.gateway).routes)
    return [f"{method} {route.path}" for route in found for method in sorted(getattr(route, "methods", None) or ())]


def another(id: str) -> str:
    """An id of the same shape that stands for nothing."""
    prefix, mark, rest = id.rpartition("_") if not id.isdigit() else ("", "", id)
    stem, dot, ending = rest.partition(".")
    return f"{prefix}{mark}{stem[0]}{''.join('31'[digit == '3'] for digit in stem[1:])}{dot}{ending}"


def about(id: str, what: Any) -> Any:
    """`what` with `id` in place of ID."""
    if isinstance(what, dict):
        return {name: about(id, value) for name, value in what.items()}
    if isinstance(what, list | tuple):
        return type(what)(about(id, value) for value in what)
    return what.replace("ID", id) if isinstance(what, str) else what


@pytest.fixture(scope="module")
async def mesh() -> AsyncIterator[Running]:
    async with running(api_keys=(MINE, YOURS), enterprise_status="strict") as mesh:
        yield mesh


async def test_every_route_is_accounted_for(mesh: Running) -> None:
    known = [pattern for pattern, *_ in (*ASKS, *LISTS)] + [OTHERS]
    forgotten = [route for route in routes(mesh) if not any(re.fullmatch(pattern, route) for pattern in known)]
    assert not forgotten, "say in ASKS or LISTS how these are asked about things, or in OTHERS why they are not"


@pytest.mark.parametrize("pattern, how", ASKS, ids=[pattern for pattern, _ in ASKS])
async def test_another_s_thing_is_as_unknown_as_one_that_never_was(mesh: Running, pattern: str, how: Ask) -> None:
    asked = [route for route in routes(mesh) if re.fullmatch(pattern, route)]
    assert asked, "there is no such route"
    for route in asked:
        id = await how.make(mesh)
        method, _, path = route.partition(" ")
        path = path.replace("{id}", "ID").replace("{model_id}", "demo").replace("{event_id}", "event")
        path = path.replace("{team_id}", "team").replace("{project_id}", "project")
        unknown, others = [
            (await ask(mesh, YOURS, method, *about(one, (path, how.body)))).saying(one) for one in (another(id), id)
        ]
        assert others == unknown and others.status == how.status, route
        own = await ask(mesh, MINE, *about(id, how.show or (method, path, how.body)))
        assert own.status < 300 and own.saying(id) != others, f"{route}: it is not there for its owner: {own}"


@pytest.mark.parametrize("route, make", LISTS, ids=[route for route, _ in LISTS])
async def test_lists_show_one_s_own(mesh: Running, route: str, make: Callable[[Running], Awaitable[str]]) -> None:
    id = await make(mesh)
    method, _, path = route.replace("{team_id}", "team").replace("{project_id}", "project").partition(" ")
    own, others = await ask(mesh, MINE, method, path), await ask(mesh, YOURS, method, path)
    assert own.status == others.status == 200
    assert id in own.text and id not in others.text


async def test_a_queue_is_cleared_of_one_s_own(start: Start) -> None:
    async with start(api_keys=(MINE, YOURS), max_pictures=4) as mesh:
        mesh.rooms.pace.clear()
        headers, body = {"Authorization": f"Bearer {MINE}"}, {"prompt": "a boat", "samples": 4}
        for _ in range(2):
            async with mesh.http.post(f"{NATIVE}/generations?wait=0", json=body, headers=headers) as response:
                place = response.headers["Location"]
        for key, status in ((YOURS, "queued"), (MINE, "cancelled")):
            await ask(mesh, key, "POST", "/api/v1/enterprise/clear_queue")
            assert f'"status":"{status}"' in (await ask(mesh, MINE, "GET", place)).text


async def test_an_idempotency_key_is_its_owner_s_alone(mesh: Running) -> None:
    places = set()
    for key in (MINE, MINE, YOURS):
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "the same"}
        async with mesh.http.post(f"{NATIVE}/generations", json={"prompt": "a boat"}, headers=headers) as response:
            places.add((key, (await response.json())["id"]))
    assert len(places) == len({id for _, id in places}) == 2
