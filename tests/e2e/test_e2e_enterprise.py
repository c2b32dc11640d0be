"""The vendor's documented programs against the whole mesh, with another base URL and nothing else changed."""

import base64
import json
import subprocess
from typing import Any

import pytest
import requests

from local.demo import source_picture
from local.supervision import LocalMesh
from mesh.pictures import decode
from tests.rigs.mesh import served

E = "/api/v1/enterprise"
SMALL = {"model_id": "demo", "prompt": "a red star on a green background", "width": "128", "height": "128",
         "samples": "1", "num_inference_steps": "10", "guidance_scale": 3, "seed": 7}  # fmt: skip


def post(mesh: LocalMesh, path: str, **fields: Any) -> Any:
    """As the documented Python programs send: JSON as text, and the type in a header."""
    payload = json.dumps({"key": "enterprise_api_key", **fields})
    headers = {"Content-Type": "application/json"}
    response = requests.request("POST", mesh.url + path, headers=headers, data=payload, timeout=120)
    assert response.status_code == 200, response.text
    return response.json()


def waited(body: dict[str, Any]) -> dict[str, Any]:
    """The answer once it is ready, asked for as documented."""
    url = str(body.get("fetch_result"))
    while body["status"] == "processing":
        body = requests.post(url, json={"key": "enterprise_api_key"}, timeout=120).json()
    assert body["status"] == "success", body
    return body


def shape(link: str) -> tuple[int, ...]:
    return decode(requests.get(link, timeout=30).content).shape


@pytest.mark.parametrize("path", [f"{E}/controlnet", "/api/v5/controlnet", "/api/v6/images/controlnet"])
def test_a_controlled_picture_at_every_version_s_path(mesh: LocalMesh, path: str) -> None:
    with served({"init.png": source_picture()}) as pictures:
        control = {"controlnet_model": "canny", "controlnet_type": "canny", "auto_hint": "yes"}
        body = waited(post(mesh, path, **SMALL, **control, init_image=f"{pictures}/init.png"))
    assert shape(body["output"][0]) == (128, 128, 3)


def test_what_one_version_began_another_one_s_path_finishes(mesh: LocalMesh) -> None:
    body = post(mesh, "/api/v6/images/text2img", **SMALL, instant_response="yes", track_id=12)
    assert (body["status"], body["output"], body["track_id"]) == ("processing", [], 12)
    for path in (f"{E}/fetch", "/api/v4/dreambooth/fetch"):
        state = post(mesh, path, request_id=body["id"])
        while state["status"] == "processing":
            state = post(mesh, path, request_id=str(body["id"]))
        assert state["status"] == "success" and state["output"] == body["future_links"]


def test_an_uploaded_picture_is_changed_repainted_and_deleted(mesh: LocalMesh) -> None:
    encoded = base64.b64encode(source_picture()).decode()
    kept = post(mesh, f"{E}/upload_image", base64_image=encoded, image_type="png")
    changed = waited(post(mesh, f"{E}/img2img", **SMALL, init_image=kept["image_url"], strength=0.7))
    assert shape(changed["output"][0]) == (128, 128, 3)
    repainted = waited(post(mesh, f"{E}/inpaint", **SMALL, init_image=kept["image_url"], mask_image=kept["image_url"]))
    assert shape(repainted["output"][0]) == (128, 128, 3)
    found = waited(post(mesh, f"{E}/text2img", **SMALL))
    assert post(mesh, "/api/v3/delete_image", request_id=found["id"], type="image")["messege"] == "image deleted"
    assert requests.get(found["output"][0], timeout=30).status_code == 404


def test_the_server_tells_of_itself(mesh: LocalMesh) -> None:
    assert post(mesh, f"{E}/system_details")["model_count"] >= 1
    assert "demo" in [model["model_id"] for model in post(mesh, f"{E}/get_all_models")["models"]]
    assert post(mesh, f"{E}/verify_model", model_id="demo") == {
        "status": "success",
        "message": "Model exists on server",
    }
    assert len(post(mesh, f"{E}/schedulers_list")["schedulers"]) >= 17
    video = post(mesh, f"{E}/text2video", model_id="x", prompt="a boat")
    assert (video["status"], video["message"]) == ("error", "text2video is not enabled on this server")


def test_the_documented_curl_line(mesh: LocalMesh) -> None:
    """It names no content type, so that curl calls the JSON a form."""
    line = ["curl", "--silent", "--request", "POST", f"{mesh.url}{E}/text2img", "--data-raw", json.dumps(SMALL)]
    body = waited(json.loads(subprocess.run(line, check=True, capture_output=True, timeout=120).stdout))
    assert body["meta"]["seed"] == 7 if "meta" in body else body["output"]
