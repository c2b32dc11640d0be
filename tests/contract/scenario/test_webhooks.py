"""The Scenario dialect's webhook endpoints: their life, and what is sent to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from mesh.errors import InvalidInput
from tests.contract.conftest import Start
from tests.rigs.jobs import eventually
from tests.rigs.scenario_client import DATE, ENDPOINT, FAILED, JOB, NUMBER, ask, ended, made, shaped, submit
from tests.rigs.webhooks import receiving

PATH = "/v1/teams/team_x/webhook-endpoints"
ENDS = ["generation.completed", "generation.failed", "inference.cancelled"]
EVENT = {"id": str, "endpointId": str, "status": str, "type": str, "updatedAt": DATE}
EVENT_SHOWN = {
    **EVENT,
    "createdAt": DATE,
    "sentAt": DATE,
    "attempts": [{"responseStatusCode": NUMBER, "sentAt": DATE}],
    "payload": {"job": JOB},
}
Heard = asyncio.Queue[tuple[dict[str, str], str, dict[str, Any]]]


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, Heard]]:
    """A URL, and what is posted to it: headers, text, JSON."""
    heard: Heard = asyncio.Queue()

    async def hear(request: web.BaseRequest) -> web.Response:
        text = await request.text()
        await heard.put((dict(request.headers), text, await request.json()))
        return web.Response()

    runner = web.ServerRunner(web.Server(hear))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}", heard
    await runner.cleanup()


async def test_an_endpoint_hears_of_every_end(start: Start) -> None:
    async with receiver() as (address, heard), start(webhook_allow=(address,)) as mesh:
        asked = {"url": f"http://{address}/hook", "enabledEvents": ENDS}
        secret = (await ask(mesh, "POST", PATH, asked))["webhookEndpoint"]["secret"]
        job = await made(mesh)
        headers, text, body = await asyncio.wait_for(heard.get(), 20)
        shaped(body, {"type": str, "createdAt": DATE, "payload": {"job": JOB}})
        assert (body["type"], body["payload"]["job"]) == ("generation.completed", job)
        assert Webhook(secret).verify(text, headers) == body
        mesh.rooms.failure = InvalidInput("controls[0].image is broken", field="controls[0].image")
        await ended(mesh, await submit(mesh))
        _, _, body = await asyncio.wait_for(heard.get(), 20)
        shaped(body["payload"]["job"], FAILED)
        assert (body["type"], body["payload"]["job"]["error"]) == ("generation.failed", "controlImage is broken")
        mesh.rooms.failure = None
        mesh.rooms.pace.clear()
        answer = await submit(mesh)
        await ask(mesh, "POST", f"/v1/jobs/{answer['job']['jobId']}/action", {"action": "cancel"})
        _, _, body = await asyncio.wait_for(heard.get(), 20)
        assert (body["type"], body["payload"]["job"]["status"]) == ("inference.cancelled", "canceled")
        mesh.rooms.pace.set()
        async with mesh.http.post("/controlmesh/v1/generations", json={"prompt": "a boat"}) as response:
            native = await response.json()
        _, _, body = await asyncio.wait_for(heard.get(), 20)
        assert body["payload"]["job"]["jobId"] == f"job_{native['id']}", "jobs of other dialects, too"
        (known,) = (await ask(mesh, "GET", PATH))["webhookEndpoints"]
        shaped(known, ENDPOINT)
        assert known["nbFailedCalls"] == 0


async def test_an_endpoint_hears_what_it_wants_to(start: Start) -> None:
    async with receiver() as (address, heard), start(webhook_allow=(address,)) as mesh:
        asked = {"url": f"http://{address}/hook", "enabledEvents": ["generation.failed"]}
        await ask(mesh, "POST", PATH, asked)
        await made(mesh)
        mesh.rooms.failure = InvalidInput("no")
        await ended(mesh, await submit(mesh))
        _, _, body = await asyncio.wait_for(heard.get(), 20)
        assert body["type"] == "generation.failed"


async def test_generations_and_inferences_are_told_of_once_under_the_name_that_was_chosen(start: Start) -> None:
    chosen = {
        "both": ["generation.created", "inference.created", "inference.completed"],
        "inferences": ["inference.created", "inference.completed"],
        "all": ["*"],
    }
    async with receiver() as (address, heard), start(webhook_allow=(address,)) as mesh:
        paths = {}
        for name, events in chosen.items():
            asked = {"url": f"http://{address}/{name}", "enabledEvents": events}
            paths[(await ask(mesh, "POST", PATH, asked))["webhookEndpoint"]["secret"]] = name
        job = await made(mesh)
        told: dict[str, dict[str, Any]] = {name: {} for name in chosen}
        for _ in range(6):
            headers, text, body = await asyncio.wait_for(heard.get(), 30)
            (name,) = [name for secret, name in paths.items() if _signed(secret, text, headers)]
            told[name][body["type"]] = body["payload"]["job"]
        assert heard.empty()
    assert {name: set(bodies) for name, bodies in told.items()} == {
        "both": {"generation.created", "inference.completed"},
        "inferences": {"inference.created", "inference.completed"},
        "all": {"generation.created", "generation.completed"},
    }
    for bodies in told.values():
        for event, body in bodies.items():
            shaped(body, JOB)
            assert body["jobId"] == job["jobId"]
            assert body["status"] == ("queued" if event.endswith("created") else "success")


def _signed(secret: str, text: str, headers: dict[str, str]) -> bool:
    try:
        Webhook(secret).verify(text, headers)
    except WebhookVerificationError:
        return False
    return True


async def test_the_life_of_an_endpoint(start: Start) -> None:
    async with start() as mesh:
        asked = {"url": "https://example.com/hook", "enabledEvents": ["generation.completed"], "description": "mine"}
        made = (await ask(mesh, "POST", PATH, asked))["webhookEndpoint"]
        one = f"{PATH}/{made['id']}"
        changed = (await ask(mesh, "PUT", one, {"enabled": False, "enabledEvents": ["*"]}))["webhookEndpoint"]
        shaped(changed, ENDPOINT)
        assert (changed["enabled"], changed["enabledEvents"], changed["description"]) == (False, ["*"], "mine")
        assert (await ask(mesh, "GET", PATH))["webhookEndpoints"] == [changed]
        for wrong in ({"url": "http://127.0.0.1/"}, {"enabled": "no"}, {"enabledEvents": []}, {"description": 5}):
            assert next(iter(wrong)) in (await ask(mesh, "PUT", one, wrong, 400))["reason"]
        assert await ask(mesh, "DELETE", one) == {}
        assert await ask(mesh, "GET", PATH) == {"webhookEndpoints": []}
        reason = (await ask(mesh, "PUT", one, {"enabled": True}, 404))["reason"]
        assert reason == f"Webhook endpoint {made['id']} not found"


async def test_projects_have_the_same_endpoints_as_teams(start: Start) -> None:
    async with start() as mesh:
        asked = {"url": "https://example.com/hook", "enabledEvents": ["*"]}
        one = (await ask(mesh, "POST", "/v1/projects/proj_x/webhook-endpoints", asked))["webhookEndpoint"]
        assert (one["ownerType"], one["ownerId"]) == ("project", "proj_x")
        (same,) = (await ask(mesh, "GET", PATH))["webhookEndpoints"]
        assert (same["id"], same["ownerType"], same["ownerId"]) == (one["id"], "team", "team_x")
        await ask(mesh, "PUT", f"/v1/projects/proj_x/webhook-endpoints/{one['id']}", {"enabled": False})
        await ask(mesh, "DELETE", f"/v1/projects/proj_x/webhook-endpoints/{one['id']}")
        assert await ask(mesh, "GET", PATH) == {"webhookEndpoints": []}


async def test_what_was_sent_is_shown_with_every_attempt(start: Start) -> None:
    """The shapes are those of the vendor's SDK."""
    async with receiving() as hooks, start(webhook_allow=("127.0.0.1:*",)) as mesh:
        hooks.answers["/gone"] = [410]
        endpoints = {}
        for path in ("/hook", "/gone"):
            asked = {"url": hooks.url(path), "enabledEvents": ENDS}
            endpoints[path] = (await ask(mesh, "POST", PATH, asked))["webhookEndpoint"]["id"]
        job = await made(mesh)
        for path, status, code in (("/hook", "success", 200), ("/gone", "failed", 410)):
            events = f"{PATH}/{endpoints[path]}/events"

            async def final(events: str = events, status: str = status) -> bool:
                items = (await ask(mesh, "GET", events))["items"]
                return [item["status"] for item in items] == [status]

            await eventually(final)
            (item,) = (await ask(mesh, "GET", events))["items"]
            shaped(item, EVENT)
            assert (item["endpointId"], item["type"]) == (endpoints[path], "generation.completed")
            assert item["id"] == hooks.at(path)[0].id
            one = (await ask(mesh, "GET", f"{events}/{item['id']}"))["webhookEvent"]
            shaped(one, EVENT_SHOWN)
            assert {**one, **item} == one and one["payload"]["job"]["jobId"] == job["jobId"]
            assert [attempt["responseStatusCode"] for attempt in one["attempts"]] == [code]
            assert one["sentAt"] == one["attempts"][0]["sentAt"]
        other = f"{PATH}/{endpoints['/gone']}/events/{hooks.at('/hook')[0].id}"
        assert "not found" in (await ask(mesh, "GET", other, status=404))["reason"]
        assert "not found" in (await ask(mesh, "GET", f"{PATH}/ep_x/events", status=404))["reason"]
        await ask(mesh, "GET", f"{events}?paginationToken=%00", status=400)


async def test_what_was_sent_comes_page_by_page(start: Start) -> None:
    async with receiving() as hooks, start(webhook_allow=("127.0.0.1:*",)) as mesh:
        asked = {"url": hooks.url("/hook"), "enabledEvents": ["generation.created"]}
        events = f"{PATH}/{(await ask(mesh, 'POST', PATH, asked))['webhookEndpoint']['id']}/events"
        assert await ask(mesh, "GET", events) == {"items": []}
        for _ in range(52):
            job = await submit(mesh)
        first = await ask(mesh, "GET", events)
        rest = await ask(mesh, "GET", f"{events}?paginationToken={first['nextPaginationToken']}")
        assert (len(first["items"]), len(rest["items"]), set(rest)) == (50, 2, {"items"})
        assert len({item["id"] for page in (first, rest) for item in page["items"]}) == 52
        newest = (await ask(mesh, "GET", f"{events}/{first['items'][0]['id']}"))["webhookEvent"]
        assert newest["payload"]["job"]["jobId"] == job["job"]["jobId"]


async def test_another_dialect_s_endpoint_is_unknown(start: Start) -> None:
    async with start() as mesh:
        endpoints = mesh.gateway.webhooks.endpoints
        other = await endpoints.create("anybody", "https://example.com/", ["*"], "", dialect="native")
        assert await ask(mesh, "GET", PATH) == {"webhookEndpoints": []}
        await ask(mesh, "DELETE", f"{PATH}/{other.id}", status=404)
