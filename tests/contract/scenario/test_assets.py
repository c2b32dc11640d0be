"""The Scenario dialect's assets: links that need no key, lists, bulk, deletion, uploads in parts."""

import base64
import json
from typing import Any

import pytest

from gateway.dialects.common.notes import HEADER
from mesh.pictures import check
from tests.contract.conftest import Running, Start
from tests.rigs.scenario_client import BODY, CONTENT, DATA_URL, PICTURE, ask, data_url, grey, made

KEY = {"Authorization": "Basic " + base64.b64encode(b"key:a secret of this deployment's").decode()}


async def test_links_work_without_a_key_and_only_as_they_are(start: Start) -> None:
    async with start(api_keys=("a secret of this deployment's",)) as mesh:
        kept = await ask(mesh, "POST", "/v1/assets", {"name": "a.png", "image": PICTURE}, **KEY)
        url = kept["asset"]["url"]
        async with mesh.http.get(url) as response:
            assert (response.status, response.content_type) == (200, "image/png")
            assert await response.read() == CONTENT
        for broken in (
            url.partition("?")[0],
            url[:-1] + ("0" if url[-1] != "0" else "1"),
            url.replace("expires=1", "expires=2"),
        ):
            async with mesh.http.get(broken) as response:
                assert response.status == 403


async def test_the_picture_of_a_job_is_what_its_asset_says(mesh: Running) -> None:
    job = await made(mesh, width=256, seed=9, negativePrompt="fog", scheduler="DDIM")
    (id,) = job["metadata"]["assetIds"]
    asset = (await ask(mesh, "GET", f"/v1/assets/{id}"))["asset"]
    async with mesh.http.get(asset["url"]) as response:
        content = await response.read()
    assert check(content) == ("PNG", 256, 128)
    assert asset["properties"] == {"size": len(content), "width": 256, "height": 128}
    told = asset["metadata"]
    assert {name: told[name] for name in ("prompt", "negativePrompt", "modelId", "seed", "scheduler")} == {
        "prompt": "a superhero in a dynamic pose",
        "negativePrompt": "fog",
        "modelId": "demo",
        "seed": "9",
        "scheduler": "DDIMScheduler",
    }
    assert (told["parentJobId"], told["parentId"]) == (job["jobId"], job["metadata"]["input"]["controlImage"])


async def test_the_second_picture_has_the_second_seed(mesh: Running) -> None:
    job = await made(mesh, numSamples=2, seed=9)
    bulk = await ask(mesh, "POST", "/v1/assets/get-bulk", {"assetIds": job["metadata"]["assetIds"]})
    assert [asset["metadata"]["seed"] for asset in bulk["assets"]] == ["9", "10"]


@pytest.mark.parametrize("image", [PICTURE, DATA_URL])
async def test_pictures_are_sent_bare_or_as_data_urls(mesh: Running, image: str) -> None:
    asset = (await ask(mesh, "POST", "/v1/assets", {"name": "../../a\u0000.png", "image": image}))["asset"]
    assert asset["metadata"]["name"] == "a.png"
    job = await made(mesh, controlImage=None, controlImageId=asset["id"])
    assert mesh.rooms.seen.prepared[0].controls[0].image.content == CONTENT
    assert job["metadata"]["input"]["controlImageId"] == asset["id"]


async def test_assets_come_page_by_page(mesh: Running) -> None:
    ids = []
    for level in range(5):
        sent = {"name": f"{level}.png", "image": data_url(grey(level))}
        ids.append((await ask(mesh, "POST", "/v1/assets", sent))["asset"]["id"])
    job = await made(mesh, "txt2img")
    seen: list[str] = []
    query = "?pageSize=4"
    while True:
        page = await ask(mesh, "GET", f"/v1/assets{query}")
        seen += [asset["id"] for asset in page["assets"]]
        if "nextPaginationToken" not in page:
            break
        query = f"?pageSize=4&paginationToken={page['nextPaginationToken']}"
    assert seen == job["metadata"]["assetIds"] + ids[::-1]
    for query, expected in (
        ("types=inference-txt2img,inference-img2img", job["metadata"]["assetIds"]),
        ("type=uploaded&pageSize=2", ids[:2:-1]),
        (f"inferenceId={job['jobId']}", job["metadata"]["assetIds"]),
        ("modelId=demo", job["metadata"]["assetIds"]),
        ("privacy=public", []),
        ("collectionId=x", []),
        ("createdBefore=2000-01-01", []),
        ("updatedBefore=2000-01-01", []),
        ("updatedAfter=2000-01-01&type=uploaded&pageSize=2", ids[:2:-1]),
        ("sortDirection=desc&sortBy=updatedAt&pageSize=1", job["metadata"]["assetIds"]),
    ):
        page = await ask(mesh, "GET", f"/v1/assets?{query}")
        assert [asset["id"] for asset in page["assets"]] == expected, query


@pytest.mark.parametrize("by", ["", "&sortBy=createdAt", "&sortBy=updatedAt"])
async def test_assets_come_upwards_page_by_page(mesh: Running, by: str) -> None:
    ids = []
    for level in range(5):
        sent = {"name": f"{level}.png", "image": data_url(grey(level))}
        ids.append((await ask(mesh, "POST", "/v1/assets", sent))["asset"]["id"])
    seen: list[str] = []
    token = ""
    for count in (2, 2, 1):
        page = await ask(mesh, "GET", f"/v1/assets?sortDirection=asc&pageSize=2{by}{token}")
        assert len(page["assets"]) == count
        times = [asset["createdAt"] for asset in page["assets"]]
        assert times == sorted(times) == [asset["updatedAt"] for asset in page["assets"]]
        seen += [asset["id"] for asset in page["assets"]]
        token = f"&paginationToken={page.get('nextPaginationToken', '')}"
    assert seen == ids and token == "&paginationToken="
    assert "sortDirection" in (await ask(mesh, "GET", "/v1/assets?sortDirection=up", status=400))["reason"]


async def test_what_is_deleted_is_gone(mesh: Running) -> None:
    job = await made(mesh)
    (id,) = job["metadata"]["assetIds"]
    url = (await ask(mesh, "GET", f"/v1/assets/{id}"))["asset"]["url"]
    assert await ask(mesh, "DELETE", "/v1/assets", {"assetIds": [id, "asset_x", "nonsense"]}) == {}
    await ask(mesh, "GET", f"/v1/assets/{id}", status=404)
    async with mesh.http.get(url) as response:
        assert response.status == 404
    polled = await ask(mesh, "GET", f"/v1/jobs/{job['jobId']}")
    assert "asset" not in polled and polled["job"]["status"] == "success"


async def test_an_upload_in_parts_becomes_an_asset(mesh: Running) -> None:
    announced = {"kind": "image", "fileName": "a.png", "fileSize": len(CONTENT), "contentType": "image/png", "parts": 2}
    upload = (await ask(mesh, "POST", "/v1/uploads", announced))["upload"]
    path = f"/v1/uploads/{upload['id']}"
    missing = await ask(mesh, "POST", f"{path}/action", {"action": "complete"}, 400)
    assert "part 1 is missing" in missing["reason"]
    for part, content in zip(upload["parts"], (CONTENT[:50], CONTENT[50:]), strict=True):
        async with mesh.http.put(part["url"], data=content) as response:
            assert response.ok
    done = (await ask(mesh, "POST", f"{path}/action", {"action": "complete"}))["upload"]
    assert done["status"] == "imported"
    assert (await ask(mesh, "GET", path))["upload"]["entityId"] == done["entityId"]
    asset = (await ask(mesh, "GET", f"/v1/assets/{done['entityId']}"))["asset"]
    async with mesh.http.get(asset["url"]) as response:
        assert await response.read() == CONTENT


async def test_an_upload_that_is_no_picture_fails_and_says_why(mesh: Running) -> None:
    announced = {"kind": "image", "fileName": "a.png", "fileSize": 5, "contentType": "image/png", "parts": 1}
    upload = (await ask(mesh, "POST", "/v1/uploads", announced))["upload"]
    async with mesh.http.put(upload["parts"][0]["url"], data=b"hello") as response:
        assert response.ok
    done = (await ask(mesh, "POST", f"/v1/uploads/{upload['id']}/action", {"action": "complete"}))["upload"]
    assert done["status"] == "failed" and done["errorMessage"] and "entityId" not in done


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/assets", {"name": "a.png", "image": PICTURE}),
        ("POST", "/v1/assets/get-bulk", {"assetIds": ["asset_x"]}),
        ("DELETE", "/v1/assets", {"assetIds": ["asset_x"]}),
        ("POST", "/v1/models/get-bulk", {"modelIds": ["demo"]}),
        ("POST", "/v1/generate/controlnet?dryRun=true", BODY),
    ],
)
async def test_no_route_is_silent_about_fields_that_it_does_not_know(
    mesh: Running, method: str, path: str, body: dict[str, Any]
) -> None:
    for more, said in (({}, None), ({"colour": 1}, ["colour was not used; this request has no such field."])):
        async with mesh.http.request(method, path, json=body | more) as response:
            assert response.status in (200, 269), await response.text()
            told = response.headers.get(HEADER)
            assert (json.loads(told) if told else None) == said
