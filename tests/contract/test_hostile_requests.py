"""Whatever a client sends, every dialect answers it in its own shape, and never with a fault of ours."""

import base64
import json
import random
from typing import Any

import numpy as np
import pytest

from mesh.pictures import encode
from tests.contract.conftest import Running
from tests.rigs.jobs import eventually

PICTURE = base64.b64encode(encode(np.zeros((64, 64, 3), np.uint8))).decode()
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**63,
    2**64,
    10**30,
    0.5,
    -0.0,
    1e308,
    "",
    " ",
    "null",
    "yes",
    "YES",
    "no",
    "31.0",
    "NaN",
    "Infinity",
    "1e999",
    "-5",
    "abc",
    "\0",
    "\u202e",
    "é" * 100,
    "x" * 20_000,
    "../../x",
    "%00",
    "\ufdd0",
    [],
    [None],
    ["canny"],
    [[[]]],
    {},
    {"a": {"a": 1}},
    PICTURE,
    PICTURE[:-5],
    "data:image/png;base64,",
    "data:,",
    "http://",
    "http://[",
    "http://127.0.0.1:1/",
    "file:///etc/passwd",
    "canny",
    "canny,depth",
    ",,,",
    "demo",
    "DDIMScheduler",
    64,
    512,
    "512",
    7.5,
]
REQUESTS = {
    "/controlmesh/v1/generations": {
        "prompt": "a boat",
        "controls": [{"kind": "inpaint", "image": PICTURE, "mask": PICTURE}],
        "steps": 1,
        "width": 64,
        "height": 64,
        "seed": 1,
        "guidance_scale": 2,
        "samples": 1,
        "format": "png",
        "model": "demo",
        "scheduler": "DDIMScheduler",
        "negative_prompt": "",
        "clip_skip": 0,
        "image": PICTURE,
        "mask": PICTURE,
        "strength": 0.5,
        "guess_mode": False,
        "use_karras_sigmas": None,
        "algorithm_type": "dpmsolver++",
        "prompt_weighting": True,
        "enhance_prompt": False,
        "enhance_style": "comic",
        "preview_every": 1,
        "keep_unmasked": True,
        "true_guidance_scale": 2,
        "priority": 5,
        "deadline_s": 60,
        "webhook": None,
    },
    "/": {
        "inputs": "a boat",
        "image": PICTURE,
        "controlnet_type": "canny_edge",
        "num_inference_steps": 1,
        "width": 64,
        "height": 64,
        "seed": 1,
        "guidance_scale": 2,
        "controlnet_conditioning_scale": 1,
        "negative_prompt": None,
        "parameters": {},
        "target_size": {"width": 64},
        "scheduler": None,
        "prompt": None,
    },
    "/api/v7/images/controlnet": {
        "key": "k",
        "prompt": "a boat",
        "init_image": PICTURE,
        "controlnet_model": "canny",
        "controlnet_type": "canny",
        "width": 64,
        "height": 64,
        "num_inference_steps": 1,
        "seed": 1,
        "guidance_scale": 2,
        "samples": 1,
        "model_id": "demo",
        "controlnet_conditioning_scale": "1",
        "auto_hint": "yes",
        "control_image": None,
        "mask_image": None,
        "upscale": "no",
        "strength": 0.5,
        "track_id": None,
        "base64": "no",
        "clip_skip": 1,
        "lora_model": None,
        "lora_strength": None,
        "vae": None,
        "enhance_style": None,
        "ip_adapter_scale": None,
        "instant_response": "no",
        "algorithm_type": None,
    },
}
ERROR_KEYS = {
    "/controlmesh/v1/generations": {"type", "title", "status", "detail"},
    "/": {"error"},
    "/api/v7/images/controlnet": {"status", "message", "messege"},
}


def spoiled(rng: random.Random, body: Any) -> Any:
    """`body` with one value somewhere in it replaced, removed or added."""
    if not isinstance(body, dict) or not body:
        return rng.choice(VALUES)
    changed = dict(body)
    name = rng.choice(list(changed))
    value = changed[name]
    if isinstance(value, list) and value and rng.random() < 0.7:
        changed[name] = [spoiled(rng, value[0])]
    elif isinstance(value, dict) and value and rng.random() < 0.5:
        changed[name] = spoiled(rng, value)
    elif rng.random() < 0.1:
        del changed[name]
    elif rng.random() < 0.1:
        changed[rng.choice(["\0", "x" * 1000, "weight", "parameters"])] = rng.choice(VALUES)
    else:
        changed[name] = rng.choice(VALUES)
    return changed


@pytest.mark.parametrize("path", REQUESTS)
async def test_no_spoiled_request_is_a_fault_of_ours(mesh: Running, path: str) -> None:
    rng = random.Random(7)
    refused = 0
    for _ in range(400):
        body = REQUESTS[path]
        for _ in range(rng.randint(1, 3)):
            body = spoiled(rng, body)
        try:
            request = mesh.http.post(path, json=body)
        except ValueError:
            continue
        async with request as response:
            assert response.status in (200, 400, 422), (body, await response.text())
            if response.status != 200:
                refused += 1
                answer = await response.json(content_type=None)
                assert ERROR_KEYS[path] <= set(answer), (body, answer)
                text = await response.text()
                assert (
                    len(text) < 2000
                    and "Traceback" not in text
                    and "/etc" not in text.replace("file:///etc/passwd", "")
                )
    assert refused > 100

    async def idle() -> bool:
        return await mesh.gateway.jobs.load() == (0, 0)

    # How many are pending is counted at each look at the records.
    await eventually(idle)


# What stands for a number and for words in each request, and JSON (or none) to put there.
NUMBERS = {
    "/controlmesh/v1/generations": ("steps", "samples", "guidance_scale", "seed", "priority", "deadline_s"),
    "/": ("num_inference_steps", "guidance_scale", "controlnet_conditioning_scale", "seed"),
    "/api/v7/images/controlnet": ("num_inference_steps", "samples", "guidance_scale", "seed"),
}
WORDS = {"/controlmesh/v1/generations": "prompt", "/": "inputs", "/api/v7/images/controlnet": "prompt"}
NUMBER_TOKENS = (
    b"1000000000", b"-1", b"NaN", b"Infinity", b"-Infinity", b"1e308", b"-1e308", b"1e999", b"1e-999", b"31.0", b"true",
    b'"yes"', b'"NaN"', b'"1e999"', b"0x10", b"1_000", b"01", b"9" * 5000, b"0." + b"9" * 5000, b"-0",
)  # fmt: skip
WORD_TOKENS = (
    b'"' + b"x" * 1_000_000 + b'"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', b'"\xff"',
    b'"\\u0000"', b'"\0"', b"'x'",
    b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
)  # fmt: skip
BODIES = (
    b"", b"\0", b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}", b"{}{}", b"[]", b"null", b"7", b'"{}"', b"{" * 100_000,
    b"[" * 100_000, b'{"a":' * 100_000, b'{"a"', b"{'a': 1}", b'{"\\ud800": 1}', b'{"a": 1,}',
)  # fmt: skip


def written(body: dict[str, Any], name: str, token: bytes) -> bytes:
    """`body` as JSON with `token` as the value of `name`, as it is."""
    return json.dumps({**body, name: "TOKEN"}).encode().replace(b'"TOKEN"', token)


@pytest.mark.parametrize("path", REQUESTS)
async def test_no_bytes_are_a_fault_of_ours(mesh: Running, path: str) -> None:
    plain = REQUESTS[path]
    sent = [written(plain, name, token) for name in NUMBERS[path] for token in NUMBER_TOKENS]
    sent += [written(plain, WORDS[path], token) for token in WORD_TOKENS]
    for body in (*sent, *BODIES):
        async with mesh.http.post(path, data=body, headers={"Content-Type": "application/json"}) as response:
            text = await response.text()
            assert response.status in (200, 400, 422), (body[:200], text)
            if response.status != 200:
                assert ERROR_KEYS[path] <= set(json.loads(text)) and len(text) < 2000, body[:200]
    for body in BODIES:
        async with mesh.http.post(path, data=body, headers={"Content-Type": "application/json"}) as response:
            assert response.status != 200, body[:200]


async def test_of_names_that_are_repeated_the_last_one_counts(mesh: Running) -> None:
    for body, status in ((b'{"prompt": "x", "steps": 1, "steps": 0}', 422), (b'{"prompt": 7, "prompt": "x"}', 200)):
        async with mesh.http.post("/controlmesh/v1/generations", data=body) as response:
            assert response.status == status
