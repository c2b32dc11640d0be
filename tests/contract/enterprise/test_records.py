"""The enterprise dialect remembers nothing: other processes answer its polls. Uploads, temporary links, webhooks."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from gateway.dialects.enterprise.uploads import MOST_BYTES
from gateway.keys import records as key_records
from gateway.keys.keys import digest_of
from gateway.keys.records import NewKey
from mesh.errors import InvalidInput
from mesh.pictures import check, decode, encode
from tests.contract.conftest import Running, Start
from tests.rigs.enterprise_client import INIT, META, SENT, SILENT, SUCCESS, ask, poll, shaped
from tests.rigs.jobs import eventually

E = "/api/v1/enterprise"


def durable(folder: Path) -> dict[str, Any]:
    return {"database_url": f"sqlite:///{folder}/records.db", "storage_url": f"file://{folder}/files"}


async def call(mesh: Running, path: str, **fields: Any) -> Any:
    async with mesh.http.post(path, json=fields) as response:
        return await response.json()


async def test_another_process_answers_the_polls(start: Start, tmp_path: Path) -> None:
    async with start(**durable(tmp_path)) as one, start(**durable(tmp_path)) as other:
        body = await ask(one, **SILENT, base64="yes", track_id="x")
        assert body["status"] == "success"
        polled = await call(other, f"/api/v6/images/fetch/{body['id']}", key="k")
        assert polled["status"] == "success"
        own = [link.replace(one.url, other.url) for link in body["output"]]
        assert polled["output"] == own and own[0].endswith(".base64")
        async with other.http.get(own[0]) as response:
            assert check(base64.b64decode(await response.text())) == ("PNG", 512, 512)


async def test_polls_are_answered_after_a_restart(start: Start, tmp_path: Path) -> None:
    async with start(**durable(tmp_path)) as mesh:
        body = await ask(mesh, **SILENT)
        mesh.rooms.failure = InvalidInput("controls[0].image is broken", field="controls[0].image")
        broken = await ask(mesh, **{**SILENT, "instant_response": "yes", "control_image": SENT[INIT]})
        while (await call(mesh, f"{E}/fetch/{broken['id']}"))["status"] == "processing":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    async with start(**durable(tmp_path)) as mesh:
        assert (await call(mesh, f"{E}/fetch", request_id=body["id"]))["status"] == "success"
        failed = await call(mesh, f"{E}/fetch", request_id=broken["id"])
        assert (failed["status"], failed["id"]) == ("failed", broken["id"])
        assert failed["tip"] == "control_image is broken", "the field that was sent, known from the record"


async def test_jobs_of_other_dialects_are_not_polled_here(mesh: Running) -> None:
    async with mesh.http.post("/controlmesh/v1/generations?wait=30", json={"prompt": "a boat"}) as response:
        job = await mesh.gateway.jobs.get((await response.json())["id"], "anybody")
    assert (await call(mesh, f"{E}/fetch", request_id=job.number))["message"] == "Request not found"


async def test_a_temporary_link_ends_after_a_day(mesh: Running) -> None:
    body = await ask(mesh, **SILENT, temp="yes")
    (link,) = body["output"]
    async with mesh.http.get(link) as response:
        assert response.status == 200
    ends = int(link.partition("expires=")[2].partition("&")[0])
    job = await mesh.gateway.jobs.find(body["id"], "anybody")
    assert 0 <= ends - job.created_at.timestamp() - 86_400 < 120
    async with mesh.http.get(link.replace(f"expires={ends}", f"expires={ends + 60}")) as response:
        assert response.status == 403, "nobody makes it longer"


async def test_base64_in_the_answer_itself_where_the_deployment_says_so(start: Start) -> None:
    async with start(enterprise_base64="inline") as mesh:
        body = await ask(mesh, **SILENT, base64="yes", samples=2)
        shaped(body, SUCCESS)
        assert [check(base64.b64decode(one))[0] for one in body["output"]] == ["PNG", "PNG"]
        assert all(link.endswith(".base64") for link in body["future_links"])
        assert (await poll(mesh, {"fetch_result": f"{E}/fetch/{body['id']}"}))["output"] == body["output"]
        plain = await ask(mesh, **SILENT)
        assert plain["output"] == plain["future_links"]


@pytest.mark.parametrize("deployment", ["file", "inline"])
async def test_base64_in_the_answer_itself_where_the_key_says_so(start: Start, deployment: str) -> None:
    async with start(enterprise_base64=deployment) as mesh:
        keys = {}
        for inline in (True, False, None):
            options = {} if inline is None else {"enterprise": {"inline": inline}}
            new = NewKey("x", "acme", options=options)
            record, key = await mesh.gateway.database.run(
                lambda connection, new=new: key_records.create(connection, new)
            )
            keys[digest_of(key)] = record.holder
            mesh.gateway.keys.learn(keys, ever=1)
            body = await ask(mesh, **SILENT, key=key, base64="yes")
            wanted = deployment == "inline" if inline is None else inline
            assert (body["output"] != body["future_links"]) == wanted
            if wanted:
                assert check(base64.b64decode(body["output"][0]))[0] == "PNG"
            polled = await call(mesh, f"{E}/fetch/{body['id']}", key=key)
            assert polled["output"] == body["output"]


@pytest.mark.parametrize("deployment", ["legacy", "strict"])
async def test_errors_tell_by_their_status_where_the_key_says_so(start: Start, deployment: str) -> None:
    async with start(enterprise_status=deployment) as mesh:
        keys = {}
        for strict, status in ((True, 400), (False, 200), (None, 400 if deployment == "strict" else 200)):
            options = {} if strict is None else {"enterprise": {"strict": strict}}
            new = NewKey("x", "acme", options=options)
            record, key = await mesh.gateway.database.run(
                lambda connection, new=new: key_records.create(connection, new)
            )
            keys[digest_of(key)] = record.holder
            mesh.gateway.keys.learn(keys, ever=1)
            async with mesh.http.post(f"{E}/controlnet", json={"key": key, "model_id": "demo"}) as response:
                assert (response.status, (await response.json())["status"]) == (status, "error")


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, "asyncio.Queue[tuple[dict[str, Any], dict[str, str]]]"]]:
    """A web server that keeps what is sent to it, and its address."""
    heard: asyncio.Queue[tuple[dict[str, Any], dict[str, str]]] = asyncio.Queue()

    async def hear(request: web.BaseRequest) -> web.Response:
        heard.put_nowait((json.loads(await request.read()), dict(request.headers)))
        return web.Response()

    runner = web.ServerRunner(web.Server(hear))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}", heard
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("track_id", [7, "seven", None, True])
async def test_a_webhook_hears_of_success_in_the_documented_body(start: Start, track_id: Any) -> None:
    async with receiver() as (address, heard), start(webhook_allow=(address,)) as mesh:
        body = await ask(mesh, **SILENT, webhook=f"http://{address}/hook", track_id=track_id)
        assert body["status"] == "processing" and body["webhook_status"]
        told, headers = await asyncio.wait_for(heard.get(), 20)
        shaped({**told, "track_id": 0}, {"status": str, "id": int, "output": list, "generationTime": float,
                                         "track_id": int, "meta": dict})  # fmt: skip
        assert (told["status"], told["id"], told["output"]) == ("success", body["id"], body["future_links"])
        assert told["track_id"] == track_id and type(told["track_id"]) is type(track_id)
        shaped(told["meta"], META)
        assert headers["Content-Type"].startswith("application/json")
        async with mesh.http.get(told["output"][0]) as response:
            assert response.status == 200


async def test_a_webhook_hears_of_failure(start: Start) -> None:
    async with receiver() as (address, heard), start(webhook_allow=(address,)) as mesh:
        mesh.rooms.failure = InvalidInput("controls[0].image is broken", field="controls[0].image")
        body = await ask(mesh, **SILENT, webhook=f"http://{address}/hook", track_id=7)
        told, _ = await asyncio.wait_for(heard.get(), 20)
        assert told == {"status": "failed", "id": body["id"], "message": "init_image is broken", "track_id": 7}


@pytest.mark.parametrize("webhook", ["", "null", None, "no", "none", False])
async def test_no_webhook_in_every_spelling(mesh: Running, webhook: Any) -> None:
    assert (await ask(mesh, **SILENT, webhook=webhook))["status"] == "success"


@pytest.mark.parametrize(
    "webhook", ["ftp://example.org/", "http://127.0.0.1/", "http://u:p@example.org/", "x", 7, {"a": 1}]
)
async def test_a_webhook_that_would_never_be_told_is_refused_before_anything_is_made(
    mesh: Running, webhook: Any
) -> None:
    body = await ask(mesh, **SILENT, webhook=webhook)
    assert body["status"] == "error" and "webhook" in str(body["message"])
    assert not mesh.rooms.seen.prepared


async def test_an_upload_can_be_what_a_request_starts_from(mesh: Running) -> None:
    kept = await call(mesh, f"{E}/upload_image", key="k", base64_image=SENT[INIT], image_type="png")
    body = await ask(mesh, **{**SILENT, "init_image": kept["image_url"]})
    assert body["status"] == "success", "it is read from the store: this gateway fetches nothing from loopback"
    assert mesh.rooms.seen.prepared[0].controls[0].image.content == INIT
    ended = kept["image_url"].partition("?")[0] + "?expires=1&signature=x"
    body = await ask(mesh, **{**SILENT, "init_image": ended})
    assert body["message"] == "unable to fetch the picture of init_image: its link has expired"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v3/base64_crop", "image"),
        (f"{E}/upload_image", "base64_image"),
        ("/api/v6/base64_to_url", "base64_string"),
    ],
)
async def test_errors_of_other_functions_name_their_own_fields(mesh: Running, path: str, name: str) -> None:
    missing = await call(mesh, path, key="k", image_type="png")
    assert list(missing["message"]) == [name] and "init image" not in missing["message"][name][0]
    gif = await call(mesh, path, key="k", image_type="png", **{name: "R0lGODlhAQABAAAAACw="})
    assert name in gif["message"] and "init_image" not in gif["message"]


async def test_a_crop_is_the_square_in_the_middle(mesh: Running) -> None:
    pixels = np.zeros((40, 64, 3), np.uint8)
    pixels[:, 12:52] = 200
    sent = base64.b64encode(encode(pixels)).decode()
    for crop, size in (("true", (40, 40)), (False, (64, 40)), (None, (64, 40))):
        kept = await call(mesh, "/api/v3/base64_crop", key="k", image=f"data:image/png;base64,{sent}", crop=crop)
        async with mesh.http.get(kept["link"]) as response:
            content = await response.read()
        assert check(content) == ("PNG", *size)
        if crop:
            assert (decode(content) == 200).all()


async def test_what_is_deleted_is_gone_and_others_stay(start: Start) -> None:
    async with start(api_keys=("one", "two")) as mesh:
        kept = await call(mesh, "/api/v3/base64_crop", key="one", image=SENT[INIT])
        other = await call(mesh, "/api/v6/base64_to_url", key="two", base64_string=SENT[INIT])
        refused = await call(mesh, "/api/v3/delete_image", key="two", request_id=kept["request_id"])
        assert refused["message"] == "Request not found", "another key's"
        deleted = {"status": "success", "messege": "image deleted"}
        assert await call(mesh, "/api/v3/delete_image", key="one", request_id=kept["request_id"]) == deleted
        for link, status in ((kept["link"], 404), (other["output"][0], 200)):
            async with mesh.http.get(link) as response:
                assert response.status == status


async def test_an_upload_may_be_no_larger_than_the_vendor_s(mesh: Running) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), np.uint8)
    content = encode(noise)
    assert len(content) > MOST_BYTES
    body = await call(mesh, f"{E}/upload_image", key="k", base64_image=base64.b64encode(content).decode())
    assert body["status"] == "error" and body["message"].startswith("base64_image is larger than")


async def test_clearing_the_queue_cancels_one_s_own(start: Start) -> None:
    async with start(max_pictures=4, api_keys=("one", "two")) as mesh:
        mesh.rooms.pace.clear()
        first = await ask(mesh, **SILENT, key="one", samples=4, instant_response="yes")
        await mesh.rooms.seen.started.wait()
        mine, theirs = [await ask(mesh, **SILENT, key=key, instant_response="yes") for key in ("one", "two")]

        async def counted() -> bool:
            load = await call(mesh, "/api/v3/system_load", key="one")
            return (load["queue_num"], load["status"]) == (2, "ok") and load["queue_time"] > 0

        # How many are pending is counted at each look at the records.
        await eventually(counted)
        await call(mesh, f"{E}/clear_queue", key="one")
        states = [
            (await call(mesh, f"{E}/fetch", key=key, request_id=body["id"]))["status"]
            for key, body in (("one", first), ("one", mine), ("two", theirs))
        ]
        assert states == ["processing", "failed", "processing"]


async def test_a_restart_is_asked_of_the_process_by_operators_alone(start: Start) -> None:
    async with start(api_keys=("good",), restartable=True) as mesh:
        await call(mesh, f"{E}/restart_server", key="bad")
        assert not mesh.gateway.ending.is_set()
        await call(mesh, f"{E}/restart_server", key="good")
        assert mesh.gateway.ending.is_set()
