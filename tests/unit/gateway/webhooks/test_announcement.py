"""What webhooks carry, dialect by dialect: the documented bodies, of any dialect's job, at every end."""

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from gateway.dialects.table import VOICES
from gateway.generation.generation import Control, Generation
from gateway.jobs.job import Job, Status, StoredPicture
from gateway.webhooks.announcement import Announcement
from mesh.errors import InvalidInput

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ECHOES: dict[str, dict[str, Any]] = {
    "native": {"base_url": "https://mesh.example"},
    "huggingface": {"base_url": "https://mesh.example"},
    "grpc": {},
    "enterprise": {
        "base_url": "https://mesh.example",
        "meta": {"outdir": "", "safetychecker": "no"},
        "track_id": "order-7",
        "base64": False,
        "steering": "init_image",
        "remarks": [],
    },
}


def ended(status: Status, dialect: str = "enterprise", **changes: Any) -> Job:
    made = status == Status.SUCCEEDED
    return Job(
        id="0" * 32,
        owner="me",
        generation=Generation(
            prompt="a boat", seed=7, steps=20, scheduler="DDIMScheduler", controls=(Control(kind="canny", image=b""),)
        ),
        assets=("a.png", "b.png"),
        number=123456789,
        dialect=dialect,
        echo=ECHOES[dialect],
        status=status,
        pictures=(StoredPicture("a.png", 7, 512, 512), StoredPicture("b.png", 8, 512, 512)) if made else (),
        error=InvalidInput("no such picture", field="image") if status == Status.FAILED else None,
        created_at=MOMENT,
        started_at=MOMENT.replace(second=6),
        finished_at=MOMENT.replace(second=51),
        **changes,
    )


def link(name: str) -> str:
    return f"https://files.example/{name}"


def test_the_enterprise_body_of_a_success() -> None:
    body = VOICES["enterprise"].announce(ended(Status.SUCCEEDED), link).body
    assert {name: type(value) for name, value in body.items()} == {
        "status": str,
        "id": int,
        "output": list,
        "generationTime": float,
        "track_id": str,
        "meta": dict,
    }
    assert (body["status"], body["id"], body["track_id"], body["generationTime"]) == (
        "success",
        123456789,
        "order-7",
        45.0,
    )
    assert body["output"] == ["https://files.example/a.png", "https://files.example/b.png"]
    assert (body["meta"]["seed"], body["meta"]["prompt"]) == (7, "a boat")


def test_the_enterprise_body_of_base64_names_text() -> None:
    echo = {**ECHOES["enterprise"], "base64": True}
    job = ended(Status.SUCCEEDED)
    body = VOICES["enterprise"].announce(Job(**{**vars(job), "echo": echo}), link).body
    assert body["output"] == ["https://files.example/a.png.base64", "https://files.example/b.png.base64"]


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_the_enterprise_body_of_a_failure(status: Status) -> None:
    body = VOICES["enterprise"].announce(ended(status), link).body
    assert set(body) == {"status", "id", "message", "track_id"}
    assert (body["status"], body["id"], body["track_id"]) == ("failed", 123456789, "order-7")
    assert isinstance(body["message"], str) and body["message"]


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (Status.SUCCEEDED, "generation.completed"),
        (Status.FAILED, "generation.failed"),
        (Status.CANCELLED, "generation.cancelled"),
    ],
)
def test_the_native_body_is_an_event_with_the_record(status: Status, event: str) -> None:
    told = VOICES["native"].announce(ended(status, "native"), link)
    assert told.event == told.body["type"] == event
    assert told.body["timestamp"] == MOMENT.replace(second=51)
    assert told.body["data"]["status"] == status
    assert [image["url"] for image in told.body["data"]["images"]] == [
        link(picture.asset) for picture in ended(status).pictures
    ]


@pytest.mark.parametrize("told", ["native", "scenario"])
@pytest.mark.parametrize("asked", ECHOES)
def test_dialects_with_endpoints_tell_that_any_job_was_taken(told: str, asked: str) -> None:
    job = replace(ended(Status.QUEUED, asked), started_at=None, finished_at=None)
    announcement = VOICES[told].announce(job, link)
    assert announcement.event == announcement.body["type"] == "generation.created"
    assert "2026-01-02T03:04:05" in orjson.dumps(announcement.body).decode()


def test_what_is_heard_is_what_was_chosen() -> None:
    told = Announcement("a.b", {"type": "a.b"}, alias=Announcement("c.d", {"type": "c.d"}))
    for events in (["*"], ["a.b"], ["a.b", "c.d"], ["x", "a.b"]):
        assert told.chosen(events) is told
    assert told.chosen(["c.d"]) is told.alias
    assert told.chosen(["e.f"]) is told.chosen([]) is None


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
@pytest.mark.parametrize("asked", ECHOES)
@pytest.mark.parametrize("told", VOICES)
def test_every_dialect_tells_of_every_dialect_s_jobs(told: str, asked: str, status: Status) -> None:
    announcement = VOICES[told].announce(ended(status, asked), link)
    assert announcement.event
    assert "base_url" not in orjson.dumps(announcement.body).decode()


def test_the_enterprise_signature_is_an_hmac_of_the_body() -> None:
    (name, value), *more = VOICES["enterprise"].sign("whsec_abc", '{"id":1}').items()
    expected = hmac.new(b"whsec_abc", b'{"id":1}', hashlib.sha256).hexdigest()
    assert (name, value, more) == ("X-Signature-256", f"sha256={expected}", [])
