"""The native API around a generation: lists, waiting, handling, events that are resumed, webhooks in the record."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.web import problem
from tests.contract.conftest import Running, Start
from tests.contract.native.test_api import API, events

GENERATIONS = f"{API}/generations"


async def made(mesh: Running, **body: Any) -> dict[str, Any]:
    async with mesh.http.post(GENERATIONS, json={"prompt": "a boat", "steps": 1, **body}) as response:
        record: dict[str, Any] = await response.json()
        assert response.status == 200, record
    return record


async def begun(mesh: Running, **body: Any) -> dict[str, Any]:
    async with mesh.http.post(f"{GENERATIONS}?wait=0", json={"prompt": "a boat", "steps": 2, **body}) as response:
        record: dict[str, Any] = await response.json()
        assert response.status == 202, record
    return record


# --- lists --------------------------------------------------------------------------------------------------------


async def test_a_list_is_read_page_by_page_along_its_links(mesh: Running) -> None:
    records = [await made(mesh, seed=seed) for seed in range(5)]
    place: Any = f"{GENERATIONS}?limit=2"
    pages = []
    while place:
        async with mesh.http.get(place) as response:
            page = await response.json()
            pages.append(page["generations"])
            assert ("next" in response.links) is (page["next"] is not None)
            place = response.links["next"]["url"] if page["next"] else None
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [record for page in pages for record in page] == records[::-1]


async def test_a_list_is_filtered(mesh: Running) -> None:
    first, second = await made(mesh), await made(mesh)
    mesh.rooms.pace.clear()
    third = await begun(mesh)
    await mesh.rooms.seen.started.wait()

    async def ids(**query: str) -> list[str]:
        async with mesh.http.get(GENERATIONS, params=query) as response:
            return [record["id"] for record in (await response.json())["generations"]]

    assert await ids(status="succeeded") == [second["id"], first["id"]]
    assert await ids(status="running,queued") == [third["id"]]
    assert await ids(status="failed") == []
    assert await ids(created_after=first["created_at"]) == [third["id"], second["id"]]
    assert await ids(created_after="2999-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e9", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=", "limit"),
        ("after=%00", "after"),
        ("after=f%2F", "after"),
        ("after=f_gAAAAAAAA", "after"),
        ("after=QdpfZ7v___8A", "after"),
        ("status=done", "status"),
        ("status=", "status"),
        ("status=queued,", "status"),
        ("created_after=yesterday", "created_after"),
        ("created_after=2026-01-31T12:00:00", "created_after"),
        ("created_after=2026-01-31T12:00:00+99:00", "created_after"),
        ("created_after=", "created_after"),
    ],
)
async def test_a_list_that_can_t_be_made_is_refused(mesh: Running, query: str, field: str) -> None:
    async with mesh.http.get(f"{GENERATIONS}?{query}") as response:
        assert (response.status, (await response.json(content_type=None)).get("field")) == (422, field)


async def test_lists_show_one_s_own(start: Start) -> None:
    async with start(api_keys=("mine", "yours")) as mesh:
        mine, yours = ({"Authorization": f"Bearer {key}"} for key in ("mine", "yours"))
        async with mesh.http.post(GENERATIONS, json={"prompt": "x", "steps": 1}, headers=mine) as response:
            assert response.status == 200
        for headers, count in ((mine, 1), (yours, 0)):
            async with mesh.http.get(GENERATIONS, headers=headers) as response:
                assert len((await response.json())["generations"]) == count
        async with mesh.http.get(GENERATIONS) as response:
            assert response.status == 401


@pytest.mark.parametrize("id", ["0" * 32, "%00", "..%2f", "x" * 9000, "A" * 32, "\u0660" * 32])
async def test_what_is_no_id_is_not_found(mesh: Running, id: str) -> None:
    for method, path in (("GET", id), ("DELETE", id), ("GET", f"{id}/events")):
        async with mesh.http.request(method, f"{GENERATIONS}/{path}") as response:
            assert response.status in (400, 404) and response.content_type == "application/problem+json"


async def test_cancelling_what_is_finished_changes_nothing(mesh: Running) -> None:
    record = await made(mesh)
    async with mesh.http.delete(f"{GENERATIONS}/{record['id']}") as response:
        assert (response.status, await response.json()) == (200, record)


# --- waiting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefer", "query", "status", "applied"),
    [
        ("respond-async", "", 202, "respond-async"),
        ("Respond-Async; foo=bar, handling=lenient", "", 202, "respond-async"),
        ("wait=0", "", 202, "wait=0"),
        ("respond-async, wait=0", "", 202, "respond-async, wait=0"),
        ("respond-async", "?wait=0", 202, None),
        ("handling=lenient", "?wait=0", 202, None),
    ],
)
async def test_a_preference_for_not_waiting(
    mesh: Running, prefer: str, query: str, status: int, applied: str | None
) -> None:
    mesh.rooms.pace.clear()
    headers = {"Prefer": prefer}
    async with mesh.http.post(GENERATIONS + query, json={"prompt": "x"}, headers=headers) as response:
        assert (response.status, response.headers.get("Preference-Applied")) == (status, applied)


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=30", "wait=30"),
        ("wait=99999", "wait=300"),
        ("respond-async, wait=30", "respond-async, wait=30"),
        ("wait=-1", None),
        ("wait=soon", None),
        ("", None),
    ],
)
async def test_a_preference_for_waiting(mesh: Running, prefer: str, applied: str | None) -> None:
    async with mesh.http.post(GENERATIONS, json={"prompt": "x", "steps": 1}, headers={"Prefer": prefer}) as response:
        assert (response.status, response.headers.get("Preference-Applied")) == (200, applied)


# --- handling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"priority": 10}, "priority"),
        ({"priority": -1}, "priority"),
        ({"priority": 5.5}, "priority"),
        ({"priority": True}, "priority"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadline_s": 1e308}, "deadline_s"),
        ({"deadline_s": "60"}, "deadline_s"),
        ({"webhook": ""}, "webhook"),
        ({"webhook": 7}, "webhook"),
        ({"webhook": "ftp://example.org/"}, "webhook"),
        ({"webhook": "http://127.0.0.1:1/"}, "webhook"),
        ({"webhook": "http://[::1]/"}, "webhook"),
        ({"webhook": "http://me:you@example.org/"}, "webhook"),
    ],
)
async def test_a_handling_that_can_t_be_is_refused(mesh: Running, body: dict[str, Any], field: str) -> None:
    async with mesh.http.post(GENERATIONS, json={"prompt": "x", **body}) as response:
        assert (response.status, (await response.json(content_type=None))["field"]) == (422, field)
    async with mesh.http.get(GENERATIONS) as response:
        assert (await response.json())["generations"] == []


async def test_the_priority_stands_in_the_record_and_not_in_the_settings(mesh: Running) -> None:
    record = await made(mesh, priority=8, deadline_s=60)
    assert record["priority"] == 8 and not {"priority", "deadline_s", "webhook"} & set(record["request"])
    assert (await made(mesh, priority=None, deadline_s=None, webhook=None))["priority"] == 5


@pytest.fixture
async def hook() -> AsyncIterator[tuple[str, "asyncio.Queue[tuple[dict[str, str], bytes]]"]]:
    """A receiver of webhooks: its host and port, and what came."""
    came: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        came.put_nowait((dict(request.headers), await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"{host}:{port}", came
    await runner.cleanup()


async def test_a_webhook_is_told_and_seen_in_the_record(start: Start, hook: Any) -> None:
    address, came = hook
    async with start(webhook_allow=(address,)) as mesh:
        url = f"http://{address}/hook"
        record = await begun(mesh, webhook=url)
        assert (record["webhook"], record["deliveries"]) == (url, None)
        headers, body = await asyncio.wait_for(came.get(), 30)
        told = json.loads(body)
        assert (told["type"], told["data"]["id"]) == ("generation.completed", record["id"])

        async def delivered() -> dict[str, Any]:
            while True:
                async with mesh.http.get(f"{GENERATIONS}/{record['id']}") as response:
                    (delivery,) = (await response.json())["deliveries"]
                if delivery["done_at"]:
                    return dict(delivery)

        delivery = await asyncio.wait_for(delivered(), 30)
    known = {name.lower(): value for name, value in headers.items()}
    assert delivery["id"] == known["webhook-id"]
    assert (delivery["url"], delivery["event"], delivery["status"]) == (url, "generation.completed", "delivered")
    assert (delivery["attempts"], delivery["last_answer"], delivery["next_at"]) == (1, "200", None)


# --- events -------------------------------------------------------------------------------------------------------


async def raw_events(response: aiohttp.ClientResponse) -> list[dict[str, str]]:
    text = (await response.text()).replace("\r\n", "\n")
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]  # type: ignore[misc]


async def test_a_client_that_comes_back_goes_on_where_it_was(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    record = await begun(mesh)
    place = f"{GENERATIONS}/{record['id']}/events"
    await mesh.rooms.seen.started.wait()
    seen = ""
    async with mesh.http.get(place) as response:
        async for line in response.content:
            name, _, value = line.decode().strip().partition(": ")
            if name == "id":
                seen = value
            if name == "data" and json.loads(value)["step"] == 1:
                break
    assert seen == "1-running-1"
    mesh.rooms.pace.set()
    async with mesh.http.get(place, headers={"Last-Event-ID": seen}) as response:
        rest = await raw_events(response)
    assert [event["id"] for event in rest].count(seen) == 0
    assert (rest[-1]["event"], rest[-1]["id"], rest[-1]["retry"]) == ("result", "1-succeeded-2", "2000")
    async with mesh.http.get(place, headers={"Last-Event-ID": rest[-1]["id"]}) as response:
        assert (response.status, await response.read()) == (204, b""), "a browser would come back for ever"
    async with mesh.http.get(place, headers={"Last-Event-ID": "1-running-2"}) as response:
        assert [event["event"] for event in await raw_events(response)] == ["result"]


async def test_the_time_left_is_told_once_there_is_a_pace(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    record = await begun(mesh, steps=4)
    async with mesh.http.get(f"{GENERATIONS}/{record['id']}/events") as response:
        async for kind, data in events(response):
            if kind == "progress" and data["step"]:
                assert data["eta_s"] >= 0
                mesh.rooms.pace.set()
            elif kind == "progress":
                assert data["eta_s"] is None


# --- problems -----------------------------------------------------------------------------------------------------


async def test_the_type_of_an_error_leads_to_its_meaning(mesh: Running) -> None:
    async with mesh.http.get(problem.PATH) as response:
        known = (await response.json())["problems"]
    assert len({kind["type"] for kind in known}) == len({kind["status"] for kind in known}) == len(known)
    for method, path, body in (
        ("POST", GENERATIONS, b"{"),
        ("POST", GENERATIONS, b"{}"),
        ("GET", f"{GENERATIONS}/{'0' * 32}", b""),
        ("GET", "/nope", b""),
        ("PUT", GENERATIONS, b""),
    ):
        async with mesh.http.request(method, path, data=body) as response:
            told = await response.json(content_type="application/problem+json")
        async with mesh.http.get(told["type"]) as response:
            kind = await response.json()
            assert (response.status, kind["status"], kind["title"]) == (200, told["status"], told["title"])
    async with mesh.http.get(f"{problem.PATH}/nope") as response:
        assert response.status == 404
