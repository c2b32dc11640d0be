"""Errors in a dialect's own words, and as problem details."""

import json

import pytest

from gateway.dialects.common.wording import renamed
from gateway.web import problem
from gateway.web.malformed import BodyCompressed, BodyTooLarge, Malformed
from mesh.errors import BY_CODE, HTTP_STATUS, InvalidInput, Overloaded

NAMES = {"steps": "num_inference_steps", "image": "init_image", "controls[0].image": "init_image", "model": "model_id"}


@pytest.mark.parametrize(
    ("field", "message", "expected"),
    [
        ("steps", "steps must be 1 to 150, not 'steps'", "num_inference_steps must be 1 to 150, not 'steps'"),
        ("image", "cannot identify image file in image: broken", "cannot identify image file in init_image: broken"),
        ("image", "image is empty; send a picture", "init_image is empty; send a picture"),
        ("controls[0].image", "controls[0].image is empty", "init_image is empty"),
        ("model", "model 'x' can't be used; available: my-model", "model_id 'x' can't be used; available: my-model"),
        ("image", "images are odd", "images are odd"),
    ],
)
def test_a_field_is_named_as_the_client_knows_it(field: str, message: str, expected: str) -> None:
    told = renamed(InvalidInput(message, field=field, retry_after_s=2), NAMES)
    assert (told.message, told.field, told.retry_after_s) == (expected, NAMES[field], 2)
    assert type(told) is InvalidInput


def test_an_error_of_another_field_or_of_none_stays_as_it_is() -> None:
    for error in (InvalidInput("width is odd", field="width"), InvalidInput("steps are odd")):
        assert renamed(error, NAMES) is error


@pytest.mark.parametrize("code", BY_CODE)
def test_every_error_has_a_status_and_a_title(code: object) -> None:
    error = BY_CODE[code]("words", field="f", retry_after_s=0.2)  # type: ignore[index]
    response = problem.respond(error)
    body = json.loads(bytes(response.body))
    assert response.status_code == body["status"] == HTTP_STATUS[error.code]
    assert body["title"] and body["detail"] == "words" and body["field"] == "f" and body["retry_after"] == 0.2
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(("cls", "status"), [(Malformed, 400), (BodyTooLarge, 413), (BodyCompressed, 415)])
def test_bodies_that_can_not_be_read_have_their_own_status(cls: type[Malformed], status: int) -> None:
    assert problem.respond(cls("words")).status_code == status


def test_what_is_not_known_is_not_said() -> None:
    assert set(problem.details(Overloaded("words"))) == {"type", "title", "status", "detail"}
