"""The Scenario dialect against the whole mesh: the guide's programs, pictures that obey."""

import base64
import time
from typing import Any

import numpy as np
import pytest
import requests

from local.demo import source_picture
from local.supervision import LocalMesh
from mesh.pictures import Pixels, decode
from tests.rigs.scenario_client import POLLED, SUBMITTED, shaped

AUTH = ("YOUR_API_KEY", "YOUR_API_SECRET")
PROMPT = "a red star on a green background"
SMALL = {"modelId": "demo", "width": 128, "height": 128, "numInferenceSteps": 10, "guidance": 3, "scheduler": "DDIM"}


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def ask(mesh: LocalMesh, method: str, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    """The answer as JSON."""
    answer = requests.request(method, mesh.url + path, json=body, auth=AUTH, timeout=120)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ended(mesh: LocalMesh, answer: dict[str, Any]) -> dict[str, Any]:
    """The poll of a job after its end, as the guide's program has it, only quicker."""
    path = f"/v1/jobs/{answer['job']['jobId']}"
    status = answer["job"]["status"]
    while status not in ("success", "failure", "canceled"):
        time.sleep(0.1)
        answer = ask(mesh, "GET", path)
        status = answer["job"]["status"]
    return ask(mesh, "GET", path)


def pictures(mesh: LocalMesh, path: str, **body: Any) -> list[Pixels]:
    """What a request makes, got by the assets' URLs without a key."""
    answer = ask(mesh, "POST", f"/v1/generate/{path}", {"prompt": PROMPT, **SMALL, **body})
    shaped(answer, SUBMITTED)
    done = ended(mesh, answer)
    assert done["job"]["status"] == "success", done
    shaped(done, POLLED)
    found = []
    for id in done["job"]["metadata"]["assetIds"]:
        asset = ask(mesh, "GET", f"/v1/assets/{id}")["asset"]
        file = requests.get(asset["url"], timeout=30)
        assert (file.status_code, file.headers["content-type"]) == (200, "image/png")
        found.append(decode(file.content))
    return found


@pytest.fixture(scope="module")
def asset(mesh: LocalMesh) -> str:
    """Id of an uploaded picture."""
    sent = {"name": "kept.png", "image": base64.b64encode(source_picture()).decode()}
    return str(ask(mesh, "POST", "/v1/assets", sent)["asset"]["id"])


def test_the_guide_s_program_gets_an_obedient_picture(mesh: LocalMesh) -> None:
    (pixels,) = pictures(mesh, "controlnet", controlImage=data_url(source_picture()), modality="canny", seed=7)
    assert pixels.shape == (128, 128, 3)
    corner, middle = pixels[4:16, 4:16].mean((0, 1)), pixels[56:72, 56:72].mean((0, 1))
    assert corner.argmax() == 1, "the background is green"
    assert middle.argmax() == 0, "the star is red"


def test_the_same_seed_is_the_same_picture_as_of_the_native_api(mesh: LocalMesh) -> None:
    content = source_picture()
    first, second = pictures(
        mesh, "controlnet", controlImage=data_url(content), modality="canny:0.5", seed="7", numSamples=2
    )
    for seed, theirs in ((7, first), (8, second)):
        body = {
            "prompt": PROMPT,
            "controls": [{"kind": "canny", "image": base64.b64encode(content).decode(), "weight": 0.5}],
            "seed": seed,
            "width": 128,
            "height": 128,
            "steps": 10,
            "guidance_scale": 3,
            "scheduler": "DDIMScheduler",
        }
        record = ask(mesh, "POST", "/controlmesh/v1/generations?wait=60", body)
        ours = decode(requests.get(record["images"][0]["url"], timeout=30).content)
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_a_map_alone_steers_like_the_picture_that_it_was_made_of(mesh: LocalMesh, asset: str) -> None:
    answer = ask(mesh, "POST", "/v1/generate/detect", {"image": asset, "modality": "canny"})
    (hint,) = ended(mesh, answer)["job"]["metadata"]["assetIds"]
    steered = {"modality": "canny", "seed": 3}
    (by_map,) = pictures(mesh, "controlnet", controlImage=hint, disableModalityDetection=True, **steered)
    (by_photo,) = pictures(mesh, "controlnet", controlImageId=asset, **steered)
    (unsteered,) = pictures(mesh, "txt2img", seed=3)
    near = np.abs(by_map.astype(int) - by_photo).mean()
    assert near < 0.5 * np.abs(unsteered.astype(int) - by_photo).mean()


def test_a_small_strength_stays_near_the_start(mesh: LocalMesh, asset: str) -> None:
    start = decode(source_picture()).astype(int)

    def away(strength: float) -> float:
        (made,) = pictures(mesh, "img2img", image=asset, strength=strength, seed=5, prompt="a blue ring on black")
        return float(np.abs(made - start).mean())

    assert away(0.2) < 0.5 * away(1)


def test_a_job_that_is_cancelled_has_no_pictures(mesh: LocalMesh) -> None:
    body = {"prompt": PROMPT, **SMALL, "numInferenceSteps": 150, "width": 512, "height": 512}
    answer = ask(mesh, "POST", "/v1/generate/txt2img", body)
    path = f"/v1/jobs/{answer['job']['jobId']}"
    job = ask(mesh, "POST", f"{path}/action", {"action": "cancel"})["job"]
    assert (job["status"], job["metadata"]["assetIds"]) == ("canceled", [])
