"""The whole parameter space through the running mesh: legal requests give pictures, illegal ones say what to change."""

import base64
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from families import limits
from mesh.pictures import decode, encode
from tests.rigs.mesh import GENERATIONS
from unet_svc.schedulers import SCHEDULERS

#: The mesh is shared and warm; a slow example is the machine's business.
RUNNING = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}
KINDS = ("canny", "depth", "inpaint")


def pixels(seed: int, width: int, height: int) -> str:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return base64.b64encode(encode(noise)).decode()


#: Mostly small, and now and then as wide or as high as a picture may be.
side = st.one_of(
    st.integers(8, 24).map(lambda cells: cells * 8), st.sampled_from([int(limits.SIDE.minimum), 72, 88, 200])
)
sizes = st.one_of(st.tuples(side, side), st.sampled_from([(1024, 64), (64, 1024), (1016, 72)]))
picture = st.builds(pixels, st.integers(0, 9), st.integers(1, 300), st.integers(1, 300))
fraction = st.floats(0, 1)


@st.composite
def controls(draw: st.DrawFn, masked: bool) -> dict[str, Any]:
    kind = draw(st.sampled_from(KINDS if masked else KINDS[:2]))
    start = draw(fraction)
    return {
        "kind": kind,
        "image": draw(picture),
        "auto_hint": False,
        "weight": draw(st.floats(limits.WEIGHT.minimum, limits.WEIGHT.maximum)),
        "start": start,
        "end": draw(st.floats(start, 1)),
    }


@st.composite
def legal(draw: st.DrawFn) -> dict[str, Any]:
    """Any request that the rules allow, on the tiny model."""
    scheduler = draw(st.sampled_from(sorted(SCHEDULERS)))
    width, height = draw(sizes)
    steps = draw(st.integers(1, 6))
    request: dict[str, Any] = {
        "model": "tiny",
        "prompt": draw(st.text(max_size=400)),
        "negative_prompt": draw(st.text(max_size=40)),
        "width": width,
        "height": height,
        "steps": steps,
        "scheduler": scheduler,
        "guidance_scale": draw(st.floats(limits.GUIDANCE.minimum, limits.GUIDANCE.maximum)),
        "seed": draw(st.one_of(st.none(), st.integers(0, int(limits.SEED.maximum)))),
        "samples": draw(st.sampled_from([1, 1, 1, 2])),
        "format": draw(st.sampled_from(["png", "jpeg", "webp"])),
        "clip_skip": draw(st.integers(0, 1)),
        "use_karras_sigmas": draw(st.one_of(st.none(), st.booleans())),
        "prompt_weighting": draw(st.booleans()),
        "enhance_prompt": draw(st.booleans()),
        "preview_every": draw(st.sampled_from([0, 0, 1, 2])),
    }
    if draw(st.booleans()) or SCHEDULERS[scheduler].inverts:
        request["image"] = draw(picture)
        # At least one step has to be left.
        request["strength"] = draw(st.floats(min(1.0, 1.01 / steps), 1))
        if draw(st.booleans()) and not SCHEDULERS[scheduler].inverts:
            request["mask"] = draw(picture)
            request["keep_unmasked"] = draw(st.booleans())
    request["controls"] = draw(st.lists(controls("mask" in request), max_size=3))
    if request["controls"]:
        request["guess_mode"] = draw(st.booleans())
    types = SCHEDULERS[scheduler].algorithm_types
    if types:
        request["algorithm_type"] = draw(st.sampled_from([None, *types]))
    return request


@settings(max_examples=40, **RUNNING)  # type: ignore[arg-type]
@given(request=legal())
def test_any_legal_request_gives_a_picture_of_the_asked_size(client: httpx2.Client, request: dict[str, Any]) -> None:
    answer = client.post(f"{GENERATIONS}?wait=120", json=request)
    record = answer.json()
    assert answer.status_code == 200, record
    assert record["status"] == "succeeded", record
    assert len(record["images"]) == request["samples"]
    for image in record["images"]:
        assert decode(client.get(image["url"]).raise_for_status().content).shape == (
            request["height"],
            request["width"],
            3,
        )


def outside(allowed: limits.Range) -> st.SearchStrategy[Any]:
    """What is no number within `allowed`."""
    return st.one_of(
        st.floats(max_value=allowed.minimum, exclude_max=True, allow_infinity=False),
        st.floats(min_value=allowed.maximum, exclude_min=True, allow_infinity=False),
        st.sampled_from(["1", True, [1], {}]),
    )


def fractional(allowed: limits.Range) -> st.SearchStrategy[Any]:
    """What is no whole number within `allowed`."""
    return outside(allowed) | st.floats(allowed.minimum, allowed.maximum).filter(lambda value: value != int(value))


word = st.sampled_from([7, [], {}, "no such name", "../etc", "", "x" * 200])
#: Field -> values that it must not have.
WRONG: dict[str, st.SearchStrategy[Any]] = {
    "prompt": st.sampled_from([7, [], "x" * (limits.PROMPT_CHARACTERS + 1)]),
    "negative_prompt": st.sampled_from([7, {}, "x" * (limits.PROMPT_CHARACTERS + 1)]),
    "model": word,
    "scheduler": word,
    "width": fractional(limits.SIDE) | st.integers(65, 1023).filter(lambda side: side % 8 != 0),
    "height": fractional(limits.SIDE) | st.integers(65, 1023).filter(lambda side: side % 8 != 0),
    "steps": fractional(limits.STEPS),
    "guidance_scale": outside(limits.GUIDANCE),
    "seed": fractional(limits.SEED),
    "samples": fractional(limits.SAMPLES),
    "clip_skip": fractional(limits.CLIP_SKIP),
    "format": st.sampled_from(["gif", "", 7]),
    "image": st.sampled_from(["", "no base64!", "aGVsbG8=", 7, "http://127.0.0.1:1/x.png"]),
    "strength": outside(limits.STRENGTH),
    "preview_every": fractional(limits.PREVIEW_EVERY),
    "algorithm_type": st.sampled_from(["dpmsolver+++++", 7, []]),
    **dict.fromkeys(
        ("guess_mode", "use_karras_sigmas", "prompt_weighting", "enhance_prompt"), st.sampled_from([1, "yes", "", []])
    ),
}
WRONG_CONTROL: dict[str, st.SearchStrategy[Any]] = {
    "kind": word,
    "image": st.sampled_from(["", "no base64!", 7]),
    "auto_hint": st.sampled_from([1, "no", []]),
    "weight": outside(limits.WEIGHT),
    "start": outside(limits.FRACTION),
    "end": outside(limits.FRACTION),
    "parameters": st.sampled_from([[], {"no_such": 1}, {"low_threshold": "1"}, 7]),
}


@st.composite
def illegal(draw: st.DrawFn, wrong: dict[str, st.SearchStrategy[Any]]) -> tuple[str, Any]:
    field = draw(st.sampled_from(sorted(wrong)))
    return field, draw(wrong[field])


def base_request() -> dict[str, Any]:
    control = {"kind": "canny", "image": pixels(1, 64, 64)}
    return {"model": "tiny", "prompt": "a star", "image": pixels(2, 64, 64), "steps": 2, "controls": [control]}


@settings(max_examples=250, **RUNNING)  # type: ignore[arg-type]
@given(broken=illegal(WRONG))
def test_any_illegal_field_is_named_with_what_it_may_be(client: httpx2.Client, broken: tuple[str, Any]) -> None:
    field, value = broken
    assert_names(client.post(GENERATIONS, json={**base_request(), field: value}), field)


@settings(max_examples=100, **RUNNING)  # type: ignore[arg-type]
@given(broken=illegal(WRONG_CONTROL))
def test_any_illegal_field_of_a_control_is_named(client: httpx2.Client, broken: tuple[str, Any]) -> None:
    field, value = broken
    request = base_request()
    request["controls"][0][field] = value
    assert_names(client.post(GENERATIONS, json=request), f"controls[0].{field}")


def assert_names(answer: httpx2.Response, field: str) -> None:
    assert answer.status_code == 422, answer.content[:400]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["field"].startswith(field), problem
    assert problem["field"].rpartition(".")[2] in problem["detail"], problem


@pytest.mark.parametrize("field", ["num_inference_steps", "guidance_scale", "width", "seed", "image"])
@settings(max_examples=12, **RUNNING)  # type: ignore[arg-type]
@given(value=st.sampled_from(["x", [], {}, -1, 1e9, True, "9" * 50]))
def test_the_endpoint_dialect_refuses_in_its_own_shape(client: httpx2.Client, field: str, value: Any) -> None:
    # To diffusers any guidance up to 1 means none.
    assume(not (field == "guidance_scale" and value == -1))
    # A whole number, however it is written.
    assume(not (field == "seed" and value == 1e9))
    body = {"inputs": "a star", "image": pixels(1, 64, 64), "controlnet_type": "canny_edge", field: value}
    answer = client.post("/hf/tiny", json=body, headers={"accept": "image/png"})
    assert answer.status_code == 400, answer.content[:100]
    assert list(answer.json()) == ["error"]
    assert field in answer.json()["error"]


#: What callers of the enterprise endpoint send: numbers as words, nothing at all, too much, and nonsense.
SPELLED: dict[str, st.SearchStrategy[Any]] = {
    "num_inference_steps": st.sampled_from(["2", 3, "4.0", None, "", "x", -5, []]),
    "width": st.sampled_from(["64", 72, "65", "0", None, 64.0, {}]),
    "height": st.sampled_from(["64", 96, "1", "x", 64.5]),
    "guidance_scale": st.sampled_from(["1", 3, "0", "99", None, "nan", []]),
    "strength": st.sampled_from(["0.5", 1, "-1", None, "x"]),
    "samples": st.sampled_from(["1", 2, "9", None, "x"]),
    "seed": st.sampled_from([None, "", "-1", 7, "1e3", "x", 2**70]),
    "scheduler": st.sampled_from([None, "", "DDIM", "ddimscheduler", "LCMScheduler", "DDIMInverseScheduler", "x", 7]),
    "use_karras_sigmas": st.sampled_from(["yes", "no", True, None, 7]),
    "algorithm_type": st.sampled_from(["none", "dpmsolver+++", "sde-dpmsolver++", "x", None]),
    "guess_mode": st.sampled_from(["yes", "no", False, None]),
    "auto_hint": st.sampled_from(["yes", "no", None]),
    "clip_skip": st.sampled_from(["1", 2, "8", None]),
    "controlnet_model": st.sampled_from(["canny", "canny,depth", "depth", "inpaint", "x", "", None, 7]),
    "controlnet_conditioning_scale": st.sampled_from(["0.7", "1,2", 30, "x", None]),
    "control_image": st.one_of(st.none(), picture, st.just("x")),
    "mask_image": st.one_of(st.none(), picture, st.just("x")),
    "enhance_prompt": st.sampled_from(["yes", "no", None]),
    "enhance_style": st.sampled_from(["anime", "x", None, 7]),
    "prompt": st.sampled_from(["a red star", "", "((((", "(a:99999)", "x " * 900, None]),
}


@st.composite
def spelled(draw: st.DrawFn) -> dict[str, Any]:
    """A few of them; many at once would nearly always hold one that is refused."""
    return {field: draw(SPELLED[field]) for field in draw(st.lists(st.sampled_from(sorted(SPELLED)), max_size=4))}


@settings(max_examples=60, **RUNNING)  # type: ignore[arg-type]
@given(sent=spelled())
def test_the_enterprise_dialect_answers_whatever_is_sent_in_its_own_shape(
    client: httpx2.Client, sent: dict[str, Any]
) -> None:
    body = {"key": "", "model_id": "tiny", "prompt": "a star", "controlnet_model": "canny", "width": "64"}
    body |= {"height": "64", "num_inference_steps": "2", "init_image": pixels(1, 64, 64), **sent}
    answer = client.post("/api/v1/enterprise/controlnet", json=body)
    assert answer.status_code == 200, answer.content[:200]
    told = answer.json()
    if told["status"] == "success":
        made = decode(client.get(told["output"][0]).raise_for_status().content)
        assert made.shape == (told["meta"]["H"], told["meta"]["W"], 3)
    else:
        assert told["status"] == "error", told
        assert told["message"] if "message" in told else told["messege"]


def test_the_mesh_has_survived(client: httpx2.Client) -> None:
    answer = client.post(f"{GENERATIONS}?wait=120", json={"prompt": "a red star", "steps": 2})
    assert answer.json()["status"] == "succeeded"
