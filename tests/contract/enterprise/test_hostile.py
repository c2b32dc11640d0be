"""Whatever stands in whichever field, the enterprise dialect answers in its own shape, never with a fault of ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.dialects.enterprise.declared import FIELDS as DECLARED
from gateway.dialects.enterprise.paths import PATHS, TASKS
from tests.contract.conftest import Running, running
from tests.rigs.enterprise_client import MASK, PICTURE, SAMPLE, SENT

FIELDS = sorted(
    {
        *SAMPLE, *(name for task in TASKS for field in DECLARED[task].values() for name in field.names),
        "control_image", "tomesd",
        "use_karras_sigmas", "algorithm_type", "vae", "lora_model", "lora_strength", "embeddings_model", "embeddings",
        "safety_checker_type", "enhance_style", "multi_lingual", "ip_adapter_id", "ip_adapter_scale",
        "ip_adapter_image", "clip_skip", "clipskip", "upscale", "base64", "temp", "instant_response", "watermark",
        "loadbalancer", "guidance", "steps", "denoise", "controlnet_conditioning_scale", "panorama", "self_attention",
        "highres_fix", "aspect_ratio", "qrcode_text", "type", "request_id", "base64_image", "base64_string", "image",
        "image_type", "crop", "url", "model_type", "model_category", "model_format", "public_url", "endpoint_url",
        "aws_access_key_id", "aws_secret_access_key", "image_directory", "region_name", "sync_key", "threshold",
    }
)  # fmt: skip
WORDS = [
    "", " ", "null", "yes", "YES", "no", "31.0", "NaN", "Infinity", "1e999", "-5", "\0", "\u202e", "../../x", "%00",
    "/etc/passwd", "file:///etc/passwd", "http://[", "http://169.254.169.254/", "data:,", "canny,depth", ",,,", "demo",
    "x" * 20_000, "１２", "9" * 40, "a:b", "16:0",
]  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(WORDS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.sampled_from(["a", "key", "0"]), scalars, max_size=2),
    st.just([[[]]]),
)
# A picture, a mask and what else every function needs, so that a spoiled field is what decides.
WHOLE = {
    **SAMPLE, "model_id": "demo", "mask_image": SENT[MASK], "width": 64, "height": 64, "num_inference_steps": 1,
    "request_id": 1, "base64_image": PICTURE, "base64_string": PICTURE, "image": PICTURE, "enhance_prompt": "no",
}  # fmt: skip
OPEN = sorted({paths[0] for paths in PATHS.values()} | {paths[-1] for paths in PATHS.values()})


async def answered(mesh: Running, path: str, body: dict[str, Any]) -> None:
    """The answer to `body` has the vendor's shape."""
    async with mesh.http.post(path, json=body) as response:
        text = await response.text()
        assert response.status == (200 if not path.startswith("/api/v7/") else response.status), (body, text)
        assert response.status in (200, 400, 401, 403, 404, 429), (body, text)
        answer = await response.json()
    if isinstance(answer, list) or "schedulers" in answer:
        return
    assert answer["status"] in ("success", "processing", "failed", "error", "ok"), (body, text)
    assert "unexpected error" not in text, (body, text)
    if answer["status"] == "error":
        assert {"status", "message", "messege"} <= set(answer)
        assert len(text) < 2000 and "Traceback" not in text, (body, text)


@pytest.mark.parametrize("path", OPEN)
def test_hostile_types_in_every_field(path: str) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        mesh = runner.run(stack.enter_async_context(running(api_keys=("k",), enterprise_hold_s=5.0)))

        @settings(
            max_examples=60,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(st.dictionaries(st.sampled_from([name for name in FIELDS if name != "key"]), values, max_size=4))
        def spoil(change: dict[str, Any]) -> None:
            runner.run(answered(mesh, path, {**WHOLE, "webhook": None, "key": "k", **change}))

        try:
            spoil()
        finally:
            runner.run(stack.aclose())


@pytest.fixture(scope="module")
async def guarded() -> AsyncIterator[Running]:
    """A gateway that wants a key."""
    async with running(api_keys=("right",)) as mesh:
        yield mesh


@pytest.mark.parametrize("key", [None, 7, True, [], ["k"], {}, {"a": 1}, "\0", "é" * 600, "k" * 5000])
@pytest.mark.parametrize("path", [PATHS[task][0] for task in TASKS] + [PATHS["load_model"][0]])
async def test_hostile_keys(guarded: Running, path: str, key: Any) -> None:
    async with guarded.http.post(path, json={**WHOLE, "key": key}) as response:
        assert (response.status, (await response.json())["message"]) == (200, "Invalid Api Key")
