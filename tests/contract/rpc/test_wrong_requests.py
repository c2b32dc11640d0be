"""What wrong requests over gRPC are answered with: the field in the trailers, and the words."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from controlmesh.v1 import generation_pb2, generation_pb2_grpc, types_pb2
from mesh.errors import FIELD_METADATA
from tests.contract.rpc.test_servicer import BROKEN, GOOD, face

Stub = generation_pb2_grpc.GenerationServiceStub
Request = generation_pb2.GenerateRequest
CONTROL = {"kind": "canny", "image": GOOD}


@pytest.fixture(scope="module")
async def stub() -> AsyncIterator[Stub]:
    async with face() as (_, stub):
        yield stub


ROWS: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({"prompt": ""}, "prompt", ("prompt is missing", "guess_mode true")),
    ({"prompt": "   "}, "prompt", ("prompt has no words", "guess_mode true")),
    ({"prompt": " <lora:x:0.8>"}, "prompt", ("prompt has no words, for tags and blanks are none", "guess_mode true")),
    ({"steps": 0}, "steps", ("1 to 150", "not 0")),
    ({"width": 100}, "width", ("64 to 2048, a multiple of 8", "100")),
    ({"samples": 9}, "samples", ("1 to 4",)),
    ({"seed": 2**32}, "seed", ("0 to 4294967295", "4294967296")),
    ({"seed": 2**64 - 1}, "seed", ("0 to 4294967295",)),
    ({"guidance_scale": 50}, "guidance_scale", ("1 to 20",)),
    ({"clip_skip": 9}, "clip_skip", ("0 to 8",)),
    ({"strength": 0.5}, "strength", ("`image`",)),
    ({"mask": GOOD}, "mask", ("`image`",)),
    ({"image": BROKEN}, "image", ("PNG, JPEG or WebP",)),
    ({"image": types_pb2.Image()}, "image", ("empty",)),
    ({"model": "dmeo"}, "model", ("did you mean demo?", "available: demo")),
    ({"scheduler": "Euler a"}, "scheduler", ("unknown", "available: DDIMInverseScheduler")),
    ({"scheduler": "euler"}, "scheduler", ("did you mean EulerDiscreteScheduler?",)),
    ({"algorithm_type": "x"}, "algorithm_type", ("available: dpmsolver++",)),
    ({"controls": [{"kind": "cany", "image": GOOD}]}, "controls[0].kind", ("no such kind", "did you mean canny?")),
    ({"controls": [{"kind": "scribble", "image": GOOD}]}, "controls[0].kind", ("has no ControlNet", "it has: canny")),
    ({"controls": [CONTROL, {"kind": "canny"}]}, "controls[1].image", ("missing",)),
    ({"controls": [CONTROL, {"kind": "canny", "image": types_pb2.Image()}]}, "controls[1].image", ("empty",)),
    (
        {"controls": [{**CONTROL, "start": 0.75, "end": 0.25}]},
        "controls[0].end",
        ("at least controls[0].start", "0.75"),
    ),
    ({"controls": [{**CONTROL, "weight": 50}]}, "controls[0].weight", ("0 to 20",)),
    ({"controls": [CONTROL] * 6}, "controls", ("controls has 6 entries; at most 5 are taken",)),
]


@pytest.mark.parametrize(("change", "field", "said"), ROWS)
async def test_a_wrong_request_is_told_what_to_change(
    stub: Stub, change: dict[str, Any], field: str, said: tuple[str, ...]
) -> None:
    request = Request(**{"prompt": "a boat", **change})
    with pytest.raises(grpc.aio.AioRpcError) as generated:
        [_ async for _ in stub.Generate(request)]
    with pytest.raises(grpc.aio.AioRpcError) as submitted:
        await stub.SubmitJob(generation_pb2.SubmitJobRequest(generation=request))
    for error in (generated.value, submitted.value):
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert dict(error.trailing_metadata() or ())[FIELD_METADATA] == field
        assert [one for one in said if one not in (error.details() or "")] == [], error.details()
        # Commands are for who administers the mesh, which callers inside the cluster do not.
        assert "python -m" not in (error.details() or "") or "annotator" in (error.details() or "")


async def test_fields_that_the_server_does_not_know_are_told(stub: Stub) -> None:
    # A field of a later version: number 99, length-delimited.
    later = Request(prompt="a boat", steps=1, controls=[CONTROL]).SerializeToString() + b"\x9a\x06\x01x"
    messages = [message async for message in stub.Generate(Request.FromString(later))]
    assert messages[-1].result.notes == ["fields with the numbers 99 are not known to this server and were not used"]
