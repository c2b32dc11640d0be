"""The native API's errors: each a problem that names the field, and nothing started."""

from typing import Any

import pytest

from mesh.errors import DeadlineExceeded, Overloaded, Unavailable
from tests.contract.conftest import Running
from tests.contract.test_native_api import API, CANNY, PICTURE


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
        ({"prompt": "x", "controls": [{**CANNY, "weight": 21}]}, "controls[0].weight"),
        ({"prompt": "x", "controls": [{**CANNY, "image": "http://169.254.169.254/"}]}, "controls[0].image"),
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
        assert "available: canny, depth" in (await r.json(content_type=None))["detail"]
    async with mesh.http.post(f"{API}/generations", json={"prompt": "x", "model": "nope"}) as r:
        assert "available: demo" in (await r.json(content_type=None))["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"prompt": NaN}', b'{"a":' * 100_000, b'{"prompt": "\\ud800"}'])
async def test_what_is_no_json_object_is_refused(mesh: Running, body: bytes) -> None:
    async with mesh.http.post(f"{API}/generations", data=body) as response:
        assert response.status == 400 and response.content_type == "application/problem+json"
