"""Webhooks from end to end: asked for over HTTP, told to a receiver, links in them that work."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator

import pytest
from standardwebhooks import Webhook

from tests.contract.conftest import Start
from tests.rigs.enterprise_client import ALIASES, PATH, SAMPLE
from tests.rigs.webhooks import Receiver, receiving

SETTINGS = {**ALIASES, "webhook_allow": ("127.0.0.1:*",)}
NATIVE = "/controlmesh/v1/generations"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_an_enterprise_request_is_answered_at_once_and_told_of_later(start: Start, receiver: Receiver) -> None:
    async with start(**SETTINGS) as mesh:
        asked = {**SAMPLE, "webhook": receiver.url("/hook"), "track_id": "order-7"}
        async with mesh.http.post(PATH, json=asked) as response:
            answer = await response.json()
        assert (response.status, answer["status"]) == (200, "processing")
        (call,) = await receiver.until(1)
        body = json.loads(call.body)
        assert (body["status"], body["id"], body["track_id"]) == ("success", answer["id"], "order-7")
        assert body["output"] == answer["future_links"]
        async with mesh.http.get(body["output"][0]) as response:
            assert (response.status, response.content_type) == (200, "image/png")
        owner = (await mesh.gateway.jobs.find(answer["id"], mesh.gateway.keys.owner(None))).owner
        secret = await mesh.gateway.webhooks.secret_of(owner)
    Webhook(secret).verify(call.body, call.headers)
    expected = hmac.new(secret.encode(), call.body, hashlib.sha256).hexdigest()
    assert call.headers["x-signature-256"] == f"sha256={expected}"


async def test_a_native_record_shows_what_was_told(start: Start, receiver: Receiver) -> None:
    async with start(**SETTINGS) as mesh:
        asked = {"prompt": "a boat", "webhook": receiver.url("/hook")}
        async with mesh.http.post(NATIVE, params={"wait": "0"}, json=asked) as response:
            assert response.status == 202
            id = (await response.json())["id"]
        (call,) = await receiver.until(1)
        body = json.loads(call.body)
        assert (body["type"], body["data"]["id"]) == ("generation.completed", id)
        async with mesh.http.get(body["data"]["images"][0]["url"]) as response:
            assert response.status == 200
        async with mesh.http.get(f"{NATIVE}/{id}") as response:
            (delivery,) = (await response.json())["deliveries"]
    assert (delivery["id"], delivery["event"]) == (call.id, "generation.completed")
    assert delivery["status"] in ("pending", "delivered")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://169.254.169.254/", "ftp://example.org/", "hook"])
async def test_a_webhook_that_would_never_be_delivered_is_refused(start: Start, url: str) -> None:
    async with start(**ALIASES) as mesh:
        async with mesh.http.post(PATH, json={**SAMPLE, "webhook": url}) as response:
            answer = await response.json()
        assert (answer["status"], response.status) == ("error", 200)
        assert "webhook" in str(answer["message"])
        async with mesh.http.post(NATIVE, json={"prompt": "a boat", "webhook": url}) as response:
            assert response.status == 422
            assert (await response.json())["field"] == "webhook"
