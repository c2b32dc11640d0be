"""The client's procedures, played without any input or output."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlmesh_client import Client, NotFinished, NotFound, Patience, Unavailable, problems
from controlmesh_client.calls import Calls
from controlmesh_client.following import Following
from controlmesh_client.messages import Answer, Cut, Listen, Opened, Pause, Read, Send, Steps, Told, Wanted, Work
from controlmesh_client.patience import passes, retry_after_s
from controlmesh_client.procedures import Procedures, request
from controlmesh_client.wire import Course

URL = "http://mesh.test/at/"
RECORD: dict[str, Any] = {
    "id": "a/b",
    "status": "queued",
    "progress": {"step": 0, "steps": 2},
    "images": [{"url": "http://files.test/1.png", "seed": 7, "width": 8, "height": 8, "new": 1}],
    "notes": ["cut"],
    "error": None,
    "request": {"prompt": "a boat", "controls": [], "seed": 7, "samples": 1},
}
DONE = {**RECORD, "status": "succeeded"}


def calls(clock: Callable[[], float] = lambda: 0.0) -> Calls:
    return Calls(URL, "secret", Patience(attempts=3, first_s=1.0), clock, lambda: 1.0)


def answer(content: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps(content).encode())


def played(steps: Steps[Any], *gives: Any) -> tuple[Any, list[Wanted]]:
    """What a procedure ends with, and what it wanted, where it is given `gives` in turn. Pauses, news and work do not
    count; an exception is what comes of what was wanted."""
    course, wanted, left = Course(steps), [], iter(gives)
    want = course.go()
    while want is not None:
        wanted.append(want)
        if isinstance(want, Work):
            want = course.go(want.act())
        elif isinstance(want, Pause | Told):
            want = course.go()
        elif isinstance(given := next(left), BaseException):
            want = course.fail(given)
        else:
            want = course.go(given)
    return course.value, wanted


def sent(wanted: list[Wanted]) -> list[str]:
    return [f"{one.call.method} {one.call.url}" for one in wanted if isinstance(one, Send | Listen)]


# --- patience -----------------------------------------------------------------------------------------------------


@given(
    st.integers(1, 30), st.floats(0, 1), st.sampled_from([429, 502, 503, 504]), st.one_of(st.none(), st.integers(0, 40))
)
def test_no_pause_is_shorter_than_was_asked_for_nor_endless(
    tried: int, chance: float, status: int, asked: int | None
) -> None:
    patience = Patience(attempts=20, first_s=0.5, most_s=30.0)
    headers = {} if asked is None else {"retry-after": str(asked)}
    pause_s = patience.pause_s(Answer(status, headers), tried, chance)
    if tried >= 20 or (asked or 0) > 30:
        assert pause_s is None
    else:
        assert pause_s is not None and (asked or 0.25) <= pause_s <= 30.25


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 499, 500, 501, 301])
def test_what_does_not_pass_by_itself_is_not_tried_again(status: int) -> None:
    assert Patience().pause_s(Answer(status, {"retry-after": "1"}), 1, 0.5) is None


def test_a_generation_that_failed_stays_failed() -> None:
    assert passes(Answer(503)) and not passes(Answer(503, {"location": "/controlmesh/v1/generations/x"}))


def test_retry_after_may_be_a_date() -> None:
    now = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
    for text, seconds in (
        ("Sat, 31 Jan 2026 12:00:09 GMT", 9.0),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0.0),
        ("12", 12.0),
        ("soon", None),
        ("", None),
        ("-1", None),
    ):
        assert retry_after_s({"retry-after": text}, now) == seconds


# --- calls --------------------------------------------------------------------------------------------------------


def test_the_key_goes_to_the_mesh_alone_and_a_path_before_its_own_is_kept() -> None:
    own = calls().call("GET", "/models", query={"status": ["a", "b"], "after": None})
    assert own.url == "http://mesh.test/at/controlmesh/v1/models?status=a&status=b"
    assert own.headers["authorization"] == "Bearer secret"
    file, wanted = played(calls().file("http://files.test/1.png"), Answer(200, {"content-type": "image/png; x"}, b"p"))
    assert (file.bytes, file.media_type) == (b"p", "image/png")
    assert isinstance(wanted[0], Send) and "authorization" not in wanted[0].call.headers
    _, wanted = played(calls().file("/1.png"), Answer(200))
    assert sent(wanted) == ["GET http://mesh.test/1.png"]


def test_a_url_without_its_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="must begin with http"):
        Client("mesh.test:8080")


def test_numbers_of_numpy_are_numbers_and_objects_are_refused() -> None:
    import numpy as np

    body = {"seed": np.int64(7), "weight": np.float32(0.5)}
    assert calls().call("POST", "/generations", body=body).content == b'{"seed":7,"weight":0.5}'
    with pytest.raises(TypeError, match="Path"):
        calls().call("POST", "/generations", body={"prompt": Path("x")})


def test_words_of_a_proxy_become_an_error_of_the_status() -> None:
    error = problems.problem_of(Answer(503, {"x-request-id": "r"}, b"no healthy upstream"), 4.0)
    assert type(error) is Unavailable and "no healthy upstream" in str(error)
    assert (error.request_id, error.retry_after_s, error.field, error.type) == ("r", 4.0, "", "about:blank")
    assert type(problems.problem_of(Answer(418))) is problems.Problem


def test_the_environment_is_what_is_handed_in() -> None:
    heard: list[httpx2.Request] = []

    def take(asked: httpx2.Request) -> httpx2.Response:
        heard.append(asked)
        return httpx2.Response(200, json={"models": [], "default": ""})

    for environ in ({"CONTROLMESH_URL": "https://there.test", "CONTROLMESH_KEY": "k"}, {"CONTROLMESH_URL": ""}):
        with Client.from_environment(environ, transport=httpx2.MockTransport(take)) as mesh:
            mesh.models()
    assert [str(asked.url.host) for asked in heard] == ["there.test", "127.0.0.1"]
    assert [asked.headers.get("authorization") for asked in heard] == ["Bearer k", None]


# --- generations --------------------------------------------------------------------------------------------------


def test_whoever_interrupts_stops_the_generation() -> None:
    asked = request("a boat", (), None, None, {})
    course = Course(Procedures(calls()).generate(asked, None, None))
    wanted = course.go()
    assert isinstance(wanted, Send) and wanted.call.url.endswith("/generations?wait=60")
    again = course.fail(KeyboardInterrupt())
    assert isinstance(again, Send) and again.call.url.endswith("/generations?wait=0")
    assert (again.call.content, again.call.headers) == (wanted.call.content, wanted.call.headers)
    stopped = course.go(answer(RECORD, 202))
    assert isinstance(stopped, Send) and (stopped.call.method, stopped.call.url[-6:]) == ("DELETE", "/a%2Fb")
    with pytest.raises(KeyboardInterrupt):
        course.go(Cut("away"))


def test_what_has_a_key_of_the_caller_s_own_goes_on() -> None:
    steps = Procedures(calls()).generate(request("a boat", (), None, None, {}), None, "mine")
    with pytest.raises(KeyboardInterrupt):
        played(steps, KeyboardInterrupt())


def test_a_goodbye_that_nobody_hears_is_no_error_of_its_own() -> None:
    steps = Procedures(calls()).generate(request("a boat", (), None, None, {}), None, None)
    with pytest.raises(KeyboardInterrupt):
        played(steps, KeyboardInterrupt(), Cut("away"))


def test_an_answer_that_comes_late_is_followed() -> None:
    steps = Procedures(calls()).generate(request("a boat", (), None, None, {"seed": 7}), None, None)
    event = b"id: 1\nevent: result\ndata: " + json.dumps(DONE).encode() + b"\n\n"
    made, wanted = played(steps, answer(RECORD, 202), Opened(), event, Answer(200, {}, b"png"))
    assert (made[0].bytes, made[0].seed, made.notes) == (b"png", 7, ("cut",))
    assert [line.rpartition("/")[2] for line in sent(wanted)] == ["generations?wait=60", "events", "1.png"]
    assert made[0].request == {"prompt": "a boat", "controls": [], "seed": 7, "samples": 1}


@pytest.mark.parametrize(
    "piece",
    [b"event: progress\ndata: {\n\n", b'event: progress\ndata: {"step": 1}\n\n', b"data: " + b"x" * 2**25],
    ids=["broken", "partial", "endless"],
)
def test_a_stream_that_can_t_be_read_is_given_up_for_asking(piece: bytes) -> None:
    following = Following(calls(), RECORD)  # type: ignore[arg-type]
    _, wanted = played(following.watch(), Opened(), piece, answer(RECORD), answer(DONE))
    assert [one.news.status for one in wanted if isinstance(one, Told)] == ["queued", "succeeded"]


def test_a_mesh_that_is_away_for_good_ends_it() -> None:
    following = Following(calls(), RECORD)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        played(following.watch(), *[Answer(503)] * 3)
    with pytest.raises(NotFound):
        played(following.watch(), Answer(404))


def test_a_stream_that_told_something_makes_patience_new() -> None:
    progress = b'id: %d\nevent: progress\nretry: 250\ndata: {"step":%d,"steps":2,"status":"running"}\n\n'
    gives: list[Any] = []
    for step in range(4):
        gives += [Cut("away"), Cut("away"), Opened(), progress % (step, step), Cut("away")]
    following = Following(calls(), RECORD)  # type: ignore[arg-type]
    _, wanted = played(following.watch(), *gives, Answer(204), answer(DONE))
    assert [one.seconds for one in wanted if isinstance(one, Pause)] == [1.0, 2.0, 0.25] * 4
    listened = [one.call.headers.get("last-event-id") for one in wanted if isinstance(one, Listen)]
    assert listened == [None] * 3 + ["0"] * 3 + ["1"] * 3 + ["2"] * 3 + ["3"]
    assert sum(isinstance(one, Read) for one in wanted) == 8


def test_time_that_is_over_ends_the_wait_and_not_the_job() -> None:
    def ticking() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += 1.0

    clock = ticking()
    following = Following(calls(lambda: next(clock)), RECORD)  # type: ignore[arg-type]
    with pytest.raises(NotFinished) as late:
        played(following.finish(3.0), Opened(), b": ping\n\n", b": ping\n\n", b": ping\n\n")
    assert (late.value.id, late.value.status) == ("a/b", "queued")
