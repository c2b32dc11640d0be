"""Programs as the vendors' readers write them, against the whole mesh."""

import base64
import io
import json

import httpx2
import numpy as np
import pytest
import requests
from PIL import Image

from demo.judge import edge_f1
from local.demo import CANNY, source_picture
from local.supervision import LocalMesh
from mesh.pictures import Pixels, decode, encode
from tests.rigs.enterprise_client import SAMPLE
from tests.rigs.hints import make_hint
from tests.rigs.mesh import picture, served

PROMPT = "a red star on a green background"


def predict(
    url: str, prompt: str, picture: bytes, negative_prompt: str | None = None, controlnet_type: str = "normal"
) -> requests.Response:
    """A Hugging Face endpoint's client: the documented fields and headers, nothing else."""
    return requests.post(
        url,
        headers={"Authorization": "Bearer hf_x", "Content-Type": "application/json", "Accept": "image/png"},
        json={
            "inputs": prompt,
            "image": base64.b64encode(picture).decode("utf-8"),
            "negative_prompt": negative_prompt,
            "controlnet_type": controlnet_type,
        },
        timeout=120,
    )


@pytest.mark.parametrize("path", ["", "/", "/predict", "/hf/controlnet"])
def test_a_hugging_face_client_gets_an_obedient_picture(mesh: LocalMesh, path: str) -> None:
    answer = predict(
        mesh.url + path, PROMPT, source_picture(), "lowres, bad anatomy, worst quality", controlnet_type="canny_edge"
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (128, 128)
    pixels = np.asarray(picture.convert("RGB"))
    corner, middle = pixels[4:16, 4:16].mean((0, 1)), pixels[56:72, 56:72].mean((0, 1))
    assert corner.argmax() == 1, "the background is green"
    assert middle.argmax() == 0, "the star is red"
    hint = make_hint("canny", source_picture(), True, CANNY, (128, 128))[..., 0]
    found = make_hint("canny", answer.content, True, CANNY, (128, 128))[..., 0]
    unrelated = np.roll(hint[::-1], 40, axis=0)
    assert edge_f1(hint, found) > edge_f1(unrelated, found) + 0.15


def test_the_documented_example_names_what_is_missing(mesh: LocalMesh) -> None:
    """Its control type needs an annotator that the demo doesn't have: 400 and a sentence that can be printed."""
    answer = predict(mesh.url, PROMPT, source_picture(), controlnet_type="hed")
    assert answer.status_code == 400
    assert "canny" in json.loads(answer.text)["error"]


def enterprise_body(init_image: str, **changes: object) -> dict[str, object]:
    """The enterprise endpoint's sample body with a picture of ours."""
    return {**SAMPLE, "init_image": init_image, **changes}


def post_enterprise(mesh: LocalMesh, body: dict[str, object]) -> dict[str, object]:
    """As the documented Python program: the JSON as text in the body."""
    url = f"{mesh.url}/api/v1/enterprise/controlnet"
    headers = {"Content-Type": "application/json"}
    answer = requests.request("POST", url, headers=headers, data=json.dumps(body), timeout=120)
    assert answer.status_code == 200, answer.text
    loaded: dict[str, object] = json.loads(answer.text)
    return loaded


def finished(mesh: LocalMesh, answer: dict[str, object]) -> dict[str, object]:
    """The answer when the work is done, polled as documented where it took longer than the server holds requests."""
    while answer["status"] == "processing":
        fetch = requests.post(str(answer["fetch_result"]), json={"key": "x"}, timeout=120)
        answer = {**answer, **fetch.json()}
    return answer


def test_the_enterprise_sample_body_gives_a_picture(mesh: LocalMesh) -> None:
    with served({"init.png": source_picture()}) as pictures:
        answer = finished(mesh, post_enterprise(mesh, enterprise_body(f"{pictures}/init.png")))
    assert answer["status"] == "success", answer
    assert isinstance(answer["id"], int)
    meta = answer["meta"]
    assert isinstance(meta, dict)
    assert (meta["W"], meta["H"], meta["n_samples"], meta["steps"]) == (512, 512, 1, 30)
    assert meta["controlnet_model"] == "canny"
    assert isinstance(meta["seed"], int)
    (url,) = answer["output"]  # type: ignore[misc]
    assert decode(requests.get(url, timeout=30).content).shape == (512, 512, 3)


def test_the_same_seed_is_the_same_picture_in_every_dialect(mesh: LocalMesh) -> None:
    settings = {"seed": 7, "samples": "2", "width": "128", "height": "128", "num_inference_steps": "10"}
    with served({"init.png": source_picture()}) as pictures:
        body = enterprise_body(f"{pictures}/init.png", **settings, prompt=PROMPT, enhance_prompt="no", guidance_scale=3)
        answer = finished(mesh, post_enterprise(mesh, body))
    assert answer["status"] == "success", answer
    first, second = (decode(requests.get(url, timeout=30).content) for url in answer["output"])  # type: ignore[attr-defined]
    control = {"kind": "canny", "image": base64.b64encode(source_picture()).decode(), "auto_hint": True}
    with httpx2.Client(base_url=mesh.url, timeout=60) as client:
        for seed, theirs in ((7, first), (8, second)):
            record = client.post(
                "/controlmesh/v1/generations?wait=60",
                json={
                    "prompt": PROMPT,
                    "controls": [control],
                    "seed": seed,
                    "width": 128,
                    "height": 128,
                    "steps": 10,
                    "guidance_scale": 3,
                    "scheduler": "UniPCMultistepScheduler",
                    # The enterprise dialect's default.
                    "use_karras_sigmas": True,
                },
            ).json()
            ours = decode(client.get(record["images"][0]["url"]).content)
            assert np.abs(ours.astype(int) - theirs).max() <= 1


def half(side: int = 128) -> bytes:
    """A mask whose right half is to be repainted."""
    mask = np.zeros((side, side, 3), np.uint8)
    mask[:, side // 2 :] = 255
    return encode(mask)


SOURCE, MASK = (base64.b64encode(content).decode() for content in (source_picture(), half()))
# What differs between the dialects: native, enterprise, Hugging Face.
FEATURES: dict[str, tuple[dict[str, object], dict[str, object], dict[str, object]]] = {
    "guess mode": (
        {"prompt": "", "guess_mode": True},
        {"prompt": "", "guess_mode": "yes"},
        {"inputs": "", "guess_mode": True},
    ),
    "image-to-image": (
        {"image": SOURCE, "strength": 0.6},
        {"control_image": SOURCE, "strength": "0.6"},
        {"control_image": SOURCE, "strength": 0.6},
    ),
    "inpainting": (
        {"image": SOURCE, "mask": MASK, "strength": 0.9},
        {"mask_image": MASK, "strength": 0.9},
        {"control_image": SOURCE, "mask_image": MASK, "strength": 0.9},
    ),
}


def native(mesh: LocalMesh, **changes: object) -> Pixels:
    """A picture of the native API, steered by the edges of the source."""
    control = {"kind": "canny", "image": SOURCE}
    request = {"prompt": PROMPT, "controls": [control], "seed": 7, "width": 128, "height": 128, "steps": 10}
    with httpx2.Client(base_url=mesh.url, timeout=120) as client:
        return picture(client, {**request, "guidance_scale": 3, "scheduler": "DDIMScheduler", **changes})


def enterprise(mesh: LocalMesh, **changes: object) -> tuple[Pixels, dict[str, object]]:
    """The same of the enterprise dialect, and the answer."""
    settings = {"seed": 7, "width": "128", "height": "128", "num_inference_steps": "10", "scheduler": "DDIM"}
    words = {"prompt": PROMPT, "enhance_prompt": "no", "guidance_scale": 3}
    answer = finished(mesh, post_enterprise(mesh, enterprise_body(SOURCE, **{**settings, **words, **changes})))
    assert answer["status"] == "success", answer
    (url,) = answer["output"]  # type: ignore[misc]
    return decode(requests.get(url, timeout=30).content), answer


def hugging_face(mesh: LocalMesh, **changes: object) -> Pixels:
    """The same of the Hugging Face dialect."""
    settings = {"seed": 7, "width": 128, "height": 128, "num_inference_steps": 10, "scheduler": "ddim"}
    body = {"inputs": PROMPT, "image": SOURCE, "controlnet_type": "canny_edge", "guidance_scale": 3, **settings}
    answer = requests.post(mesh.url, headers={"Accept": "image/png"}, json={**body, **changes}, timeout=120)
    assert answer.status_code == 200, answer.text
    return decode(answer.content)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_gives_the_same_picture_in_every_dialect(mesh: LocalMesh, feature: str) -> None:
    ours, theirs, others = FEATURES[feature]
    made = native(mesh, **ours).astype(int)
    assert np.abs(made - enterprise(mesh, **theirs)[0]).max() <= 1
    assert np.abs(made - hugging_face(mesh, **others)).max() <= 1
    assert np.abs(made - native(mesh)).max() > 20, "the feature does something"


def test_a_small_strength_stays_near_the_start(mesh: LocalMesh) -> None:
    start = decode(source_picture()).astype(int)

    def away(strength: float) -> float:
        made, _ = enterprise(mesh, control_image=SOURCE, strength=strength, prompt="a blue ring on a black background")
        return float(np.abs(made - start).mean())

    assert away(0.2) < 0.5 * away(1)


def test_only_the_masked_half_is_repainted(mesh: LocalMesh) -> None:
    made, answer = enterprise(mesh, mask_image=MASK, strength=1, prompt="a blue ring on a black background")
    apart = np.abs(made.astype(int) - decode(source_picture())).mean(-1)
    # The edge of a latent cell's reach belongs to neither half.
    kept, repainted = apart[:, :56], apart[:, 72:]
    assert kept.mean() < 0.3 * repainted.mean()
    assert "tip" not in answer


def test_what_was_done_is_told(mesh: LocalMesh) -> None:
    _, answer = enterprise(mesh, use_karras_sigmas="yes", enhance_prompt="yes", enhance_style="anime")
    meta = answer["meta"]
    assert isinstance(meta, dict)
    assert (meta["scheduler"], meta["use_karras_sigmas"]) == ("DDIMScheduler", "no")
    assert PROMPT in meta["prompt"] and len(meta["prompt"]) > len(PROMPT)
    assert (meta["enhance_prompt"], meta["enhance_style"]) == ("yes", "anime")
    assert "DDIMScheduler" in str(answer["tip"]) and "use_karras_sigmas" in str(answer["tip"])


def test_a_missing_picture_is_told_in_the_dialect_s_shape(mesh: LocalMesh) -> None:
    with served({}) as pictures:
        answer = post_enterprise(mesh, enterprise_body(f"{pictures}/init.png"))
    assert answer["status"] == "error"
    assert "init_image" in str(answer["message"])
