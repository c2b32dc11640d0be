"""Files in the native API: kept, listed, named in requests, removed; never another's."""

import base64
import hashlib
from typing import Any

import numpy as np
import pytest

from mesh.pictures import encode
from tests.contract.conftest import Running, Start
from tests.contract.native.test_api import API, PICTURE

ASSETS = f"{API}/assets"
CONTENT = base64.b64decode(PICTURE)
KEYS = {
    "id", "url", "name", "media_type", "width", "height", "size", "sha256", "source", "generation", "created_at",
    "expires_at",
}  # fmt: skip


async def kept(mesh: Running, **body: Any) -> dict[str, Any]:
    async with mesh.http.post(ASSETS, json={"image": PICTURE, **body}) as response:
        record: dict[str, Any] = await response.json()
        assert response.status == 201, record
    return record


async def test_a_picture_is_kept_and_read_again(mesh: Running) -> None:
    record = await kept(mesh, name="a/b/room.png", expires_s=3600)
    assert set(record) == KEYS
    assert (record["name"], record["media_type"], record["source"]) == ("room.png", "image/png", "uploaded")
    assert (record["width"], record["height"], record["size"]) == (96, 64, len(CONTENT))
    assert record["sha256"] == hashlib.sha256(CONTENT).hexdigest() and record["generation"] is None
    assert record["expires_at"] > record["created_at"]
    async with mesh.http.get(record["url"]) as response:
        assert (response.content_type, await response.read()) == ("image/png", CONTENT)
    async with mesh.http.get(f"{ASSETS}/{record['id']}/record") as response:
        assert (await response.json())["sha256"] == record["sha256"]
    async with mesh.http.get(f"{ASSETS}/{record['id']}") as response:
        assert response.status == 403, "what is kept is private: its name alone does not read it"


async def test_a_file_is_sent_as_it_is(mesh: Running) -> None:
    headers = {"Content-Type": "image/png"}
    async with mesh.http.post(ASSETS, data=CONTENT, headers=headers) as response:
        record = await response.json()
        assert (response.status, record["expires_at"]) == (201, None)
        place = response.headers["Location"]
    async with mesh.http.get(place) as response:
        assert (await response.json())["id"] == record["id"]
    async with mesh.http.post(ASSETS, data=CONTENT, headers=headers) as response:
        assert (await response.json())["id"] == record["id"], "the same picture is the same file"
    async with mesh.http.post(ASSETS, data=b"GIF89a", headers=headers) as response:
        assert (response.status, (await response.json(content_type=None))["field"]) == (422, "image")


@pytest.mark.parametrize("spelling", ["asset:{id}", "asset:{stem}"])
async def test_requests_name_what_is_kept(mesh: Running, spelling: str) -> None:
    record = await kept(mesh)
    name = spelling.format(id=record["id"], stem=record["id"].partition(".")[0])
    body = {"prompt": "x", "steps": 1, "image": name, "mask": name, "controls": [{"kind": "canny", "image": name}]}
    async with mesh.http.post(f"{API}/generations", json=body) as response:
        assert response.status == 200, await response.text()
    assert mesh.rooms.seen.encoded[0].image.content == CONTENT
    prepared = mesh.rooms.seen.prepared[0]
    assert (prepared.controls[0].image.content, prepared.mask.content) == (CONTENT, CONTENT)
    async with mesh.http.post(f"{API}/hints", json={"kind": "canny", "image": name}) as response:
        assert response.status == 200, await response.text()


async def test_results_are_listed_among_the_files_and_can_be_named(mesh: Running) -> None:
    first = await kept(mesh)
    async with mesh.http.post(f"{API}/generations", json={"prompt": "x", "steps": 1}) as response:
        generation = await response.json()
    async with mesh.http.get(ASSETS) as response:
        result, uploaded = (await response.json())["assets"]
    assert (uploaded["id"], result["generation"], result["source"]) == (first["id"], generation["id"], "generated")
    assert result["url"] == generation["images"][0]["url"]
    async with mesh.http.get(ASSETS, params={"source": "uploaded"}) as response:
        assert [record["id"] for record in (await response.json())["assets"]] == [first["id"]]
    async with mesh.http.get(ASSETS, params={"limit": "1"}) as response:
        page = await response.json()
        assert [record["id"] for record in page["assets"]] == [result["id"]]
        place = response.links["next"]["url"]
    async with mesh.http.get(place) as response:
        last = await response.json()
        assert ([record["id"] for record in last["assets"]], last["next"]) == ([first["id"]], None)
    body = {"prompt": "x", "steps": 1, "image": f"asset:{result['id']}"}
    async with mesh.http.post(f"{API}/generations", json=body) as response:
        assert response.status == 200


async def test_what_is_removed_is_gone(mesh: Running) -> None:
    record = await kept(mesh)
    async with mesh.http.delete(f"{ASSETS}/{record['id']}") as response:
        assert (response.status, await response.read()) == (204, b"")
    for method, path in (("DELETE", record["id"]), ("GET", f"{record['id']}/record")):
        async with mesh.http.request(method, f"{ASSETS}/{path}") as response:
            assert response.status == 404
    async with mesh.http.get(record["url"]) as response:
        assert response.status == 404
    async with mesh.http.post(f"{API}/generations", json={"prompt": "x", "image": f"asset:{record['id']}"}) as response:
        assert (response.status, (await response.json(content_type=None))["field"]) == (422, "image")


@pytest.mark.parametrize("id", ["", "%00", "../../x", "x" * 9000, "\ud83d\ude00", "0" * 32, "0" * 32 + ".svg"])
async def test_what_was_never_kept_can_t_be_named(mesh: Running, id: str) -> None:
    async with mesh.http.post(f"{API}/generations", json={"prompt": "x", "image": f"asset:{id}"}) as response:
        told = await response.json(content_type=None)
        assert (response.status, told["field"]) == (422, "image") and len(told["detail"]) < 300


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "image"),
        ({"image": None}, "image"),
        ({"image": 7}, "image"),
        ({"image": "@@@"}, "image"),
        ({"image": "http://169.254.169.254/"}, "image"),
        ({"image": PICTURE, "name": 7}, "name"),
        ({"image": PICTURE, "expires_s": 1}, "expires_s"),
        ({"image": PICTURE, "expires_s": 1e308}, "expires_s"),
        ({"image": PICTURE, "folder": "x"}, "folder"),
    ],
)
async def test_what_can_t_be_kept_is_refused(mesh: Running, body: dict[str, Any], field: str) -> None:
    async with mesh.http.post(ASSETS, json=body) as response:
        assert (response.status, (await response.json(content_type=None))["field"]) == (422, field)
    async with mesh.http.get(ASSETS) as response:
        assert (await response.json())["assets"] == []


async def test_another_s_files_are_as_unknown_as_none(start: Start) -> None:
    async with start(api_keys=("mine", "yours")) as mesh:
        mine, yours = ({"Authorization": f"Bearer {key}"} for key in ("mine", "yours"))
        async with mesh.http.post(ASSETS, json={"image": PICTURE}, headers=mine) as response:
            record = await response.json()
        for method, path in (("DELETE", record["id"]), ("GET", f"{record['id']}/record")):
            async with mesh.http.request(method, f"{ASSETS}/{path}", headers=yours) as response:
                assert response.status == 404
        async with mesh.http.get(ASSETS, headers=yours) as response:
            assert (await response.json())["assets"] == []
        body = {"prompt": "x", "steps": 1, "image": f"asset:{record['id']}"}
        for headers, status in ((yours, 422), (mine, 200)):
            async with mesh.http.post(f"{API}/generations", json=body, headers=headers) as response:
                assert response.status == status
        for method, path in (
            ("POST", ""),
            ("GET", ""),
            ("DELETE", f"/{record['id']}"),
            ("GET", f"/{record['id']}/record"),
        ):
            async with mesh.http.request(method, f"{ASSETS}{path}", json={"image": PICTURE}) as response:
                assert response.status == 401
        async with mesh.http.get(record["url"]) as response:
            assert response.status == 200, "a signed link needs no key"


async def test_a_large_picture_is_kept_within_the_bound_of_bodies(start: Start) -> None:
    noise = encode(np.random.default_rng(7).integers(0, 256, (512, 512, 3), np.uint8))
    async with start(max_body_bytes=len(noise)) as mesh:
        for content, status in ((noise, 201), (noise + b"\0", 413)):
            async with mesh.http.post(ASSETS, data=content, headers={"Content-Type": "image/png"}) as response:
                assert response.status == status
