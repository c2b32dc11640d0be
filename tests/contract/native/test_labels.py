"""Files are kept by what their bytes are, whatever their label says; JSON under another label is still JSON."""

import io

import orjson
import pytest
from aiohttp import FormData
from PIL import Image

from tests.contract.conftest import Running, Start
from tests.rigs.pairs import FILLED, PNG

ASSETS = "/controlmesh/v1/assets"


def _jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG")
    return out.getvalue()


JPEG = _jpeg()
LABELS = ["image/jpeg", "image/jpg", "image/pjpeg", "IMAGE/JPG; q=1", "image/png", "application/octet-stream",
          "text/plain", "application/json", "application/x-www-form-urlencoded", None]  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
async def test_an_asset_is_kept_by_its_bytes(shared: Running, label: str | None) -> None:
    headers = {"Content-Type": label} if label else {}
    skip = () if label else ("Content-Type",)
    async with shared.http.post(ASSETS, data=JPEG, headers=headers, skip_auto_headers=skip) as answer:
        body = await answer.json()
        assert (answer.status, body["media_type"]) == (201, "image/jpeg"), body


async def test_json_is_read_under_every_label_where_keys_are_asked_for(start: Start) -> None:
    sent, key = orjson.dumps({"image": FILLED["$picture"], "name": "a"}), "k" * 32
    async with start(api_keys=(key,)) as mesh:
        for label in ("application/json", "text/plain", "application/x-www-form-urlencoded", None):
            headers = {"Authorization": f"Bearer {key}", **({"Content-Type": label} if label else {})}
            skip = () if label else ("Content-Type",)
            async with mesh.http.post(ASSETS, data=sent, headers=headers, skip_auto_headers=skip) as answer:
                assert (answer.status, (await answer.json())["name"]) == (201, "a")


@pytest.mark.parametrize(
    ("label", "content", "status", "said"),
    [
        ("image/gif", b"GIF89a" + bytes(20), 422, "cannot identify image file in image"),
        ("application/octet-stream", bytes(20), 422, "cannot identify image file in image"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\n",
            400,
            "with the Content-Type 'multipart/form-data': send the file's",
        ),
        ("application/x-www-form-urlencoded", b"file=@scene.png", 400, "forms are not taken here"),
        ("application/x-www-form-urlencoded", b"GIF89a" + bytes(20), 422, "cannot identify image file in image"),
        ("multipart/form-data; boundary=x", b"GIF89a" + bytes(20), 422, "cannot identify image file in image"),
        ("application/json", b"[1]", 400, "must be a JSON object"),
        ("application/json", b'{\n"a": oops}', 400, "not valid JSON at line 2, column 6"),
        ("application/json", b"", 400, "not valid JSON: it is empty"),
        ("text/plain", b"{oops", 400, "with the Content-Type 'text/plain': send a JSON object as application/json"),
        ("image/png", b"", 422, "image is empty"),
    ],
)
async def test_what_is_neither_is_named(shared: Running, label: str, content: bytes, status: int, said: str) -> None:
    async with shared.http.post(ASSETS, data=content, headers={"Content-Type": label}) as answer:
        assert answer.status == status
        assert said in (await answer.json())["detail"]


async def test_a_form_with_a_file_is_told_how_to_send_it(shared: Running) -> None:
    form = FormData()
    form.add_field("file", JPEG, filename="scene.jpg", content_type="image/jpeg")
    async with shared.http.post(ASSETS, data=form) as answer:
        said = (await answer.json())["detail"]
    assert answer.status == 400
    assert "forms are not taken here" in said and "--data-binary @FILE" in said and "application/json" in said


@pytest.mark.parametrize("label", ["image/jpg", "application/octet-stream", "image/png", "text/plain"])
async def test_the_endpoint_takes_a_picture_by_its_bytes(shared: Running, label: str) -> None:
    async with shared.http.post(
        "/?prompt=a+boat&controlnet_type=canny_edge&num_inference_steps=2.0&seed=7e0",
        data=PNG,
        headers={"Content-Type": label, "Accept": "image/png"},
    ) as answer:
        assert (answer.status, answer.content_type) == (200, "image/png"), await answer.text()


@pytest.mark.parametrize(
    ("label", "taken"),
    [("image/jpg", True), ("application/octet-stream", True), ("image/png", False), ("image/gif", False)],
)
async def test_an_announced_upload_may_be_labelled_loosely(shared: Running, label: str, taken: bool) -> None:
    announced = {"kind": "image", "fileName": "a", "fileSize": float(len(JPEG)), "contentType": label, "parts": 1.0}
    async with shared.http.post("/v1/uploads", json=announced) as answer:
        upload = (await answer.json()).get("upload")
    if upload is None:
        assert not taken
        return
    async with shared.http.put(upload["parts"][0]["url"], data=JPEG) as answer:
        assert answer.ok
    async with shared.http.post(f"/v1/uploads/{upload['id']}/action", json={"action": "complete"}) as answer:
        body = await answer.json()
    assert ("entityId" in body.get("upload", {})) == taken, body
