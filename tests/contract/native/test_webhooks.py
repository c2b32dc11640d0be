"""Webhook endpoints in the native API: their life, what they hear, whose they are; and the secret of requests' URLs."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.contract.conftest import Running, Start
from tests.rigs.jobs import eventually
from tests.rigs.webhooks import Receiver, receiving

API = "/controlmesh/v1"
ENDPOINTS, SECRET = f"{API}/webhook-endpoints", f"{API}/webhook-secret"
MINE, YOURS = "mine-" + 40 * "m", "yours-" + 40 * "y"
KEYS = {
    "id", "dialect", "url", "events", "description", "enabled", "disabled_because", "failed_attempts", "attempts",
    "delivered_at", "created_at", "updated_at",
}  # fmt: skip


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def ask(
    mesh: Running, method: str, path: str, body: Any = None, status: int = 200, key: str = MINE
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with mesh.http.request(method, path, json=body, headers=headers) as response:
        answer = await response.json(content_type=None) if response.status != 204 else {}
        assert response.status == status, answer
        expected = "application/problem+json" if status >= 400 else "application/json"
        assert status == 204 or response.content_type == expected
    told: dict[str, Any] = answer
    return told


async def test_the_life_of_an_endpoint(start: Start) -> None:
    async with start(api_keys=(MINE,)) as mesh:
        asked = {"url": "https://example.org/hook", "events": ["generation.failed"], "description": "the shop"}
        made = await ask(mesh, "POST", ENDPOINTS, asked, 201)
        assert set(made) == KEYS | {"secret"}
        secret = made.pop("secret")
        assert secret.startswith("whsec_") and {**made, **asked} == made
        assert (made["dialect"], made["enabled"], made["disabled_because"]) == ("native", True, None)
        one = f"{ENDPOINTS}/{made['id']}"
        assert await ask(mesh, "GET", one) == made
        assert await ask(mesh, "GET", ENDPOINTS) == {"webhook_endpoints": [made]}
        changed = await ask(mesh, "PATCH", one, {"enabled": False, "events": ["*"], "url": None})
        assert {**made, "enabled": False, "events": ["*"], "updated_at": changed["updated_at"]} == changed
        assert datetime.fromisoformat(changed["updated_at"]) >= datetime.fromisoformat(made["updated_at"])
        assert await ask(mesh, "PATCH", one, {}) == {
            **changed,
            "updated_at": (await ask(mesh, "GET", one))["updated_at"],
        }
        assert await ask(mesh, "DELETE", one, status=204) == {}
        for method, body in (("GET", None), ("PATCH", {"enabled": True}), ("DELETE", None)):
            assert (await ask(mesh, method, one, body, 404))["type"].endswith("/not-found")
        assert await ask(mesh, "GET", ENDPOINTS) == {"webhook_endpoints": []}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "url"),
        ({"url": None}, "url"),
        ({"url": 7}, "url"),
        ({"url": "ftp://example.org/"}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "https://example.org/", "events": []}, "events"),
        ({"url": "https://example.org/", "events": "*"}, "events"),
        ({"url": "https://example.org/", "events": ["generation.done"]}, "events"),
        ({"url": "https://example.org/", "events": [7]}, "events"),
        ({"url": "https://example.org/", "events": [["*"]]}, "events"),
        ({"url": "https://example.org/", "events": ["inference.completed"]}, "events"),
        ({"url": "https://example.org/", "description": 7}, "description"),
        ({"url": "https://example.org/", "enabled": True}, "enabled"),
        ({"url": "https://example.org/", "secret": "mine"}, "secret"),
    ],
)
async def test_what_can_t_be_set_up_is_refused_by_its_field(mesh: Running, wrong: dict[str, Any], field: str) -> None:
    refused = await ask(mesh, "POST", ENDPOINTS, wrong, 422)
    assert (refused["type"], refused["field"]) == (f"{API}/problems/invalid", field)
    assert await ask(mesh, "GET", ENDPOINTS) == {"webhook_endpoints": []}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"enabled": "no"}, "enabled"), ({"events": ["x"]}, "events"), ({"url": "x"}, "url"), ({"id": "ep_1"}, "id")],
)
async def test_what_can_t_be_changed_is_refused_by_its_field(mesh: Running, wrong: dict[str, Any], field: str) -> None:
    made = await ask(mesh, "POST", ENDPOINTS, {"url": "https://example.org/"}, 201)
    one = f"{ENDPOINTS}/{made['id']}"
    known = await ask(mesh, "GET", one)
    assert (await ask(mesh, "PATCH", one, wrong, 422))["field"] == field
    assert await ask(mesh, "GET", one) == known


async def test_endpoints_of_another_api_are_shown_and_keep_their_names_of_events(mesh: Running) -> None:
    asked = {"url": "https://example.org/hook", "enabledEvents": ["inference.created"]}
    other = (await ask(mesh, "POST", "/v1/teams/team/webhook-endpoints", asked))["webhookEndpoint"]
    (shown,) = (await ask(mesh, "GET", ENDPOINTS))["webhook_endpoints"]
    assert (shown["id"], shown["dialect"], shown["events"]) == (other["id"], "scenario", ["inference.created"])
    one = f"{ENDPOINTS}/{other['id']}"
    assert (await ask(mesh, "PATCH", one, {"events": ["inference.failed"]}))["events"] == ["inference.failed"]
    assert (await ask(mesh, "PATCH", one, {"events": ["generation.cancelled"]}, 422))["field"] == "events"


async def test_an_endpoint_hears_from_the_beginning_to_the_end(start: Start, receiver: Receiver) -> None:
    async with start(api_keys=(MINE, YOURS), webhook_allow=("127.0.0.1:*",)) as mesh:
        made = await ask(mesh, "POST", ENDPOINTS, {"url": receiver.url("/hook")}, 201)
        mesh.rooms.pace.clear()
        await ask(mesh, "POST", f"{API}/generations?wait=0", {"prompt": "not mine"}, 202, YOURS)
        job = await ask(mesh, "POST", f"{API}/generations?wait=0", {"prompt": "a boat"}, 202)
        # It is at work still.
        (begun,) = await receiver.until(1)
        mesh.rooms.pace.set()
        calls = await receiver.until(2)
        bodies = [Webhook(made["secret"]).verify(call.body, call.headers) for call in calls]
        assert calls[0] is begun
        assert [body["type"] for body in bodies] == ["generation.created", "generation.completed"]
        assert [body["data"]["id"] for body in bodies] == [job["id"]] * 2
        assert bodies[0]["timestamp"] == bodies[0]["data"]["created_at"] <= bodies[1]["timestamp"]
        async with mesh.http.get(bodies[1]["data"]["images"][0]["url"]) as response:
            assert response.status == 200
        record = await ask(mesh, "GET", f"{API}/generations/{job['id']}")
        assert [delivery["event"] for delivery in record["deliveries"]] == [body["type"] for body in bodies]

        async def counted() -> bool:
            return (await ask(mesh, "GET", f"{ENDPOINTS}/{made['id']}"))["attempts"] == 2

        # Written after the answer was read.
        await eventually(counted)
        known = await ask(mesh, "GET", f"{ENDPOINTS}/{made['id']}")
        assert (known["failed_attempts"], known["attempts"]) == (0, 2) and known["delivered_at"]
    assert len(receiver.calls) == 2


async def test_what_is_gone_is_disabled_and_says_why(start: Start, receiver: Receiver) -> None:
    receiver.answers["/hook"] = [410]
    async with start(webhook_allow=("127.0.0.1:*",)) as mesh:
        asked = {"url": receiver.url("/hook"), "events": ["generation.created"]}
        one = f"{ENDPOINTS}/{(await ask(mesh, 'POST', ENDPOINTS, asked, 201))['id']}"
        await ask(mesh, "POST", f"{API}/generations", {"prompt": "a boat"})

        async def disabled() -> bool:
            return not (await ask(mesh, "GET", one))["enabled"]

        await eventually(disabled)
        assert (await ask(mesh, "GET", one))["disabled_because"] == "it answered 410"
        known = await ask(mesh, "PATCH", one, {"enabled": True})
        assert (known["enabled"], known["disabled_because"]) == (True, None)


async def test_the_secret_of_requests_is_its_owner_s_and_signs_what_they_name(
    start: Start, receiver: Receiver, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"api_keys": (MINE, YOURS), "webhook_allow": ("127.0.0.1:*",)}
    async with start(**settings, database_url=f"sqlite:///{tmp_path}/records.db") as mesh:
        await ask(mesh, "GET", SECRET, status=401, key="wrong")
        secret = (await ask(mesh, "GET", SECRET))["secret"]
        other = (await ask(mesh, "GET", SECRET, key=YOURS))["secret"]
        assert secret != other
        async with mesh.http.get(SECRET, headers={"Authorization": f"Bearer {MINE}"}) as response:
            assert response.headers["Cache-Control"] == "no-store"
        sent = {"prompt": "a boat", "webhook": receiver.url("/hook")}
        job = await ask(mesh, "POST", f"{API}/generations?wait=0", sent, 202)
        (call,) = await receiver.until(1)
        assert Webhook(secret).verify(call.body, call.headers)["data"]["id"] == job["id"]
        assert json.loads(call.body)["type"] == "generation.completed", "a request's URL hears of the end alone"
    async with start(**settings, database_url=f"sqlite:///{tmp_path}/records.db") as mesh:
        assert (await ask(mesh, "GET", SECRET))["secret"] == secret, "another process has the same"
