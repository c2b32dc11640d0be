"""The native API's errors: each a problem that names the field, and nothing started."""

from typing import Any

import pytest

from mesh.errors import DeadlineExceeded, Overloaded, Unavailable
from tests.contract.conftest import Running
from tests.contract.native.test_api import API, CANNY, PICTURE
from tests.rigs.offer import UNLOADED

INPAINT = {"kind": "inpaint", "image": PICTURE}


@pytest.mark.parametrize(
    ("failure", "status", "retry"),
    [
        (Unavailable("the model server does not answer", retry_after_s=2), 503, "2"),
        (Overloaded("the queue is full", retry_after_s=0.2), 429, "1"),
        (DeadlineExceeded("too slow"), 504, None),
        (RuntimeError("0x7f /etc/passwd"), 500, None),
    ],
)
async def test_errors_of_the_rooms_arrive_as_problems(
    mesh: Running, failure: Exception, status: int, retry: str | None
) -> None:
    mesh.rooms.failure = failure  # type: ignore[assignment]
    async with mesh.http.post(f"{API}/generations", json={"prompt": "a boat"}) as response:
        problem = await response.json(content_type="application/problem+json")
        assert (response.status, problem["status"], response.headers.get("Retry-After")) == (status, status, retry)
        assert "/etc" not in problem["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "x", "steps": 0}, "steps"),
        ({"prompt": "x", "steps": "20"}, "steps"),
        ({"prompt": "x", "width": 100}, "width"),
        ({"prompt": "x", "samples": 10**9}, "samples"),
        ({"prompt": "x", "seed": 2**64}, "seed"),
        ({"prompt": "x", "guidance_scale": 1e308}, "guidance_scale"),
        ({"prompt": "x", "format": "svg"}, "format"),
        ({"prompt": "x", "stepz": 1}, "stepz"),
        ({"prompt": "x" * 20_000}, "prompt"),
        ({"prompt": "x", "model": "nope"}, "model"),
        ({"prompt": "x", "model": "../demo"}, "model"),
        ({"prompt": "x", "scheduler": "Nope"}, "scheduler"),
        ({"prompt": "x", "controls": {}}, "controls"),
        ({"prompt": "x", "controls": [CANNY] * 6}, "controls"),
        ({"prompt": "x", "controls": [7]}, "controls[0]"),
        ({"prompt": "x", "controls": [{"image": PICTURE}]}, "controls[0].kind"),
        ({"prompt": "x", "controls": [{"kind": "canny"}]}, "controls[0].image"),
        ({"prompt": "x", "controls": [{"kind": "canny", "image": "@@@"}]}, "controls[0].image"),
        ({"prompt": "x", "controls": [CANNY, {**CANNY, "wait": 1}]}, "controls[1].wait"),
        ({"prompt": "x", "controls": [{**CANNY, "kind": "hed"}]}, "controls[0].kind"),
        ({"prompt": "x", "controls": [{**CANNY, "kind": "depth"}]}, "controls[0].kind"),
        ({"prompt": "x", "controls": [{**CANNY, "kind": "normal", "extractor": "normal"}]}, "controls[0].kind"),
        ({"prompt": "x", "controls": [{**CANNY, "extractor": ""}]}, "controls[0].extractor"),
        ({"prompt": "x", "controls": [{**CANNY, "extractor": "../canny"}]}, "controls[0].extractor"),
        ({"prompt": "x", "controls": [{**CANNY, "extractor": 7}]}, "controls[0].extractor"),
        ({"prompt": "x", "controls": [{**CANNY, "text": "x"}]}, "controls[0].text"),
        ({"prompt": "x", "controls": [{"kind": "qrcode", "text": ""}]}, "controls[0].text"),
        ({"prompt": "x", "controls": [{"kind": "qrcode", "text": 7}]}, "controls[0].text"),
        ({"prompt": "x", "controls": [CANNY, {"kind": "qrcode", "text": "x" * 1001}]}, "controls[1].text"),
        ({"prompt": "x", "controls": [{**CANNY, "weight": 21}]}, "controls[0].weight"),
        ({"prompt": "x", "controls": [{**CANNY, "image": "http://169.254.169.254/"}]}, "controls[0].image"),
        ({"prompt": "x", "controls": [{**CANNY, "weight": True}]}, "controls[0].weight"),
        ({"prompt": "x", "controls": [{**CANNY, "mask": PICTURE}]}, "controls[0].mask"),
        ({"prompt": "x", "controls": [INPAINT]}, "controls[0].mask"),
        ({"prompt": "x", "image": PICTURE, "controls": [INPAINT]}, "controls[0].mask"),
        ({"prompt": "x", "controls": [{**INPAINT, "mask": 7}]}, "controls[0].mask"),
        ({"prompt": "x", "controls": [{**INPAINT, "mask": "YWJj"}]}, "controls[0].mask"),
        ({"prompt": "x", "controls": [{**INPAINT, "mask": "http://10.0.0.1/m.png"}]}, "controls[0].mask"),
        ({"prompt": "x", "image": "YWJj"}, "image"),
        ({"prompt": "x", "image": ""}, "image"),
        ({"prompt": "x", "image": False}, "image"),
        ({"prompt": "x", "image": [PICTURE]}, "image"),
        ({"prompt": "x", "image": "http://169.254.169.254/latest/meta-data"}, "image"),
        ({"prompt": "x", "image": "http://127.0.0.1:22/"}, "image"),
        ({"prompt": "x", "image": "http://[::1]/"}, "image"),
        ({"prompt": "x", "image": "file:///etc/passwd"}, "image"),
        ({"prompt": "x", "mask": PICTURE}, "mask"),
        ({"prompt": "x", "image": PICTURE, "mask": "YWJj"}, "mask"),
        ({"prompt": "x", "image": PICTURE, "mask": "http://192.168.0.1/mask.png"}, "mask"),
        ({"prompt": "x", "strength": 0.5}, "strength"),
        ({"prompt": "x", "image": PICTURE, "strength": 1.01}, "strength"),
        ({"prompt": "x", "image": PICTURE, "strength": -1e-9}, "strength"),
        ({"prompt": "x", "image": PICTURE, "strength": True}, "strength"),
        ({"prompt": "x", "image": PICTURE, "strength": "NaN"}, "strength"),
        ({"prompt": "x", "guess_mode": True}, "guess_mode"),
        ({"guess_mode": False, "controls": [CANNY]}, "prompt"),
        ({"guess_mode": 1, "controls": [CANNY]}, "prompt"),
        ({"prompt": "x", "guess_mode": "yes", "controls": [CANNY]}, "guess_mode"),
        ({"prompt": "x", "use_karras_sigmas": "yes"}, "use_karras_sigmas"),
        ({"prompt": "x", "algorithm_type": "nope"}, "algorithm_type"),
        ({"prompt": "x", "algorithm_type": ""}, "algorithm_type"),
        ({"prompt": "x", "prompt_weighting": 0}, "prompt_weighting"),
        ({"prompt": "x", "enhance_prompt": "yes"}, "enhance_prompt"),
        ({"prompt": "x", "keep_unmasked": 1}, "keep_unmasked"),
        ({"prompt": "x", "true_guidance_scale": 0.9}, "true_guidance_scale"),
        ({"prompt": "x", "true_guidance_scale": 20.5}, "true_guidance_scale"),
        ({"prompt": "x", "true_guidance_scale": "2"}, "true_guidance_scale"),
        ({"prompt": "x", "keep_unmasked": True}, "keep_unmasked"),
        ({"prompt": "x", "enhance_style": {}}, "enhance_style"),
        ({"prompt": "x", "enhance_style": "\u0000"}, "enhance_style"),
        ({"prompt": "x", "preview_every": 151}, "preview_every"),
        ({"prompt": "x", "preview_every": 2**63}, "preview_every"),
        ({"prompt": "x", "preview_every": 1.5}, "preview_every"),
        ({"prompt": "x", "scheduler": "DDIMInverseScheduler"}, "scheduler"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_started(mesh: Running, body: Any, field: str) -> None:
    async with mesh.http.post(f"{API}/generations", json=body) as response:
        problem = await response.json(content_type="application/problem+json")
        assert response.status == 422, problem
        assert set(problem) == {"type", "title", "status", "detail", "field"} and problem["field"] == field
    assert mesh.rooms.seen.prepared == []


async def test_what_is_unknown_is_answered_with_what_is_known(mesh: Running) -> None:
    async with mesh.http.post(f"{API}/generations", json={"prompt": "x", "controls": [{**CANNY, "kind": "hed"}]}) as r:
        detail = (await r.json(content_type=None))["detail"]
        assert detail == (
            "controls[0].kind 'hed' can't be used: model demo has no ControlNet of this kind; it has: canny, depth, "
            "inpaint, openpose, qrcode, softedge; add one: python -m export control hed SOURCE --model demo"
        )
    for kind, ways in (
        ("openpose", f"{UNLOADED['body']}; or send a ready hint with auto_hint false"),
        (
            "depth",
            f"{UNLOADED['depth']}; or send a ready hint with auto_hint false; or ask for the crude stand-in with "
            "extractor 'lightness'",
        ),
    ):
        body = {"prompt": "x", "controls": [{**CANNY, "kind": kind}]}
        async with mesh.http.post(f"{API}/generations", json=body) as r:
            assert (await r.json(content_type=None))["detail"] == (
                f"controls[0].kind {kind!r} can't be used: its hint can't be extracted from a picture here: {ways}; "
                "can be extracted: canny, inpaint, qrcode, softedge"
            )
    async with mesh.http.post(f"{API}/generations", json={"prompt": "x", "model": "nope"}) as r:
        assert "available: demo" in (await r.json(content_type=None))["detail"]
    async with mesh.http.post(f"{API}/generations", json={"prompt": "x", "algorithm_type": "nope"}) as r:
        assert "available: dpmsolver++, sde-dpmsolver++" in (await r.json(content_type=None))["detail"]
    async with mesh.http.post(f"{API}/generations", json={"prompt": "x", "scheduler": "DDIMInverseScheduler"}) as r:
        assert "needs an initial picture (`image`)" in (await r.json(content_type=None))["detail"]


async def test_every_address_that_may_not_be_asked_is_refused_with_the_same_words(mesh: Running) -> None:
    words = set()
    for field in ("image", "mask"):
        for host in ("127.0.0.1:22", "10.1.2.3", "169.254.169.254", "[::1]", "[fd00::1]", "0.0.0.0"):
            body = {"prompt": "x", "image": PICTURE, field: f"http://{host}/picture.png"}
            async with mesh.http.post(f"{API}/generations", json=body) as response:
                assert response.status == 422
                words.add((await response.json(content_type=None))["detail"].replace(field, "FIELD"))
    assert len(words) == 1, words


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"prompt": NaN}', b'{"a":' * 100_000, b'{"prompt": "\\ud800"}'])
async def test_what_is_no_json_object_is_refused(mesh: Running, body: bytes) -> None:
    async with mesh.http.post(f"{API}/generations", data=body) as response:
        assert response.status == 400 and response.content_type == "application/problem+json"
