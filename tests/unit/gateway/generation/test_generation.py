"""The canonical request: every limit, at both of its ends, and what an error says."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from controlmesh.v1 import generation_pb2, preprocess_pb2, types_pb2, unet_pb2
from families.limits import SIDE
from gateway.generation.declared import fields_of
from gateway.generation.generation import MOST_PICTURE_BYTES, Control, Generation, Task, check_task
from mesh.errors import InvalidInput
from mesh.quantities import sized

PLAIN = Generation(prompt="a boat")
CANNY = Control(kind="canny", image=b"png")
CHANGED = replace(PLAIN, image=b"png", controls=(CANNY,))
"""To which every field may be added."""

TAKEN: list[tuple[str, Any]] = [
    ("prompt", ""),
    ("prompt", "x" * 16_384),
    ("negative_prompt", "x" * 16_384),
    ("controls", (CANNY,) * 5),
    ("width", None),
    ("width", 64),
    ("width", 1024),
    ("height", 72),
    ("steps", 1),
    ("steps", 150),
    ("guidance_scale", 1),
    ("true_guidance_scale", None),
    ("true_guidance_scale", 1),
    ("true_guidance_scale", 20.0),
    ("guidance_scale", 20.0),
    ("seed", None),
    ("seed", 0),
    ("seed", 2**32 - 1),
    ("samples", 1),
    ("samples", 4),
    ("format", "webp"),
    ("clip_skip", 0),
    ("clip_skip", 8),
    ("model", "demo-1.5_x"),
    ("scheduler", "DDIMScheduler"),
    ("image", b"png"),
    ("mask", b"png"),
    ("strength", None),
    ("strength", 0),
    ("strength", 1.0),
    ("guess_mode", True),
    ("use_karras_sigmas", None),
    ("use_karras_sigmas", False),
    ("algorithm_type", "sde-dpmsolver++"),
    ("prompt_weighting", False),
    ("enhance_prompt", True),
    ("enhance_style", "film noir, 35 mm"),
    ("preview_every", 0),
    ("preview_every", 150),
]
REFUSED: list[tuple[str, Any]] = [
    ("prompt", None),
    ("prompt", 7),
    ("prompt", "x" * 16_385),
    ("negative_prompt", None),
    ("negative_prompt", "x" * 16_385),
    ("controls", (CANNY,) * 6),
    ("width", 56),
    ("width", 2056),
    ("width", 100),
    ("width", 512.5),
    ("width", "512"),
    ("height", True),
    ("steps", 0),
    ("steps", 151),
    ("steps", -1),
    ("steps", 10**9),
    ("steps", 20.5),
    ("guidance_scale", 0.99),
    ("guidance_scale", 20.01),
    ("guidance_scale", float("nan")),
    ("guidance_scale", float("inf")),
    ("guidance_scale", "7"),
    ("seed", -1),
    ("seed", 2**32),
    ("samples", 0),
    ("samples", 5),
    ("format", "gif"),
    ("format", None),
    ("format", []),
    ("clip_skip", -1),
    ("clip_skip", 9),
    ("model", "../../etc/passwd"),
    ("model", "a..b"),
    ("model", "/abs"),
    ("model", "a\0b"),
    ("model", "x" * 129),
    ("model", "．．"),
    ("scheduler", ""),
    ("scheduler", "a\nb"),
    ("strength", -0.01),
    ("strength", 1.01),
    ("strength", float("nan")),
    ("strength", float("inf")),
    ("strength", True),
    ("strength", "0.5"),
    ("guidance_scale", 10**400),
    ("guess_mode", None),
    ("guess_mode", 1),
    ("guess_mode", "yes"),
    ("use_karras_sigmas", 0),
    ("use_karras_sigmas", "true"),
    ("algorithm_type", ""),
    ("algorithm_type", 7),
    ("algorithm_type", "x" * 129),
    ("algorithm_type", "a\nb"),
    ("prompt_weighting", None),
    ("prompt_weighting", 1.0),
    ("enhance_prompt", "no"),
    ("enhance_style", ""),
    ("enhance_style", ["comic"]),
    ("enhance_style", "a\u202eb"),
    ("enhance_style", "\ud800"),
    ("preview_every", -1),
    ("preview_every", 151),
    ("preview_every", 10**12),
    ("preview_every", True),
    ("preview_every", 2.5),
]


@pytest.mark.parametrize(("field", "value"), TAKEN)
def test_values_within_the_limits_are_taken(field: str, value: Any) -> None:
    assert getattr(replace(CHANGED, **{field: value}), field) == value


@pytest.mark.parametrize(("field", "value"), [("width", 512.0), ("steps", 2e1), ("seed", 7.0), ("samples", 1.0)])
def test_whole_numbers_with_a_point_are_whole_numbers(field: str, value: float) -> None:
    taken = getattr(replace(CHANGED, **{field: value}), field)
    assert taken == value and isinstance(taken, int)


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_values_outside_the_limits_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        replace(CHANGED, **{field: value})
    assert caught.value.field == field
    assert caught.value.message.startswith(field)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", ""),
        ("kind", "a/b"),
        ("auto_hint", "yes"),
        ("auto_hint", 1),
        ("weight", True),
        ("weight", -0.1),
        ("weight", 20.1),
        ("weight", float("nan")),
        ("start", -0.1),
        ("start", 1.1),
        ("end", 1.1),
        ("extractor", ""),
        ("extractor", "a/b"),
        ("text", ""),
        ("text", "x" * 1001),
        ("text", b"bytes"),
        ("parameters", []),
        ("parameters", {"low_threshold": "100"}),
        ("parameters", {"low_threshold": float("inf")}),
        ("parameters", {"low_threshold": 10**400}),
        ("parameters", {"low_threshold": False}),
        ("parameters", {"a b": 1}),
        ("parameters", {str(number): 1 for number in range(17)}),
    ],
)
def test_a_control_outside_the_limits_is_refused_with_its_place(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        replace(PLAIN, controls=(CANNY, replace(CANNY, **{field: value})))
    assert (caught.value.field or "").startswith(f"controls[1].{field}")


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"controls\[0\].end must be at least controls\[0\].start, which is 0.5"):
        replace(PLAIN, controls=(replace(CANNY, start=0.5, end=0.4),))


def test_an_error_says_the_range_and_what_was_sent() -> None:
    with pytest.raises(InvalidInput, match="width must be a whole number from 64 to 2048, a multiple of 8, not 100"):
        replace(PLAIN, width=100)


def test_defaults_are_those_of_the_documentation() -> None:
    assert (PLAIN.steps, PLAIN.guidance_scale, PLAIN.samples, PLAIN.format, PLAIN.clip_skip) == (
        None,
        None,
        1,
        "png",
        0,
    )
    settled = PLAIN.settled()
    assert (settled.steps, settled.guidance_scale) == (20, 7.5), "for a model that says nothing else"
    settled = PLAIN.settled(30, 3.0)
    assert (settled.steps, settled.guidance_scale) == (30, 3.0)
    sent = replace(PLAIN, steps=2, guidance_scale=1.0).settled(30, 3.0)
    assert (sent.steps, sent.guidance_scale) == (2, 1.0)
    assert (PLAIN.strength, PLAIN.prompt_weighting, PLAIN.enhance_prompt, PLAIN.preview_every) == (None, True, False, 0)
    assert (CANNY.weight, CANNY.start, CANNY.end, CANNY.auto_hint) == (1.0, 0.0, 1.0, True)


def test_seeds_count_up_and_stay_within_what_can_be_sent_back() -> None:
    assert replace(PLAIN, seed=7, samples=3).seeds() == [7, 8, 9]
    assert replace(PLAIN, seed=2**32 - 1, samples=2).seeds() == [2**32 - 1, 0]


def test_a_missing_seed_is_drawn_once_and_a_given_one_is_kept() -> None:
    drawn = {PLAIN.with_seed().seed for _ in range(8)}
    assert len(drawn) > 1 and all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in drawn)
    assert replace(PLAIN, seed=0).with_seed().seed == 0


@pytest.mark.parametrize(("field", "value"), [("strength", 0.5), ("mask", b"png")])
def test_what_changes_a_picture_needs_one(field: str, value: Any) -> None:
    with pytest.raises(
        InvalidInput, match=rf"{field} needs an initial picture \(`image`\), and none was sent"
    ) as caught:
        replace(PLAIN, **{field: value})
    assert caught.value.field == field


def test_guess_mode_needs_a_control_and_no_prompt() -> None:
    assert replace(PLAIN, prompt="", guess_mode=True, controls=(CANNY,)).guess_mode
    with pytest.raises(InvalidInput, match="guess_mode needs at least one control") as caught:
        replace(PLAIN, guess_mode=True)
    assert caught.value.field == "guess_mode"


def test_a_control_without_a_picture_takes_the_initial_one() -> None:
    bare = Control(kind="canny")
    asked = replace(PLAIN, image=b"first", controls=(bare, CANNY))
    assert [asked.picture_of(control) for control in asked.controls] == [b"first", b"png"]
    with pytest.raises(InvalidInput) as caught:
        replace(PLAIN, controls=(CANNY, bare))
    assert caught.value.field == "controls[1].image"


def test_words_take_no_picture() -> None:
    written = Control(kind="qrcode", text="x" * 1000)
    asked = replace(PLAIN, controls=(written,))
    assert asked.picture_of(written) is None
    asked = replace(PLAIN, image=b"first", controls=(written, Control(kind="canny")))
    assert [asked.picture_of(control) for control in asked.controls] == [None, b"first"]
    with pytest.raises(InvalidInput, match="leave one of them out") as caught:
        replace(PLAIN, controls=(replace(written, image=b"png"),))
    assert caught.value.field == "controls[0].text"


def test_more_bytes_than_fit_into_a_message_are_refused_however_they_are_shared() -> None:
    large = bytes(MOST_PICTURE_BYTES // 3)
    bare = Control(kind="canny")
    assert replace(PLAIN, image=large, controls=(bare,) * 3)
    for pictures in (
        {"image": large, "controls": (bare,) * 4},
        {"image": large, "mask": large, "controls": (bare,) * 3},
        {"image": b"png", "controls": (replace(CANNY, image=large, mask=large),) * 2},
    ):
        with pytest.raises(InvalidInput, match=f"at most {sized(MOST_PICTURE_BYTES)} are allowed"):
            replace(PLAIN, **pictures)


@given(st.floats(-1e6, 1e6))
def test_clamping_always_gives_a_size_that_is_taken(value: float) -> None:
    clamped = int(SIDE.clamp(value))
    assert replace(PLAIN, width=clamped).width == clamped


@pytest.mark.parametrize("changes", [{"controls": ()}, {"samples": 2}, {"format": "webp"}])
def test_a_hint_alone_is_one_control_s_and_lossless(changes: dict[str, Any]) -> None:
    hint = Generation(prompt="", controls=(Control(kind="canny", image=b"png"),))
    check_task(Task.HINT, hint)
    check_task(Task.PICTURES, replace(hint, **changes))
    with pytest.raises(InvalidInput, match="a hint needs exactly one control, samples 1 and format png"):
        check_task(Task.HINT, replace(hint, **changes))


def test_every_field_is_declared_and_checked() -> None:
    for cls in (Generation, Control):
        known = {field.name: declared for field, declared in fields_of(cls)}
        assert set(known) == {field.name for field in dataclasses.fields(cls)}
        for name, declared in known.items():
            assert declared.words, name
            assert (declared.check is not None) + declared.is_picture + (declared.nested is not None) == 1, name


@pytest.mark.parametrize("message", [generation_pb2.GenerateRequest, types_pb2.Control])
def test_grpc_has_every_field(message: type[Message]) -> None:
    cls = Generation if message is generation_pb2.GenerateRequest else Control
    assert {field.name for field, _ in fields_of(cls)} == set(message.DESCRIPTOR.fields_by_name)


def test_the_services_are_asked_by_equal_names() -> None:
    given = {"conditioning", "initial", "masked", "noise", "owner", "seed"}
    known = {field.name for field, _ in fields_of(Generation)}
    assert set(unet_pb2.DenoiseRequest.DESCRIPTOR.fields_by_name) - given <= known
    derived = {"guidance", "true_guidance", "picture_width", "picture_height"}
    assert set(preprocess_pb2.PrepareRequest.DESCRIPTOR.fields_by_name) - derived <= known
