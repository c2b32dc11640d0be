"""A client of the enterprise dialect: the documented sample, the shapes of its answers, asking and polling."""

import base64
from typing import Any

import numpy as np

from controlmesh.v1 import preprocess_pb2, unet_pb2, vae_pb2
from mesh.pictures import encode
from tests.contract.conftest import Running

PATH = "/api/v1/enterprise/controlnet"
CONTENT = encode(np.zeros((64, 96, 3), np.uint8))
PICTURE = base64.b64encode(CONTENT).decode()
# The fields of the documented sample, with their odd types.
SAMPLE: dict[str, Any] = {
    "key": "enterprise_api_key",
    "controlnet_model": "canny",
    "controlnet_type": "canny",
    "model_id": "midjourney",
    "auto_hint": "yes",
    "guess_mode": "no",
    "prompt": "a model doing photoshoot",
    "negative_prompt": None,
    "init_image": PICTURE,
    "mask_image": None,
    "width": "512",
    "height": "512",
    "samples": "1",
    "scheduler": "UniPCMultistepScheduler",
    "num_inference_steps": "30",
    "safety_checker": "no",
    "enhance_prompt": "yes",
    "guidance_scale": 7.5,
    "strength": 0.55,
    "seed": None,
    "webhook": None,
    "track_id": None,
}


def _grey(level: int) -> bytes:
    return encode(np.full((64, 64, 3), level, np.uint8))


# Four pictures that can be told apart, and how they are sent.
INIT, CONTROL, OTHER, MASK = _grey(10), _grey(20), _grey(30), _grey(255)
SENT = {content: base64.b64encode(content).decode() for content in (INIT, CONTROL, OTHER, MASK)}
# Asks for as little as can be.
SILENT: dict[str, Any] = {
    "model_id": "demo",
    "enhance_prompt": None,
    "scheduler": None,
    "strength": None,
    "num_inference_steps": 10,
}
ALIASES = {"model_aliases": ("midjourney=demo",)}
SUCCESS = {
    "status": str, "generationTime": float, "id": int, "output": list, "proxy_links": list, "future_links": list,
    "webhook_status": str, "meta": dict,
}  # fmt: skip
META = {
    "prompt": str, "model_id": str, "controlnet_model": str, "controlnet_type": str, "negative_prompt": str,
    "scheduler": str, "safetychecker": str, "safety_checker": str, "safety_checker_type": str, "auto_hint": str,
    "guess_mode": str, "strength": float, "W": int, "H": int, "guidance_scale": float,
    "controlnet_conditioning_scale": str, "seed": int, "multi_lingual": str, "use_karras_sigmas": str,
    "algorithm_type": str, "tomesd": str, "instant_response": str, "init_image": str, "mask_image": type(None),
    "control_image": type(None), "vae": type(None), "steps": int, "full_url": str, "upscale": str, "n_samples": int,
    "ip_adapter_id": type(None), "ip_adapter_scale": float, "ip_adapter_image": type(None), "enhance_prompt": str,
    "enhance_style": type(None), "embeddings": type(None), "lora": type(None), "lora_strength": int, "watermark": str,
    "temp": str, "base64": str, "clip_skip": int, "outdir": str, "file_prefix": str,
}  # fmt: skip
PROCESSING = {
    "status": str, "tip": str, "tip_1": str, "eta": (int, float), "messege": str, "message": str, "webhook_status": str,
    "fetch_result": str, "id": int, "output": str, "future_links": list, "meta": dict,
}  # fmt: skip

NOT_READY = {
    "status": str, "id": int, "eta": (int, float), "messege": str, "message": str, "output": str, "tip": str,
}  # fmt: skip


def shaped(body: dict[str, Any], shape: dict[str, Any]) -> None:
    """`body` has exactly the keys of `shape`, each of its type; a bool is no int."""
    assert set(body) == set(shape)
    for name, kind in shape.items():
        assert isinstance(body[name], kind) and not isinstance(body[name], bool), (name, body[name])


async def ask(mesh: Running, path: str = PATH, status: int = 200, **change: Any) -> dict[str, Any]:
    async with mesh.http.post(path, json={**SAMPLE, **change}) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"
        body: dict[str, Any] = await response.json()
        return body


async def poll(mesh: Running, body: dict[str, Any]) -> dict[str, Any]:
    """The answer of the place that `body` names for asking again."""
    async with mesh.http.post(body["fetch_result"], json={"key": "k"}) as response:
        polled: dict[str, Any] = await response.json()
        return polled


async def made(mesh: Running, tip: str = "", **change: Any) -> dict[str, Any]:
    """The answer, which succeeded and says `tip`, or nothing."""
    body = await ask(mesh, **{**SILENT, **change})
    shaped(body, SUCCESS | ({"tip": str} if tip else {}))
    assert body["status"] == "success" and body.get("tip", "") == tip
    shaped(body["meta"], META | {name: str for name in ("mask_image", "control_image") if change.get(name)}
           | ({"enhance_style": str} if body["meta"]["enhance_style"] else {}))  # fmt: skip
    return body


def rooms(mesh: Running) -> tuple[preprocess_pb2.PrepareRequest, list[vae_pb2.EncodeRequest], unet_pb2.DenoiseRequest]:
    """What reached them last."""
    seen = mesh.rooms.seen
    return seen.prepared[-1], seen.encoded, seen.denoised[-1]
