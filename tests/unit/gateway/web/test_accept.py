"""Content negotiation."""

import pytest

from gateway.web.accept import negotiate

OFFERED = ("image/png", "image/jpeg", "image/webp", "application/json")


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("image/png, */*", "image/png"),
        ("*/*, image/webp", "image/webp"),
        ("image/*", "image/png"),
        ("image/*, application/json", "application/json"),
        ("image/jpeg;q=0.5, image/webp;q=0.9", "image/webp"),
        ("image/jpeg; q=0.5 , image/webp; q=0.5", "image/jpeg"),
        ("text/html, image/webp;q=0.1", "image/webp"),
        ("image/png;q=0, image/*", "image/jpeg"),
        ("application/json;q=0, */*", "image/png"),
        ("image/png;q=nonsense", "image/png"),
        ("image/png;q=nan", "image/png"),
        ("image/png;version=1;q=0.2, image/jpeg;q=0.3", "image/jpeg"),
        ("text/html,application/xhtml+xml,image/avif,image/webp,image/apng,*/*;q=0.8", "image/webp"),
        ("nonsense, image/png", "image/png"),
        ("text/html", None),
        ("image/avif", None),
        ("image/png;q=0", None),
        ("nonsense", None),
        (";;;,,,/", None),
    ],
)
def test_the_best_that_the_client_takes_is_given(header: str | None, answer: str | None) -> None:
    assert negotiate(header, OFFERED, "application/json") == answer
