"""Files over HTTP: names, signed links, uploads in parts."""

import base64

import numpy as np
import pytest

from mesh.pictures import MAX_BYTES, Format, encode
from tests.contract.conftest import Running, Start
from tests.rigs.assets import ACCESS_KEY, SECRET_KEY, s3_server

ASSETS = "/controlmesh/v1/assets"
UPLOADS = "/controlmesh/v1/uploads"


def picture(level: int = 0, format: Format = "PNG") -> bytes:
    return encode(np.full((6, 8, 3), level, np.uint8), format)


async def a_result(mesh: Running, content: bytes = b"content") -> str:
    name = mesh.gateway.assets.new_name("png")
    await mesh.gateway.assets.put(name, content, "anybody")
    return name


async def test_a_result_is_read_by_its_name_and_can_do_no_harm(mesh: Running) -> None:
    name = await a_result(mesh, picture())
    assert mesh.gateway.assets.url(mesh.url, name) == f"{mesh.url}{ASSETS}/{name}"
    async with mesh.http.get(f"{ASSETS}/{name}") as answer:
        assert answer.status == 200 and await answer.read() == picture() and answer.content_type == "image/png"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    async with mesh.http.head(f"{ASSETS}/{name}") as answer:
        assert answer.status == 200 and await answer.read() == b""
        assert int(answer.headers["Content-Length"]) == len(picture())
    async with mesh.http.get(f"{ASSETS}/{name}.base64") as answer:
        assert base64.b64decode(await answer.text()) == picture() and answer.content_type == "text/plain"


async def test_what_a_client_keeps_needs_a_signed_link(mesh: Running) -> None:
    kept = await mesh.gateway.assets.keep(picture(1, "WEBP"), "anybody", source="uploaded")
    for suffix in ("", ".base64", "?expires=1900000000&signature=0", "?signature=0", "?expires=x&signature=%00"):
        async with mesh.http.get(f"{ASSETS}/{kept.id}{suffix}") as answer:
            problem = await answer.json(content_type="application/problem+json")
            assert answer.status == problem["status"] == 403
    link = mesh.gateway.assets.url(mesh.url, kept.id).removeprefix(mesh.url)
    async with mesh.http.get(link) as answer:
        assert answer.status == 200 and answer.content_type == "image/webp"
    async with mesh.http.head(link) as answer:
        assert answer.status == 200
    async with mesh.http.get(link.replace("?", ".base64?")) as answer:
        assert base64.b64decode(await answer.text()) == picture(1, "WEBP")
    async with mesh.http.get(f"{ASSETS}/{kept.id.partition('.')[0]}.png?{link.partition('?')[2]}") as answer:
        assert answer.status == 403, "a link is for one name"


async def test_a_deployment_that_signs_refuses_names_alone(start: Start) -> None:
    async with start(asset_urls="signed") as mesh:
        async with mesh.http.post("/controlmesh/v1/generations?wait=30", json={"prompt": "x"}) as answer:
            (made,) = (await answer.json())["images"]
        path, _, query = made["url"].removeprefix(mesh.url).partition("?")
        async with mesh.http.get(path) as answer:
            assert answer.status == 403
        async with mesh.http.get(f"{path}?{query}") as answer:
            assert answer.status == 200 and answer.content_type == "image/png"


async def test_a_bucket_s_own_links_lead_to_the_picture(start: Start) -> None:
    with s3_server() as s3:
        s3.new_bucket("results")
        access = {"storage_access_key": ACCESS_KEY, "storage_secret_key": SECRET_KEY, "storage_allow_http": True}
        async with start(
            storage_url="s3://results/of/jobs", storage_endpoint=s3.url, asset_urls="store", **access
        ) as mesh:
            name = await a_result(mesh, picture())
            assert s3.names("results") == [f"of/jobs/{name}"]
            async with mesh.http.get(f"{ASSETS}/{name}", allow_redirects=False) as answer:
                assert answer.status == 307 and answer.headers["Cache-Control"] == "private, no-store"
                assert answer.headers["Location"].startswith(f"{s3.url}/results/of/jobs/{name}?")
                assert SECRET_KEY not in answer.headers["Location"]
            async with mesh.http.get(f"{ASSETS}/{name}") as answer:
                assert await answer.read() == picture() and answer.content_type == "image/png"
            async with mesh.http.get(f"{ASSETS}/{name}.base64") as answer:
                assert base64.b64decode(await answer.text()) == picture()


async def test_a_finished_job_s_pictures_are_in_its_owner_s_list(mesh: Running) -> None:
    async with mesh.http.post("/controlmesh/v1/generations?wait=30", json={"prompt": "x", "samples": 2}) as answer:
        made = await answer.json()
    page = await mesh.gateway.assets.page("anybody", 10)
    names = {image["url"].rpartition("/")[2] for image in made["images"]}
    assert {record.id for record in page.records} == names and len(names) == 2
    assert {record.job_id for record in page.records} == {made["id"]}
    assert await mesh.gateway.assets.drop([page.records[0].id], "anybody") == 1
    async with mesh.http.get(f"{ASSETS}/{page.records[0].id}") as answer:
        assert answer.status == 404


async def test_parts_of_an_upload_are_put_to_their_links(mesh: Running) -> None:
    content, uploads = picture(2), mesh.gateway.uploads
    upload = await uploads.begin(
        mesh.url, "anybody", kind="image", file_name="a.png", size=len(content), content_type="image/png", parts=2
    )
    for part, piece in zip(upload.parts, (content[:30], content[30:]), strict=True):
        async with mesh.http.put(part.url.removeprefix(mesh.url), data=piece) as answer:
            assert answer.status == 204
    done = await uploads.complete(mesh.url, upload.id, "anybody")
    assert done.record.asset and (await mesh.gateway.assets.get(done.record.asset)).content == content
    async with mesh.http.put(upload.parts[0].url.removeprefix(mesh.url), data=content) as answer:
        assert answer.status == 409


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("{id}/parts/1", 403),
        ("{id}/parts/1?expires=1900000000&signature=0", 403),
        ("{id}/parts/99?{query}", 403),
        ("{id}/parts/0x1?{query}", 404),
        ("{id}/parts/٣?{query}", 404),
        ("{id}/parts/11111111111?{query}", 404),
        ("..%2f..%2fetc/parts/1?{query}", 404),
        ("%00/parts/1?{query}", 403),
    ],
)
async def test_other_links_take_nothing(mesh: Running, path: str, status: int) -> None:
    upload = await mesh.gateway.uploads.begin(
        mesh.url, "anybody", kind="image", file_name="a", size=9, content_type="image/png", parts=1
    )
    query = upload.parts[0].url.partition("?")[2]
    async with mesh.http.put(f"{UPLOADS}/{path.format(id=upload.id, query=query)}", data=b"x") as answer:
        assert answer.status == status and answer.content_type == "application/problem+json"


async def test_a_part_is_read_up_to_a_bound(mesh: Running) -> None:
    upload = await mesh.gateway.uploads.begin(
        mesh.url, "anybody", kind="image", file_name="a", size=9, content_type="image/png", parts=1
    )
    for content, status in ((bytes(MAX_BYTES), 413), (bytes(10), 413), (b"", 422)):
        async with mesh.http.put(upload.parts[0].url.removeprefix(mesh.url), data=content) as answer:
            assert answer.status == status
