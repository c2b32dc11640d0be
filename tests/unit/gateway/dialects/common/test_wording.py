"""The dialects' own words in errors and notes of the canonical request."""

import json

import pytest

from gateway.dialects.common import notes
from gateway.dialects.common.wording import note, renamed
from gateway.generation.refusals import Remediable
from mesh.errors import InvalidInput

NAMES = {
    "image": "init_image",
    "strength": "strength",
    "prompt": "inputs",
    "clip_skip": "clip_skip",
    "controls[0].start": "control_guidance_start",
    "controls[0].end": "control_guidance_end",
    "controls[0]": "control_image",
}
COUNTS = {"clip_skip": 1}


@pytest.mark.parametrize(
    ("message", "field", "told"),
    [
        (
            "controls[0].end must be at least controls[0].start, which is 0.8, not 0.2",
            "controls[0].end",
            "control_guidance_end must be at least control_guidance_start, which is 0.8, not 0.2",
        ),
        (
            "strength needs an initial picture (`image`), and none was sent",
            "strength",
            "strength needs an initial picture (`init_image`), and none was sent",
        ),
        (
            "clip_skip must be 0 to 1 for this model, not 2",
            "clip_skip",
            "clip_skip must be 1 to 2 for this model, not 3",
        ),
        ("The clip skip must be a number from 1 to 8.", "clip_skip", "The clip skip must be a number from 1 to 8."),
        ("something needs `image`", None, "something needs `init_image`"),
    ],
)
def test_no_other_apis_names_are_in_an_error(message: str, field: str | None, told: str) -> None:
    error = renamed(InvalidInput(message, field=field, retry_after_s=1), NAMES, COUNTS)
    assert (error.message, str(error), error.retry_after_s) == (told, told, 1)
    assert renamed(error, NAMES, COUNTS).message == told


def test_what_else_an_error_knows_is_kept() -> None:
    error = renamed(Remediable("image is bad", field="image", command="python -m export"), NAMES)
    assert isinstance(error, Remediable) and (error.command, error.field) == ("python -m export", "init_image")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prompt has 80 tokens; the model reads 75", "inputs has 80 tokens; the model reads 75"),
        ("weights in prompt must be 0 to 10", "weights in inputs must be 0 to 10"),
        ("controls[0]: made by the stand-in", "control_image: made by the stand-in"),
        ("nothing of the kind", "nothing of the kind"),
    ],
)
def test_notes_begin_with_the_dialects_own_name(text: str, told: str) -> None:
    assert note(text, NAMES) == told


def test_notes_fit_into_a_header_whatever_they_are() -> None:
    (text,) = notes.header(["é\r\nSet-Cookie: x=1", "é\r\nSet-Cookie: x=1", *("n" * 500 for _ in range(3))]).values()
    assert text.isascii() and text.isprintable()
    assert json.loads(text) == ["é\r\nSet-Cookie: x=1", "n" * 500]
    assert len(notes.header([f"{index}" * 300 for index in range(99)])[notes.HEADER]) <= 4096
    assert notes.header([]) == {}
